//! What Unix has to show: two engines, and the launcher.

use std::path::{Path, PathBuf};

use envseal_sandbox::launch::Launcher;
use envseal_vault::EngineName;
use serde::Serialize;

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

/// Whether the launcher that closes programs to the user's other processes is installed.
#[derive(Clone, Debug, Serialize)]
pub struct LauncherState {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// It is there.
    pub installed: bool,
    /// Why it cannot be used although it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Looks for the launcher.
pub fn launcher() -> LauncherState {
    let (installed, problem) = match Launcher::installed() {
        Ok(found) => (found.is_some(), None),
        Err(unusable) => (true, Some(unusable.to_string())),
    };
    LauncherState { path: Launcher::path(), installed, problem }
}
