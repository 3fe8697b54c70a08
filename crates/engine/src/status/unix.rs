//! What Unix has to show: two engines, and the launcher.

use std::path::{Path, PathBuf};

use envseal_sandbox::launch::Launcher;
use envseal_vault::EngineName;

use super::LauncherState;

/// The engines.
pub const ENGINES: &[EngineName] = &[EngineName::Private, EngineName::Namespaces];

/// Where a program that does nothing is.
const NOTHING: [&str; 3] = ["/bin/true", "/usr/bin/true", "/run/current-system/sw/bin/true"];

/// A program that does nothing, and what it is called by.
pub fn nothing() -> (PathBuf, &'static str) {
    let found = NOTHING.map(Path::new).into_iter().find(|path| path.exists());
    (found.unwrap_or(Path::new(NOTHING[0])).to_owned(), "true")
}

/// A directory that is always there.
pub fn root() -> PathBuf {
    "/".into()
}

/// Looks for the launcher.
pub fn launcher() -> Option<LauncherState> {
    let (installed, problem) = match Launcher::installed() {
        Ok(found) => (found.is_some(), None),
        Err(unusable) => (true, Some(unusable.to_string())),
    };
    Some(LauncherState { path: Launcher::path(), installed, problem })
}
