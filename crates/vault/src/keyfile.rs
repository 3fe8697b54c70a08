//! A key file: random bytes on disk that open the vault on a machine with nobody at it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The content of a key file: 32 bytes to 64 KiB, zeroed when dropped.
pub struct KeyFile(Zeroizing<Vec<u8>>);

/// Why a file is not a key file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyFile {
    /// It holds too little to be a key.
    #[error("a key file has at least 32 bytes, this one has {length}")]
    TooShort {
        /// Bytes found.
        length: usize,
    },
    /// It holds more than is read.
    #[error("a key file has at most 65536 bytes")]
    TooLong,
    /// Others can read or replace it, or it is not a plain file.
    #[error("the key file {} is refused: {why}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system said no.
    #[error("the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl KeyFile {
    /// The shortest key, in bytes.
    pub const MIN_LEN: usize = 32;
    /// The longest file, in bytes.
    pub const MAX_LEN: usize = 64 << 10;

    /// Takes the content of a key file.
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Result<Self, InvalidKeyFile> {
        let bytes = bytes.into();
        match bytes.len() {
            length @ 0..Self::MIN_LEN => Err(InvalidKeyFile::TooShort { length }),
            Self::MIN_LEN..=Self::MAX_LEN => Ok(Self(bytes)),
            _ => Err(InvalidKeyFile::TooLong),
        }
    }

    /// Reads a key file. It must be a regular file, not a symbolic link, of this user or of root, that nobody else
    /// can read or write; on Windows, nobody but the system and its administrators.
    pub fn read(path: &Path) -> Result<Self, InvalidKeyFile> {
        let failed = |source: io::Error| InvalidKeyFile::Io { path: path.into(), source };
        let file = crate::files::open_plain(path).map_err(failed)?;
        check(&file, path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::MAX_LEN + 1));
        file.take(Self::MAX_LEN as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::new(bytes)
    }

    /// Reads a key file, or makes one of 64 random bytes, for this user alone, when there is none.
    pub fn read_or_create(path: &Path) -> Result<Self, InvalidKeyFile> {
        let failed = |source: io::Error| InvalidKeyFile::Io { path: path.into(), source };
        let mut file = match crate::files::create_private(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Self::read(path),
            Err(error) => return Err(failed(error)),
        };
        // A file system may keep no permissions.
        if let Err(error) = check(&file, path) {
            drop(file);
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        let mut bytes = Zeroizing::new(vec![0; 64]);
        getrandom::fill(&mut bytes).map_err(|error| failed(io::Error::other(error.to_string())))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        Self::new(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Refuses a file that others can read or replace.
fn check(file: &File, path: &Path) -> Result<(), InvalidKeyFile> {
    let checked = crate::files::check_private(file, true);
    match checked.map_err(|source| InvalidKeyFile::Io { path: path.into(), source })? {
        Some(why) => Err(InvalidKeyFile::Unsafe { path: path.into(), why }),
        None => Ok(()),
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets others reach a file, in each way that is to be refused.
    #[cfg(unix)]
    fn loosened(path: &Path, test: impl Fn()) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            test();
        }
    }

    #[cfg(windows)]
    fn loosened(path: &Path, test: impl Fn()) {
        crate::files::loosen(path);
        test();
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = KeyFile::read_or_create(&path).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap().as_bytes(), made.as_bytes());
        assert_eq!(KeyFile::read_or_create(&path).unwrap().as_bytes(), made.as_bytes());
        loosened(&path, || assert!(matches!(KeyFile::read(&path), Err(InvalidKeyFile::Unsafe { .. }))));
    }

    #[test]
    fn what_is_no_plain_file_is_no_key_file() {
        let dir = tempfile::tempdir().unwrap();
        KeyFile::read_or_create(&dir.path().join("key")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("key", dir.path().join("link")).unwrap();
            assert!(KeyFile::read(&dir.path().join("link")).is_err());
        }
        assert!(KeyFile::read(dir.path()).is_err());
        assert!(KeyFile::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_key_has_32_bytes_to_64_kibibytes() {
        assert!(matches!(KeyFile::new(vec![0; 31]), Err(InvalidKeyFile::TooShort { length: 31 })));
        assert!(KeyFile::new(vec![0; 32]).is_ok() && KeyFile::new(vec![0; 64 << 10]).is_ok());
        assert!(matches!(KeyFile::new(vec![0; (64 << 10) + 1]), Err(InvalidKeyFile::TooLong)));
    }
}
