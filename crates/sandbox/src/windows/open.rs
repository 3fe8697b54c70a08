//! Opens the file of a program so that nobody changes it, and finds out where it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf, Prefix};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_NETPATH, ERROR_BAD_PATHNAME, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_PATH_NOT_FOUND, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE, GENERIC_EXECUTE, GENERIC_READ,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ADD_FILE, FILE_FLAG_BACKUP_SEMANTICS, FILE_SHARE_READ, SECURITY_ANONYMOUS, VOLUME_NAME_DOS,
    VOLUME_NAME_GUID,
};
use windows_sys::Win32::System::WindowsProgramming::{
    DRIVE_CDROM, DRIVE_FIXED, DRIVE_RAMDISK, DRIVE_REMOVABLE,
};

use super::pure::pe;
use super::sys;
use crate::{Given, ImageError};

/// What keeps others from the bytes: the handle itself.
#[derive(Debug)]
pub(crate) struct Guard(Given);

impl Guard {
    /// `Yes` where the file is on a disk of this machine. Its file system refuses a second opening for
    /// writing, deleting or renaming, and ours while a writable mapping exists. What another machine's
    /// does, this one cannot tell.
    pub(crate) fn holds(&self, _: &File) -> Given {
        self.0.clone()
    }
}

/// The canonical file of a program, opened for reading and executing, and shared for reading alone.
pub(crate) fn open_program(path: &Path) -> Result<(File, PathBuf, Guard), ImageError> {
    if is_device(path) {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "device or pipe" });
    }
    let failed = |source| failure(path, source);
    let file = match open(path, GENERIC_READ | GENERIC_EXECUTE) {
        Err(error) if is(&error, &[ERROR_ACCESS_DENIED]) => return Err(closed(path)),
        opened => opened.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "directory" });
    }
    if !sys::is_on_disk(&file) {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "device or pipe" });
    }
    let full = sys::final_path(&file, VOLUME_NAME_DOS).or_else(|_| sys::final_path(&file, VOLUME_NAME_GUID));
    let full = PathBuf::from(full.map_err(failed)?);
    let canonical = dunce::simplified(&full).to_owned();
    let name = full.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if name.contains(':') {
        return Err(ImageError::NotAFile { path: canonical, kind: "stream beside a file's content" });
    }
    if name.ends_with(".bat") || name.ends_with(".cmd") {
        return Err(ImageError::Batch { path: canonical });
    }
    let mut head = vec![0; pe::LOOKS_AT];
    let length = crate::image::fill(&file, &mut head, 0).map_err(failed)?;
    if !pe::is_program(&head[..length]) {
        return Err(ImageError::NotExecutable { path: canonical });
    }
    let guard = Guard(guarded(&full));
    Ok((file, canonical, guard))
}

fn open(path: &Path, access: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(access)
        .share_mode(FILE_SHARE_READ)
        // So that a directory is opened too, and can be told; a pipe's server learns nothing of the caller.
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .security_qos_flags(SECURITY_ANONYMOUS)
        .open(path)
}

/// Names of devices and pipes: opening one can have effects.
fn is_device(path: &Path) -> bool {
    matches!(path.components().next(), Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::DeviceNS(_)))
}

fn closed(path: &Path) -> ImageError {
    let may = |access| open(path, access).is_ok();
    let path = path.to_owned();
    match (may(GENERIC_READ), may(GENERIC_EXECUTE)) {
        (true, _) => ImageError::NotExecutable { path },
        (false, true) => ImageError::Unreadable { path },
        (false, false) => ImageError::Denied { path },
    }
}

fn failure(path: &Path, source: io::Error) -> ImageError {
    let path = path.to_owned();
    let nowhere = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_INVALID_NAME,
        ERROR_BAD_PATHNAME,
        ERROR_BAD_NETPATH,
    ];
    if is(&source, &nowhere) {
        ImageError::NotFound { path }
    } else if is(&source, &[ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE]) {
        ImageError::Busy { path }
    } else {
        ImageError::Io { path, source }
    }
}

fn is(error: &io::Error, codes: &[u32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&(code as u32)))
}

/// `full` is the path of the open handle, `\\?\C:\...` or `\\?\UNC\...`.
fn guarded(full: &Path) -> Given {
    let mut components = full.components();
    let root: PathBuf = components.by_ref().take(2).collect();
    let units: Vec<u16> = root.as_os_str().encode_wide().chain([0]).collect();
    match sys::drive_type(&units) {
        DRIVE_FIXED | DRIVE_REMOVABLE | DRIVE_CDROM | DRIVE_RAMDISK => Given::Yes,
        _ => Given::Guarded(format!(
            "{} is on another machine, which may not keep writers away",
            full.display()
        )),
    }
}

/// Whether this user can put another file into the directory of `program`.
pub(super) fn takes_files(program: &Path) -> bool {
    let Some(directory) = program.parent() else { return true };
    let opened = OpenOptions::new()
        .access_mode(FILE_ADD_FILE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(directory);
    !matches!(opened, Err(error) if is(&error, &[ERROR_ACCESS_DENIED]))
}

/// ReadFile with an offset.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}
