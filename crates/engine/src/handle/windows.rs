//! Handles.

use std::io;

use envseal_sandbox::Stdio;

pub use std::os::windows::io::{AsHandle, OwnedHandle as Handle};

/// A second one of the same open file, not inherited.
pub fn duplicate(of: impl AsHandle) -> io::Result<Handle> {
    of.as_handle().try_clone_to_owned()
}

pub(super) fn stream(handle: Handle) -> Stdio {
    Stdio::Handle(handle)
}
