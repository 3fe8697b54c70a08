//! Opens the file of a program without ever waiting for it, and keeps writers away from it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, accessat, fstat, open, openat2,
};
use rustix::io::Errno;

use super::sys;
use crate::{Given, ImageError};

/// What keeps the bytes of an open program as they are.
#[derive(Debug)]
pub(crate) enum Guard {
    /// This user cannot write the file, nor make it writable.
    Foreign,
    /// A read lease, taken before the file was hashed.
    Lease,
    /// Nothing does, for this reason.
    Nothing(io::Error),
}

impl Guard {
    fn over(file: &File, handle: &str, owner: u32) -> Guard {
        let own = owner == rustix::process::geteuid().as_raw();
        if !own && accessat(CWD, handle, Access::WRITE_OK, AtFlags::EACCESS).is_err() {
            return Guard::Foreign;
        }
        sys::take_lease(file.as_fd()).map_or_else(Guard::Nothing, |()| Guard::Lease)
    }

    /// Whether a lease is what guards the bytes.
    pub(crate) fn is_lease(&self) -> bool {
        matches!(self, Guard::Lease)
    }

    /// Whether the bytes are still those of the hash.
    pub(crate) fn holds(&self, file: &File) -> Given {
        match self {
            Guard::Foreign => Given::Yes,
            Guard::Lease if sys::has_lease(file.as_fd()) => Given::Yes,
            Guard::Lease => Given::No("the file was opened for writing after it was hashed".into()),
            Guard::Nothing(why) => {
                Given::Guarded(format!("the user can write the file, and no lease keeps writers away: {why}"))
            }
        }
    }
}

/// The canonical file of `path`, open for reading, its path, and what guards its bytes from now on.
pub(crate) fn open_program(path: &Path) -> Result<(File, PathBuf, Guard), ImageError> {
    let canonical = path.canonicalize().map_err(|error| failure(path, error))?;
    let file: File = match open_canonical(&canonical) {
        Ok(file) => file,
        // ENXIO is what a socket says, and a device without hardware behind it.
        Err(Errno::NXIO) => return Err(ImageError::NotAFile { path: canonical, kind: "socket or device" }),
        Err(Errno::ACCESS) => return Err(closed(canonical)),
        Err(error) => return Err(failure(path, error.into())),
    };
    let stat = fstat(&file).map_err(|error| failure(path, error.into()))?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("directory"),
        FileType::Fifo => Some("FIFO"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("device"),
        _ => Some("special file"),
    };
    if let Some(kind) = kind {
        return Err(ImageError::NotAFile { path: canonical, kind });
    }
    // Through the handle, so that the answer is about this very file; knows of noexec mounts too.
    let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
    if stat.st_mode & 0o111 == 0 || accessat(CWD, &handle, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Err(ImageError::NotExecutable { path: canonical });
    }
    let guard = Guard::over(&file, &handle, stat.st_uid);
    Ok((file, canonical, guard))
}

/// Follows no link: one that appeared after the path was made canonical is an error, not a way.
fn open_canonical(canonical: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    match openat2(CWD, canonical, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Before Linux 5.6, or under a filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open(canonical, flags, Mode::empty()).map(File::from),
        opened => opened.map(File::from),
    }
}

fn closed(canonical: PathBuf) -> ImageError {
    let may = |access| accessat(CWD, &canonical, access, AtFlags::EACCESS).is_ok();
    match canonical.metadata() {
        Ok(of) if of.is_dir() => ImageError::NotAFile { path: canonical, kind: "directory" },
        Ok(of) if of.is_file() && may(Access::EXEC_OK) => ImageError::Unreadable { path: canonical },
        Ok(of) if of.is_file() && may(Access::READ_OK) => ImageError::NotExecutable { path: canonical },
        _ => ImageError::Denied { path: canonical },
    }
}

fn failure(path: &Path, source: io::Error) -> ImageError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ImageError::NotFound { path },
        io::ErrorKind::PermissionDenied => ImageError::Denied { path },
        _ => ImageError::Io { path, source },
    }
}

/// pread(2).
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buffer, offset)
}
