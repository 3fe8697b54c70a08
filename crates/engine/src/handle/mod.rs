//! An open file of the system, as it is handed to a program: a descriptor on Unix, a handle on Windows.

use std::io;

use envseal_sandbox::Stdio;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::{AsHandle, Handle, duplicate};

/// As a program's standard stream.
pub fn stream(handle: Handle) -> Stdio {
    system::stream(handle)
}

/// A pipe: the end to read from and the end to write to. No program inherits either by itself.
pub fn pipe() -> io::Result<(Handle, Handle)> {
    let (read, write) = io::pipe()?;
    Ok((read.into(), write.into()))
}
