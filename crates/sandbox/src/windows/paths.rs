//! Where an open file is, and where Windows is, whatever paths and variables say.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use windows_sys::Win32::Storage::FileSystem::VOLUME_NAME_DOS;

use super::sys;

/// The canonical path of an open file, links resolved (GetFinalPathNameByHandleW), without `\\?\` where that is not
/// needed.
pub fn final_path(file: &File) -> io::Result<PathBuf> {
    let path = PathBuf::from(sys::final_path(file, VOLUME_NAME_DOS)?);
    Ok(dunce::simplified(&path).to_owned())
}

/// The directory that Windows is in.
pub fn windows() -> io::Result<PathBuf> {
    sys::windows_directory().map(PathBuf::from)
}
