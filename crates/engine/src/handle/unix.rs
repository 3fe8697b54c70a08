//! Descriptors.

use std::io;

use envseal_sandbox::Stdio;

pub use std::os::fd::{AsFd as AsHandle, OwnedFd as Handle};

/// A second one of the same open file, not inherited.
pub fn duplicate(of: impl AsHandle) -> io::Result<Handle> {
    of.as_fd().try_clone_to_owned()
}

pub(super) fn stream(handle: Handle) -> Stdio {
    Stdio::Descriptor(handle)
}
