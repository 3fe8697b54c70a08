//! What holding a run needs on Unix: the launcher, directories in a home, a mode.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use envseal_sandbox::launch::{Launcher, start_through};
use envseal_sandbox::{Image, Running, Spec, StartError};
use envseal_vault::EngineName;

pub use super::homes::prepare;

/// Starts a program, through the installed launcher where there is one, which closes it to the user's other processes.
///
/// The namespace engine has a means of its own. A launcher that is there and cannot be used is an error, since whoever
/// starts envseal could bring that about; unless the program may be read (`L6` is waived).
pub fn start(spec: Spec, engine: EngineName, may_be_read: bool) -> Result<Running, StartError> {
    if engine == EngineName::Namespaces {
        return envseal_sandbox::start(spec);
    }
    match Launcher::installed() {
        Ok(Some(launcher)) => start_through(&launcher, spec),
        Ok(None) => envseal_sandbox::start(spec),
        Err(_) if may_be_read => envseal_sandbox::start(spec),
        Err(unusable) => Err(unusable.into()),
    }
}

/// Where temporary files go when nothing usable is said.
pub fn temporary() -> PathBuf {
    "/tmp".into()
}

/// A directory for the user alone.
pub fn directory(named: &mut tempfile::Builder<'_, '_>, within: &Path) -> io::Result<tempfile::TempDir> {
    named.permissions(Permissions::from_mode(0o700)).tempdir_in(within)
}

/// Where in it a program writes: in it.
pub fn open_to(_: Option<&Image>, kept: &Path) -> io::Result<PathBuf> {
    Ok(kept.to_owned())
}

/// Lets sockets through.
pub fn sockets(spec: Spec, paths: &[PathBuf]) -> Spec {
    paths.iter().fold(spec, |spec, path| spec.socket(path))
}

#[cfg(test)]
mod tests {
    use envseal_vault::TierName;

    use super::super::{Held, tests::grant};
    use super::*;

    #[test]
    fn a_granted_path_that_became_a_link_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (data, other) = (top.join("data"), top.join("other"));
        std::fs::create_dir(&data).unwrap();
        let mut grant = grant(TierName::Lockdown);
        grant.confinement.writes = vec![data.clone()];
        let held = Held::new(None, &grant, vec![]);
        assert_eq!(held.moved(), None);
        std::fs::rename(&data, &other).unwrap();
        assert_eq!(held.moved(), None);
        std::os::unix::fs::symlink(&other, &data).unwrap();
        assert_eq!(held.moved(), Some(data.as_path()));
    }

    #[test]
    fn a_scratch_directory_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = directory(tempfile::Builder::new().prefix("x"), dir.path()).unwrap();
        assert_eq!(scratch.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
