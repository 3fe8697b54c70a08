//! Files whose bytes the program finds as they were given, whatever becomes of the path outside.
//!
//! A mount stands on a directory entry. Who can rename that entry, or one above it, takes the mount with it
//! (rename(2) minds only mounts of the own namespace), so a pin is safe only beneath directories that the
//! user cannot change, or that were made for the program.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use super::super::hidden::{bytes, resolve};
use crate::StartError;

/// One pinned file.
pub(super) struct Pin {
    pub(super) at: PathBuf,
    /// Where its bytes are, in the watchers.
    pub(super) content: RawFd,
    /// Permission bits of what the program finds: readable, and executable when the content is.
    pub(super) mode: u32,
}

impl Pin {
    /// Of what `Spec::pin` was given; `keep` gives a descriptor its number in the watchers.
    pub(super) fn new(
        path: &Path,
        content: &File,
        keep: &mut dyn FnMut(RawFd) -> RawFd,
    ) -> Result<Pin, StartError> {
        if bytes(path).contains(&0) {
            return Err(StartError::Nul { place: "a pinned path" });
        }
        let failed = |source| StartError::System { step: "look at a pinned file", source };
        let found = content.metadata().map_err(failed)?;
        if !found.is_file() || !path.is_absolute() {
            return Err(failed(std::io::ErrorKind::InvalidInput.into()));
        }
        let mode = if found.permissions().mode() & 0o111 == 0 { 0o444 } else { 0o555 };
        Ok(Pin { at: resolve(path), content: keep(content.as_raw_fd()), mode })
    }

    /// The topmost directory above the pin in which this user can rename what leads to it.
    pub(super) fn loose_from(&self) -> Option<&Path> {
        self.at.ancestors().skip(1).filter(|directory| is_changeable(directory)).last()
    }
}

fn is_changeable(directory: &Path) -> bool {
    // Unreadable counts as the worse case.
    let own = directory.metadata().map_or(true, |of| of.uid() == geteuid().as_raw());
    own || accessat(CWD, directory, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// A path of the plan.
pub(super) fn c_path(path: &Path) -> CString {
    // Paths come from the system, or were refused with a NUL byte before.
    CString::new(bytes(path)).unwrap_or_default()
}
