//! What holding a run needs on Windows: little, since the sandbox has one engine and needs no launcher.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use envseal_sandbox::{Image, Running, Spec, StartError};
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
pub fn directory(named: &mut tempfile::Builder<'_, '_>, within: &Path) -> io::Result<tempfile::TempDir> {
    named.tempdir_in(within)
}

/// Where in it a program writes. A container needs an access list that lets it in, which a directory has from the
/// beginning or, for a moment, not: so it is one within.
pub fn open_to(image: Option<&Image>, kept: &Path) -> io::Result<PathBuf> {
    let Some(image) = image else { return Ok(kept.to_owned()) };
    let path = kept.join("own");
    envseal_sandbox::scratch(&path, image)?;
    Ok(path)
}

/// Nothing: the sockets of Windows have no paths that a sandbox judges.
pub fn sockets(spec: Spec, _: &[PathBuf]) -> Spec {
    spec
}
