//! The vault's directory and the files in it: private, owned, never a symbolic link.
//!
//! Checks go through handles where the system has them. The last part of the vault's path may not be a symbolic
//! link; those before it may (a linked `/home`).

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::VaultError;

#[cfg(any(windows, test))]
mod advice;
#[cfg(any(windows, test))]
mod descriptor;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

#[cfg(windows)]
pub(crate) use descriptor::{Descriptor, Sid};
#[cfg(all(test, windows))]
pub(crate) use system::loosen;
pub(crate) use system::{
    Dir, FileId, check_private, create_private, identity, identity_at, open_plain, read_at, rename_new,
    sync_directory, write_at,
};

/// A file that was found in a directory and checked.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// Which one it is.
    pub(crate) id: FileId,
    /// Bytes.
    pub(crate) len: u64,
}

impl Dir {
    /// A new private directory in this one, with a random name.
    pub(crate) fn scratch(&self) -> Result<Scratch, VaultError> {
        let path = self.path().join(format!("work-{}", random_suffix()?));
        Ok(Scratch(Self::open_or_create(&path)?, Remains(path)))
    }
}

/// A private directory that goes away with what is in it.
pub(crate) struct Scratch(pub(crate) Dir, #[expect(dead_code, reason = "for its drop")] Remains);

/// What is removed when the directory's handle is closed.
struct Remains(PathBuf);

impl Drop for Remains {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Takes an exclusive lock on a file, waiting for as long as the database would.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    wait_for(|| system::try_lock(file))
}

/// Takes a lock that others can have too.
fn lock_shared(file: &File) -> io::Result<()> {
    wait_for(|| system::try_lock_shared(file))
}

fn wait_for(taken: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let begun = std::time::Instant::now();
    while !taken()? {
        if begun.elapsed() >= crate::db::PATIENCE {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Ok(())
}

/// A random file name part.
pub(crate) fn random_suffix() -> Result<String, VaultError> {
    Ok(format!("{:016x}", u64::from_be_bytes(crate::keys::random()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_without_replacing_leaves_what_is_there() {
        let top = tempfile::tempdir().unwrap();
        let (a, b) = (top.path().join("a"), top.path().join("b"));
        std::fs::write(&a, "a").unwrap();
        std::fs::write(&b, "b").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
    }
}
