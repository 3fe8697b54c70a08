//! The vault's last state, noted outside the vault, so that an older copy of it is told from the present one.
//!
//! The note is under a MAC of the vault key and only ever goes up. It lies in the user's state directory, and in the
//! runtime directory while the user is logged in. Whoever can write as the user can put back old notes along with an
//! old vault; what the notes tell is a copy put back by somebody who did not think of them, or could not reach them.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::encode::Transcript;
use crate::files::Dir;
use crate::keys::{VaultId, VaultKey, purpose};
use crate::{VaultError, files, platform};

/// Where the notes are kept.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    state: Option<PathBuf>,
    runtime: Option<PathBuf>,
}

/// Magic 8, vault id 16, counter 8, fingerprint of the public key 32, MAC 32.
pub(crate) const LEN: usize = 96;
const MAGIC: &[u8; 8] = b"ENVSLWIT";

/// What the notes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// The counter noted in the state directory.
    pub(crate) state: Option<u64>,
    /// The highest counter noted anywhere.
    pub(crate) highest: Option<u64>,
}

impl Witness {
    /// The platform's places. Unix: `$XDG_STATE_HOME/envseal`, else `~/.local/state/envseal`, and
    /// `$XDG_RUNTIME_DIR/envseal` where there is one (XDG Base Directory Specification). Windows:
    /// `%LOCALAPPDATA%\envseal-state`, as the system knows it.
    pub fn of_platform() -> Self {
        let (state, runtime) = platform::note_directories();
        Self::in_directories(state, runtime)
    }

    /// These directories; they are made when they are not there.
    pub const fn in_directories(state: Option<PathBuf>, runtime: Option<PathBuf>) -> Self {
        Self { state, runtime }
    }

    /// No notes: an older copy is not told.
    pub const fn none() -> Self {
        Self { state: None, runtime: None }
    }

    /// Where the notes are kept.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        [&self.state, &self.runtime].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Removes the notes of a vault.
    pub(crate) fn forget(&self, id: VaultId) -> Result<(), VaultError> {
        for dir in self.directories() {
            match std::fs::remove_file(dir.join(file_name(id))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(VaultError::io(dir.display().to_string(), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The place of a vault that no note was ever kept of.
    pub(crate) const NOWHERE: [u8; 32] = [0; 32];

    /// Digest of this machine and the vault's directory; [`Witness::NOWHERE`] when no notes are kept.
    pub(crate) fn place(&self, dir: &Path) -> [u8; 32] {
        if self.state.is_none() {
            return Self::NOWHERE;
        }
        Transcript::new("place")
            .bytes(&platform::machine())
            .bytes(dir.as_os_str().as_encoded_bytes())
            .sha256()
    }

    /// The highest counters noted under the vault key's MAC.
    pub(crate) fn seen(&self, key: &VaultKey) -> Seen {
        let noted = |dir: &Option<PathBuf>| {
            let note = Note::read(dir.as_deref()?, key.id())?;
            note.is_of(key).then_some(note.counter)
        };
        let (state, runtime) = (noted(&self.state), noted(&self.runtime));
        Seen { state, highest: state.max(runtime) }
    }

    /// The noted fingerprint of the vault's public key, unauthenticated.
    pub(crate) fn fingerprint(&self, id: VaultId) -> Option<[u8; 32]> {
        let dirs = [&self.state, &self.runtime];
        dirs.into_iter().flatten().find_map(|dir| Note::read(dir, id)).map(|note| note.fingerprint)
    }

    /// Notes a counter wherever a lower one, or none, is noted. An error when the state directory takes none.
    pub(crate) fn record(
        &self,
        key: &VaultKey,
        counter: u64,
        fingerprint: [u8; 32],
    ) -> Result<(), VaultError> {
        let mut note = Note { id: key.id(), counter, fingerprint, mac: [0; 32] };
        note.mac = note.transcript().mac(&key.sub(purpose::WITNESS_MAC));
        if let Some(runtime) = &self.runtime {
            let _ = note.write(runtime, key);
        }
        match &self.state {
            Some(state) => note.write(state, key),
            None => Ok(()),
        }
    }
}

struct Note {
    id: VaultId,
    counter: u64,
    fingerprint: [u8; 32],
    mac: [u8; 32],
}

impl Note {
    fn parse(bytes: &[u8], id: VaultId) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        (bytes[..8] == *MAGIC && bytes[8..24] == id.0).then_some(())?;
        Some(Self {
            id,
            counter: u64::from_be_bytes(bytes[24..32].try_into().ok()?),
            fingerprint: bytes[32..64].try_into().ok()?,
            mac: bytes[64..].try_into().ok()?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &self.id.0, &self.counter.to_be_bytes(), &self.fingerprint, &self.mac].concat()
    }

    fn transcript(&self) -> Transcript {
        Transcript::new("witness").bytes(&self.id.0).number(self.counter).bytes(&self.fingerprint)
    }

    fn is_of(&self, key: &VaultKey) -> bool {
        self.transcript().has_mac(&key.sub(purpose::WITNESS_MAC), &self.mac)
    }

    fn read(dir: &Path, id: VaultId) -> Option<Self> {
        let file = files::open_plain(&dir.join(file_name(id))).ok()?;
        files::check_private(&file, false).ok()?.is_none().then_some(())?;
        let mut bytes = Vec::new();
        file.take(LEN as u64 + 1).read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes, id)
    }

    fn write(&self, dir: &Path, key: &VaultKey) -> Result<(), VaultError> {
        let failed = |error| VaultError::io(dir.display().to_string(), error);
        let dir = Dir::open_or_create(dir)?;
        let _held = dir.hold()?;
        if Self::read(dir.path(), self.id).is_some_and(|old| old.is_of(key) && old.counter >= self.counter) {
            return Ok(());
        }
        let name = file_name(self.id);
        let fresh = format!("{name}.{}", files::random_suffix()?);
        let written = dir.create(&fresh).and_then(|mut file| {
            file.write_all(&self.encode())?;
            file.sync_all()?;
            dir.rename(&fresh, &name)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(dir.path().join(&fresh));
        }
        written.map_err(failed)
    }
}

fn file_name(id: VaultId) -> String {
    format!("{id}.witness")
}

/// Reads a note from any bytes; for the fuzzer.
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) -> bool {
    Note::parse(bytes, VaultId([0; 16])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_only_goes_up_and_is_read_under_its_vault_key() {
        let top = tempfile::tempdir().unwrap();
        let witness = Witness::in_directories(Some(top.path().join("state")), Some(top.path().join("run")));
        let key = VaultKey::generate(VaultId([1; 16])).unwrap();
        assert_eq!(witness.seen(&key), Seen::default());
        witness.record(&key, 7, [3; 32]).unwrap();
        witness.record(&key, 5, [3; 32]).unwrap();
        assert_eq!(witness.seen(&key), Seen { state: Some(7), highest: Some(7) });
        assert_eq!(witness.fingerprint(key.id()), Some([3; 32]));
        assert_eq!(witness.seen(&VaultKey::generate(key.id()).unwrap()), Seen::default());
        witness.forget(VaultId([2; 16])).unwrap();
        assert_ne!(witness.seen(&key), Seen::default());
        witness.forget(key.id()).unwrap();
        witness.forget(key.id()).unwrap();
        assert_eq!(witness.seen(&key), Seen::default());
    }

    #[test]
    fn a_forged_high_note_does_not_stop_true_ones() {
        let top = tempfile::tempdir().unwrap();
        let witness = Witness::in_directories(Some(top.path().join("state")), None);
        let (key, thief) =
            (VaultKey::generate(VaultId([1; 16])).unwrap(), VaultKey::generate(VaultId([1; 16])).unwrap());
        witness.record(&thief, u64::MAX, [9; 32]).unwrap();
        witness.record(&key, 7, [3; 32]).unwrap();
        assert_eq!(witness.seen(&key).highest, Some(7));
    }

    #[test]
    fn a_state_directory_that_cannot_be_made_is_an_error_and_no_panic() {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("file"), "").unwrap();
        let witness = Witness::in_directories(Some(top.path().join("file/state")), None);
        let key = VaultKey::generate(VaultId([1; 16])).unwrap();
        assert!(witness.record(&key, 7, [3; 32]).is_err());
    }
}
