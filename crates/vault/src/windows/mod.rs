//! Calls of Windows that the standard library has no name for: files with a descriptor, the user, DPAPI.
#![allow(unsafe_code)]

pub(crate) mod dpapi;
pub(crate) mod file;
pub(crate) mod user;

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt as _;

/// A text as Windows takes it: UTF-16 with a zero at the end.
fn wide(text: &OsStr) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a zero character in a path"));
    }
    wide.push(0);
    Ok(wide)
}

/// The error of the call that has just failed.
fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
