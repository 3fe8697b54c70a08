//! The vault's directory and files on Unix: modes, owners, handles.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};

use super::Found;
use crate::VaultError;

/// Device and inode.
pub(crate) type FileId = (u64, u64);

const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
const PRIVATE_DIR: Mode = Mode::from_raw_mode(0o700);

/// An open private directory.
pub(crate) struct Dir {
    handle: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a directory that must be there, private and this user's.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        // Without a trailing slash, through which O_NOFOLLOW would follow.
        let path: PathBuf = path.components().collect();
        let refused = |why: &str| VaultError::Unsafe { path: path.clone(), why: why.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::NOENT => VaultError::NoVault { dir: path.clone() },
            rustix::io::Errno::LOOP => refused("it is a symbolic link"),
            rustix::io::Errno::NOTDIR if path.is_symlink() => refused("it is a symbolic link"),
            rustix::io::Errno::NOTDIR => refused("it is not a directory"),
            other => VaultError::io(path.display().to_string(), other),
        })?;
        let failed = |error: io::Error| VaultError::io(path.display().to_string(), error);
        let stat = rustix::fs::fstat(&handle).map_err(|error| failed(error.into()))?;
        if let Some(why) = not_private(&stat, false) {
            return Err(refused(&why));
        }
        let canonical = path.canonicalize().map_err(failed)?;
        let found = rustix::fs::stat(&canonical).map_err(|error| failed(error.into()))?;
        if (found.st_dev, found.st_ino) != (stat.st_dev, stat.st_ino) {
            return Err(refused("it was replaced while it was being opened"));
        }
        Ok(Self { handle, path: canonical })
    }

    /// The same, made with mode 0700 (parents too) when it is not there.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, VaultError> {
        let path: PathBuf = path.components().collect();
        let failed = |error: io::Error| VaultError::io(path.display().to_string(), error);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            // The mode again: a umask may have taken bits away from it.
            Ok(()) => rustix::fs::chmod(&path, PRIVATE_DIR).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        Self::open(&path)
    }

    /// Its canonical path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is under `name`, checked: `None` when nothing is, an error when it is not a private regular file.
    pub(crate) fn check(&self, name: &str) -> Result<Option<Found>, VaultError> {
        let path = || self.path.join(name);
        let stat = match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(VaultError::io(path().display().to_string(), error)),
        };
        match not_regular(&stat).or_else(|| not_private(&stat, false)) {
            Some(why) => Err(VaultError::Unsafe { path: path(), why }),
            None => Ok(Some(Found { id: id_of(&stat), len: stat.st_size as u64 })),
        }
    }

    /// Opens a file in it.
    pub(crate) fn file(&self, name: &str, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.handle, name, flags, Mode::empty())?.into())
    }

    /// Makes a file in it, mode 0600; there must be none of the name.
    pub(crate) fn create(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        create_private(&self.path.join(name.as_ref()))
    }

    /// Moves a file of another directory here. With `replace`, over what has the name.
    pub(crate) fn take(&self, from: &Self, name: &str, replace: bool) -> io::Result<()> {
        move_file(&from.handle, OsStr::new(name), &self.handle, OsStr::new(name), replace)
    }

    /// Gives a file in it a second name.
    pub(crate) fn link(&self, name: &str, second: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.handle, name, &self.handle, second, AtFlags::empty())?)
    }

    /// Moves a file of another directory over the one of the name here, once `before` is done.
    pub(crate) fn take_over(
        &self,
        from: &Self,
        name: &str,
        mut before: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        before()?;
        self.take(from, name, true)
    }

    /// Renames a file in it.
    pub(crate) fn rename(&self, old: &str, new: &str) -> io::Result<()> {
        move_file(&self.handle, OsStr::new(old), &self.handle, OsStr::new(new), true)
    }

    /// Nothing: a file that is open can be replaced.
    pub(crate) fn wait_until_replaceable(&self, _names: &[&str]) -> io::Result<()> {
        Ok(())
    }

    /// Makes what was renamed in it last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.handle)?)
    }

    /// Keeps other processes from making, replacing or opening the vault in it until the guard is dropped.
    pub(crate) fn hold(&self) -> Result<File, VaultError> {
        self.locked(super::lock)
    }

    /// Waits until nobody holds it, and keeps others from that until the guard is dropped.
    pub(crate) fn enter(&self) -> Result<File, VaultError> {
        self.locked(super::lock_shared)
    }

    fn locked(&self, lock: fn(&File) -> io::Result<()>) -> Result<File, VaultError> {
        let failed = |error: io::Error| VaultError::io(self.path.display().to_string(), error);
        // A description of its own: a lock on a duplicate would be shared within the process.
        let fresh = rustix::fs::openat(&self.handle, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let fresh = File::from(fresh.map_err(|error| failed(error.into()))?);
        lock(&fresh).map_err(failed)?;
        Ok(fresh)
    }
}

/// Takes an exclusive lock on a file without waiting; says whether it did.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    try_flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
}

/// The same, a lock that others can have too.
pub(super) fn try_lock_shared(file: &File) -> io::Result<bool> {
    try_flock(file, rustix::fs::FlockOperation::NonBlockingLockShared)
}

fn try_flock(file: &File, operation: rustix::fs::FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(file, operation) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

/// Opens a file for reading that must not be a symbolic link; does not wait for a FIFO's writer.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Makes a file, mode 0600 whatever the umask; there must be none.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, PRIVATE_FILE)?;
    rustix::fs::fchmod(&file, PRIVATE_FILE)?;
    Ok(file.into())
}

/// Says why an open file is not a private regular one of this user (or, with `or_root`, of root).
pub(crate) fn check_private(file: &File, or_root: bool) -> io::Result<Option<String>> {
    let stat = rustix::fs::fstat(file)?;
    Ok(not_regular(&stat).or_else(|| not_private(&stat, or_root)))
}

/// Renames a file without replacing anything.
pub(crate) fn rename_new(old: &Path, new: &Path) -> io::Result<()> {
    move_file(rustix::fs::CWD, old.as_os_str(), rustix::fs::CWD, new.as_os_str(), false)
}

/// Which file an open one is.
pub(crate) fn identity(file: &File) -> io::Result<FileId> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}

/// Which file has a name, links not followed.
pub(crate) fn identity_at(path: &Path) -> io::Result<FileId> {
    path.symlink_metadata().map(|found| (found.dev(), found.ino()))
}

/// Reads from a place in a file, as much as there is.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(bytes, at)
}

/// Writes all bytes at a place in a file.
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// Makes what was renamed in a directory last.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn move_file(
    from: impl std::os::fd::AsFd,
    old: &OsStr,
    to: impl std::os::fd::AsFd,
    new: &OsStr,
    replace: bool,
) -> io::Result<()> {
    if replace {
        return Ok(rustix::fs::renameat(from, old, to, new)?);
    }
    match rustix::fs::renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        // A file system without the flag: a link fails when the name is taken.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            rustix::fs::linkat(&from, old, &to, new, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(&from, old, AtFlags::empty())?)
        }
        done => Ok(done?),
    }
}

/// As the standard library's `dev` and `ino` give them.
#[allow(clippy::unnecessary_cast, reason = "a device is 32 bits on macOS")]
fn id_of(stat: &Stat) -> FileId {
    (stat.st_dev as u64, stat.st_ino)
}

fn not_regular(stat: &Stat) -> Option<String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some("it is a symbolic link".into()),
        _ => Some("it is not a regular file".into()),
    }
}

fn not_private(stat: &Stat, or_root: bool) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me && !(or_root && stat.st_uid == 0) {
        return Some(format!("it belongs to user {}, not to user {me}", stat.st_uid));
    }
    let mode = stat.st_mode & 0o777;
    (mode & 0o077 != 0).then(|| format!("others can reach it (mode {mode:03o}): chmod go= it"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn why(result: Result<Dir, VaultError>) -> String {
        match result {
            Err(VaultError::Unsafe { why, .. }) => why,
            Err(other) => panic!("{other}"),
            Ok(dir) => panic!("{} was taken", dir.path().display()),
        }
    }

    #[test]
    fn a_directory_is_made_private_and_a_loose_one_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("a/b");
        Dir::open_or_create(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for mode in [0o750, 0o705, 0o777] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(why(Dir::open(&path)).contains("others can reach it"));
        }
    }

    #[test]
    fn a_linked_directory_is_refused_and_a_linked_parent_is_not() {
        let top = tempfile::tempdir().unwrap();
        Dir::open_or_create(&top.path().join("real/vault")).unwrap();
        symlink("real", top.path().join("parent")).unwrap();
        symlink("vault", top.path().join("real/link")).unwrap();
        assert!(Dir::open(&top.path().join("parent/vault")).is_ok());
        for link in ["real/link", "real/link/", "real/link/."] {
            assert_eq!(why(Dir::open(&top.path().join(link))), "it is a symbolic link", "{link}");
        }
    }

    #[test]
    fn a_file_in_it_is_refused_unless_it_is_private_and_regular() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("d")).unwrap();
        assert!(dir.check("f").unwrap().is_none());
        dir.create("f").unwrap();
        assert!(dir.check("f").unwrap().is_some());
        symlink("f", dir.path().join("l")).unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("loose"), "").unwrap();
        std::fs::set_permissions(dir.path().join("loose"), PermissionsExt::from_mode(0o644)).unwrap();
        for name in ["l", "d", "loose"] {
            assert!(matches!(dir.check(name), Err(VaultError::Unsafe { .. })), "{name}");
        }
        assert!(dir.file("l", false).is_err());
    }
}
