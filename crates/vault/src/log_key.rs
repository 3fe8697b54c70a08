//! The file with the key of the log's next row, `audit.key`.
//!
//! It is not in the database, whose write-ahead log and free pages could keep old keys: 96 bytes, overwritten in
//! place. It may lag behind the rows (a writer was killed), never run ahead of them: rows are synced first.

use std::fs::File;

use crate::VaultError;
use crate::encode::Transcript;
use crate::files::{Dir, lock, read_at, write_at};
use crate::keys::{SubKey, VaultId};

/// The key file's name in the vault's directory.
pub(crate) const FILE: &str = "audit.key";
/// The key file of a vault that is being put in place, until the vault is. Which of the two fits the vault is told by
/// the number of the row.
pub(crate) const COMING: &str = "audit.key.coming";
/// Its size: magic 8, vault id 16, sequence 8, key 32, checksum 32.
pub(crate) const LEN: usize = 96;
const MAGIC: &[u8; 8] = b"ENVSLKEY";

/// The key of one row.
#[derive(Clone)]
pub(crate) struct KeyState {
    /// The row that the key is for, from 1.
    pub(crate) sequence: u64,
    pub(crate) key: SubKey,
}

impl KeyState {
    /// The file's content.
    pub(crate) fn encode(&self, id: VaultId) -> zeroize::Zeroizing<Vec<u8>> {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(LEN));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(self.key.as_slice());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads the file's content.
    pub(crate) fn parse(bytes: &[u8], id: VaultId) -> Result<Self, VaultError> {
        let unusable = |why: &str| VaultError::AuditKey { why: why.into() };
        let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| unusable("it has a wrong size"))?;
        let (body, sum) = bytes.split_at(LEN - 32);
        if checksum(body) != *sum {
            return Err(unusable("its checksum does not fit"));
        }
        if body[..8] != *MAGIC || body[8..24] != id.0 {
            return Err(unusable("it is another vault's"));
        }
        let mut key = SubKey::default();
        key.copy_from_slice(&body[32..]);
        match body[24..32].try_into().map(u64::from_be_bytes) {
            Ok(sequence @ 1..) if i64::try_from(sequence).is_ok() => Ok(Self { sequence, key }),
            _ => Err(unusable("it is for no row")),
        }
    }
}

fn checksum(body: &[u8]) -> [u8; 32] {
    Transcript::new("log key file").bytes(body).sha256()
}

fn failed(error: std::io::Error) -> VaultError {
    VaultError::io(FILE, error)
}

fn open(dir: &Dir, name: &str) -> Result<File, VaultError> {
    if dir.check(name)?.is_none() {
        return Err(VaultError::AuditKey { why: format!("the file {name} is missing") });
    }
    let file = dir.file(name, true).map_err(failed)?;
    lock(&file).map_err(failed)?;
    Ok(file)
}

fn read_locked(file: &File, id: VaultId) -> Result<KeyState, VaultError> {
    let mut bytes = zeroize::Zeroizing::new([0; LEN + 1]);
    let length = read_at(file, bytes.as_mut_slice(), 0).map_err(failed)?;
    KeyState::parse(&bytes[..length], id)
}

/// Reads the key file.
pub(crate) fn read(dir: &Dir, id: VaultId) -> Result<KeyState, VaultError> {
    read_locked(&open(dir, FILE)?, id)
}

/// Reads the key file that is coming.
pub(crate) fn coming(dir: &Dir, id: VaultId) -> Result<KeyState, VaultError> {
    read_locked(&open(dir, COMING)?, id)
}

/// Moves the key file on, unless another process has moved it further, or `is_in_place` says that the vault is another
/// one by now. That is asked when the file is open: the one of another vault comes after the vault.
pub(crate) fn advance(
    dir: &Dir,
    id: VaultId,
    state: &KeyState,
    is_in_place: impl FnOnce() -> bool,
) -> Result<(), VaultError> {
    let file = open(dir, FILE)?;
    if !is_in_place() {
        return Ok(());
    }
    if read_locked(&file, id)?.sequence < state.sequence {
        write_at(&file, &state.encode(id), 0).map_err(failed)?;
    }
    Ok(())
}

/// Puts a key file there, over what is there.
pub(crate) fn replace(dir: &Dir, id: VaultId, state: &KeyState) -> Result<(), VaultError> {
    let name = format!("{FILE}.{}", crate::files::random_suffix()?);
    let written = dir.create(&name).and_then(|file| {
        write_at(&file, &state.encode(id), 0)?;
        file.sync_all()?;
        dir.rename(&name, FILE)?;
        dir.sync()
    });
    if written.is_err() {
        let _ = std::fs::remove_file(dir.path().join(&name));
    }
    written.map_err(failed)
}

/// Reads the file's content from any bytes; for the fuzzer.
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) -> bool {
    KeyState::parse(bytes, VaultId([0; 16])).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(KeyState::parse(&bytes, VaultId([0; 16])).is_err());
        }
    }

    #[test]
    fn the_key_file_reads_back_and_every_flipped_bit_is_seen() {
        let id = VaultId([9; 16]);
        let state = KeyState { sequence: 77, key: SubKey::new([5; 32]) };
        let bytes = state.encode(id);
        assert_eq!(KeyState::parse(&bytes, id).unwrap().sequence, 77);
        assert!(KeyState::parse(&bytes, VaultId([8; 16])).is_err());
        for bit in 0..LEN * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyState::parse(&changed, id).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_key_file_only_ever_moves_on() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("v")).unwrap();
        let id = VaultId([9; 16]);
        let state = |sequence| KeyState { sequence, key: SubKey::new([5; 32]) };
        assert!(matches!(read(&dir, id), Err(VaultError::AuditKey { .. })));
        replace(&dir, id, &state(3)).unwrap();
        advance(&dir, id, &state(5), || true).unwrap();
        advance(&dir, id, &state(4), || true).unwrap();
        assert_eq!(read(&dir, id).unwrap().sequence, 5);
        advance(&dir, id, &state(9), || false).unwrap();
        assert_eq!(read(&dir, id).unwrap().sequence, 5);
    }
}
