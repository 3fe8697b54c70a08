//! What holding a run needs on Windows: little, since the sandbox has one engine and needs no launcher.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use envseal_sandbox::{Running, Spec, StartError};
use envseal_vault::EngineName;

/// Starts a program.
pub fn start(spec: Spec, _: EngineName, _: bool) -> Result<Running, StartError> {
    envseal_sandbox::start(spec)
}

/// Nothing: whatever is hidden, a program can make new files beside it.
pub fn prepare(_: &Path, _: &[&OsStr], _: &[PathBuf]) {}

/// Where temporary files go when nothing usable is said.
pub fn temporary() -> PathBuf {
    std::env::temp_dir()
}

/// A directory with a name that nobody can guess. It is as private as the one it is in, which for a user's
/// temporary files is in the user's profile.
pub fn scratch(named: &mut tempfile::Builder<'_, '_>, within: &Path) -> io::Result<tempfile::TempDir> {
    named.tempdir_in(within)
}

/// Nothing: the sockets of Windows have no paths that a sandbox judges.
pub fn sockets(spec: Spec, _: &[PathBuf]) -> Spec {
    spec
}
