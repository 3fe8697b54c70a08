//! Open descriptors that the command line names.

use std::fs::File;
use std::io;

/// What the caller left open under this number. Reading takes no more from it than is asked for.
#[cfg(unix)]
pub fn open(number: u32) -> io::Result<File> {
    match number {
        // Its own file would be opened anew, and from its beginning.
        0 => Ok(std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?.into()),
        _ => File::open(format!("/dev/fd/{number}")),
    }
}

/// Windows numbers no descriptors; standard input is the one that every shell can lay.
#[cfg(windows)]
pub fn open(number: u32) -> io::Result<File> {
    match number {
        0 => Ok(std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?.into()),
        _ => Err(io::Error::other("on Windows only 0, the standard input, can be named")),
    }
}
