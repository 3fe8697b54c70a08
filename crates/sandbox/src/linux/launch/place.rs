//! Where the launcher is installed, and whether what is there can be trusted.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, getxattr, statvfs};
use rustix::thread::no_new_privs;

use crate::StartError;

/// Where the launcher and the loader are, in every installation: the place is no caller's choice.
pub const DIRECTORY: &str = "/usr/local/lib/envseal";
/// The launcher's file in [`DIRECTORY`].
pub const LAUNCHER: &str = "envseal-launch";
/// The execute-only copy of the dynamic loader in [`DIRECTORY`].
pub const LOADER: &str = "ld.so";
/// The groups that programs run with, one each: above every range that systemd, containers and subordinate
/// groups use, and still positive where a number is taken for a signed one.
pub const RANGE: std::ops::Range<u32> = 0x7000_0000..0x7ffd_0000;

/// Permission bits of the launcher: executable by everybody.
pub(super) const MODE: u32 = 0o755;
/// The extended attribute that holds a file's capabilities.
pub(super) const ATTRIBUTE: &str = "security.capability";
/// CAP_SETGID, which takes a group and is given up, and CAP_WAKE_ALARM, which stays; permitted but not effective
/// (struct vfs_cap_data of include/uapi/linux/capability.h, revision 2).
pub(super) const CAPABILITY: [u8; 20] = {
    let mut data = [0; 20];
    data[3] = 2;
    data[4] = 1 << 6;
    data[12] = 1 << (35 - 32);
    data
};
const ALL_BITS: u32 = 0o7777;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// An installed launcher that was found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher(());

/// Why a launcher that is installed cannot be used. Whoever falls back to a plain start here lets the caller
/// choose that programs can be read, by `no_new_privs` alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A file or directory on the way is not root's, or others can write it.
    #[error("{path}: {why}", path = path.display())]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The launcher's permission bits are not 2755.
    #[error("{path}: its mode is {mode:o}, not {MODE:o}", path = path.display())]
    Mode {
        /// The launcher.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The launcher has another capability than the one that takes a group, or none.
    #[error("{path}: its capabilities are not those that were installed", path = path.display())]
    Capability {
        /// The launcher.
        path: PathBuf,
    },
    /// The file system's set-group-ID bits count for nothing.
    #[error("{path}: its file system is mounted nosuid", path = path.display())]
    NoSetgid {
        /// The launcher.
        path: PathBuf,
    },
    /// This process can gain no privileges (`no_new_privs` of prctl(2)), so a file's capabilities count for nothing.
    #[error("this process cannot use a program with capabilities: no_new_privs is set")]
    NoNewPrivileges,
    /// The system could not say.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// What was looked at.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<Unusable> for StartError {
    fn from(error: Unusable) -> StartError {
        StartError::Launcher { why: error.to_string() }
    }
}

impl Launcher {
    /// The installed launcher; `None` when there is none.
    ///
    /// Checks all that this process can check: who owns the file and the directories above it, its mode, the
    /// mount, and that this process is not in the group. The rest the launcher checks of itself.
    pub fn installed() -> Result<Option<Launcher>, Unusable> {
        let path = Launcher::path();
        let file = match path.symlink_metadata() {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            found => found.map_err(at(&path))?,
        };
        check_way(Path::new(DIRECTORY))?;
        if !file.is_file() {
            return Err(Unusable::Unsafe { path, why: "not a regular file" });
        }
        owned_by_root(&path, &file)?;
        let mode = file.mode() & ALL_BITS;
        if mode != MODE {
            return Err(Unusable::Mode { path, mode });
        }
        let mut data = [0; 64];
        let length = getxattr(&path, ATTRIBUTE, &mut data).unwrap_or(0);
        if data.get(..length) != Some(&CAPABILITY) {
            return Err(Unusable::Capability { path });
        }
        let mounted = statvfs(&path).map_err(|error| at(&path)(error.into()))?;
        if mounted.f_flag.contains(StatVfsMountFlags::NOSUID) {
            return Err(Unusable::NoSetgid { path });
        }
        if no_new_privs().unwrap_or(true) {
            return Err(Unusable::NoNewPrivileges);
        }
        Ok(Some(Launcher(())))
    }

    /// Where it is.
    pub fn path() -> PathBuf {
        Path::new(DIRECTORY).join(LAUNCHER)
    }
}

/// Checks that nobody but root can change what is found at `directory`, an absolute path: neither the
/// directories above it nor, where a link leads elsewhere, those above its target.
pub(in crate::backend) fn check_way(directory: &Path) -> Result<(), Unusable> {
    let canonical = directory.canonicalize().map_err(at(directory))?;
    for path in directory.ancestors().chain(canonical.ancestors()) {
        let found = path.symlink_metadata().map_err(at(path))?;
        if found.is_symlink() {
            // Its own permission bits mean nothing; those of its directory are looked at in their turn.
            if found.uid() != 0 {
                return Err(Unusable::Unsafe { path: path.to_owned(), why: "a link that is not root's" });
            }
        } else if found.is_dir() {
            owned_by_root(path, &found)?;
        } else {
            return Err(Unusable::Unsafe { path: path.to_owned(), why: "not a directory" });
        }
    }
    Ok(())
}

/// Checks that root owns it and others cannot write it.
pub(super) fn owned_by_root(path: &Path, found: &Metadata) -> Result<(), Unusable> {
    let wrong = |why| Err(Unusable::Unsafe { path: path.to_owned(), why });
    match (found.uid(), found.mode() & WRITABLE_BY_OTHERS) {
        (0, 0) => Ok(()),
        (0, _) => wrong("others than root can write it"),
        _ => wrong("it does not belong to root"),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_can_write_and_all_beneath_it_is_unsafe() {
        let sound = Path::new("/usr/lib");
        assert!(check_way(sound).is_ok());
        // /tmp is everybody's.
        let room = tempfile::tempdir_in("/tmp").expect("a directory");
        let refused = check_way(room.path());
        assert!(matches!(refused, Err(Unusable::Unsafe { .. })), "{refused:?}");
        let link = room.path().join("link");
        std::os::unix::fs::symlink(sound, &link).expect("a link");
        assert!(matches!(check_way(&link), Err(Unusable::Unsafe { .. })));
        assert!(matches!(check_way(Path::new("/usr/bin/env")), Err(Unusable::Unsafe { .. })));
    }
}
