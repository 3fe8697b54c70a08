//! A backup: the whole vault in one encrypted file, which whatever opens the vault today opens.
//!
//! The header (vault id, key slots, salt) is readable and bound to the rest as associated data; the rest is the
//! database and the log's key file under a key of its own, derived from the vault key and the salt.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::db::{self, Db};
use crate::encode::Transcript;
use crate::files::{self, Scratch};
use crate::keys::{self, SubKey, VaultId, VaultKey, purpose};
use crate::slot::{self, Slot};
use crate::verify::{VerifyReport, everything};
use crate::{Event, EventKind, Unlocked, VaultError, log_key};

const MAGIC: &[u8; 8] = b"ENVSEALB";
const FORMAT: u32 = 1;
/// The longest header that is read, in bytes.
const LONGEST_HEADER: usize = 16 << 20;

/// What a backup holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BackupReport {
    /// Bytes of the file.
    pub bytes: u64,
    /// Secrets.
    pub secrets: usize,
    /// Their versions.
    pub versions: usize,
    /// Grants.
    pub grants: usize,
    /// The manifest's counter.
    pub counter: u64,
}

/// The readable part of a backup.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    vault: [u8; 16],
    salt: Vec<u8>,
    pub(crate) slots: Vec<Slot>,
}

/// A backup file, read but not opened.
pub(crate) struct Backup {
    pub(crate) header: Header,
    /// Everything before the ciphertext.
    bound: Transcript,
    sealed: Vec<u8>,
}

impl Header {
    pub(crate) fn vault(&self) -> VaultId {
        VaultId(self.vault)
    }

    fn key(&self, key: &VaultKey) -> SubKey {
        key.sub_salted(purpose::BACKUP, &self.salt)
    }
}

impl Backup {
    /// Splits the bytes of a backup file; says what is wrong with them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        if bytes.len() < 16 || !bytes.starts_with(MAGIC) {
            return Err("it is not an envseal backup".into());
        }
        match word(8) {
            Some(FORMAT) => {}
            Some(other) => return Err(format!("it has format {other}, this envseal knows {FORMAT}")),
            None => return Err("it is truncated".into()),
        }
        let length =
            word(12).and_then(|length| usize::try_from(length).ok()).filter(|l| *l <= LONGEST_HEADER);
        let end = 16 + length.ok_or("its header has no length")?;
        let (front, sealed) = bytes.split_at_checked(end).ok_or("it is truncated")?;
        let header = serde_json::from_slice(&front[16..]).map_err(|_| "its header cannot be read")?;
        Ok(Self { header, bound: Transcript::new("backup").bytes(front), sealed: sealed.to_vec() })
    }

    /// Reads a backup file.
    pub(crate) fn read(path: &Path) -> Result<Self, VaultError> {
        let mut bytes = Vec::new();
        let opened = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        opened.map_err(|error| VaultError::io(path.display().to_string(), error))?;
        Self::parse(&bytes).map_err(|what| VaultError::BackupDamaged { path: path.into(), what })
    }

    /// Decrypts it into a scratch directory as a vault.
    pub(crate) fn unpack(&self, path: &Path, key: &VaultKey, into: &Scratch) -> Result<(), VaultError> {
        let damaged = |what: &str| VaultError::BackupDamaged { path: path.into(), what: what.into() };
        let plain = keys::unwrap(&self.header.key(key), &self.bound, &self.sealed);
        let plain = plain.ok_or_else(|| damaged("its content does not open: it was changed or cut off"))?;
        let (log_key_bytes, image) =
            plain.split_at_checked(log_key::LEN).ok_or_else(|| damaged("its content is too short"))?;
        for (name, bytes) in [(db::FILE, image), (log_key::FILE, log_key_bytes)] {
            let written = into.0.create(name).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
            written.map_err(|error| VaultError::io(into.0.path().join(name).display().to_string(), error))?;
        }
        Ok(())
    }
}

/// Verifies everything of a vault in a scratch directory.
pub(crate) fn verify_unpacked(scratch: &Scratch, key: &VaultKey) -> Result<VerifyReport, VaultError> {
    let database = Db::open_held(&scratch.0)?;
    let state = log_key::read(&scratch.0, key.id())?;
    database.read(|conn| everything(conn, key, 0, &state))
}

impl Unlocked<'_> {
    /// Writes a backup to `file`, which must not exist; it is opened and verified whole before it gets that name.
    pub fn backup(&mut self, file: &Path) -> Result<BackupReport, VaultError> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => VaultError::FileExists { path: file.into() },
            _ => VaultError::io(file.display().to_string(), error),
        };
        if file.symlink_metadata().is_ok() {
            return Err(VaultError::FileExists { path: file.into() });
        }
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fresh = parent.join(format!(".envseal-backup-{}", files::random_suffix()?));
        let written = self.write_backup(&fresh).and_then(|report| {
            files::rename_new(&fresh, file).map_err(failed)?;
            files::sync_directory(parent).map_err(failed)?;
            Ok(report)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&fresh);
        }
        let report = written?;
        let mut event = Event::new(EventKind::Backup);
        event.note = Some(file.to_string_lossy().into_owned());
        self.vault.append(&event)?;
        Ok(report)
    }

    fn write_backup(&mut self, fresh: &Path) -> Result<BackupReport, VaultError> {
        let failed = |error: std::io::Error| VaultError::io(fresh.display().to_string(), error);
        let (id, dir) = (self.vault.id, &self.vault.dir);
        let (image, (slots, state)) =
            self.vault.db.image(|conn| Ok((slot::all(conn)?, log_key::read(dir, id)?)))?;
        let mut plain = Zeroizing::new(Vec::with_capacity(log_key::LEN + image.len()));
        plain.extend_from_slice(&state.encode(id));
        plain.extend_from_slice(&image);
        drop(image);

        let header = Header { vault: id.0, salt: keys::random::<32>()?.to_vec(), slots };
        let text = serde_json::to_vec(&header).map_err(|error| VaultError::corrupt(error.to_string()))?;
        let length =
            u32::try_from(text.len()).map_err(|_| VaultError::corrupt("the key slots are too large"))?;
        let front = [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &length.to_be_bytes(), &text].concat();
        let sealed = keys::wrap(&header.key(&self.key), &Transcript::new("backup").bytes(&front), &plain)?;
        let mut file = files::create_private(fresh).map_err(failed)?;
        file.write_all(&front).and_then(|()| file.write_all(&sealed)).map_err(failed)?;
        file.sync_all().map_err(failed)?;

        let scratch = self.vault.dir.scratch()?;
        Backup::read(fresh)?.unpack(fresh, &self.key, &scratch)?;
        let report = verify_unpacked(&scratch, &self.key)?;
        Ok(BackupReport {
            bytes: (front.len() + sealed.len()) as u64,
            secrets: report.secrets,
            versions: report.versions,
            grants: report.grants,
            counter: report.counter,
        })
    }
}

/// Reads the front of a backup from any bytes; for the fuzzer.
#[doc(hidden)]
pub fn parse_backup(bytes: &[u8]) -> bool {
    Backup::parse(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            ours: bool,
            length in 0u32..300,
        ) {
            if ours && bytes.len() > 16 {
                bytes[..8].copy_from_slice(MAGIC);
                bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
                bytes[12..16].copy_from_slice(&length.to_be_bytes());
            }
            prop_assert!(Backup::parse(&bytes).is_err());
        }
    }
}
