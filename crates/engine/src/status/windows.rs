//! What Windows has to show: one engine.

use std::path::PathBuf;

use envseal_sandbox::paths::windows;
use envseal_vault::EngineName;

use super::LauncherState;

/// The engines.
pub const ENGINES: &[EngineName] = &[EngineName::Private];

/// A program that does next to nothing, and that every Windows has; and what it is called by.
pub fn nothing() -> (PathBuf, &'static str) {
    (root().join("System32").join("hostname.exe"), "hostname")
}

/// A directory that is always there.
pub fn root() -> PathBuf {
    windows().unwrap_or_else(|_| "C:\\Windows".into())
}

/// Windows needs none.
pub fn launcher() -> Option<LauncherState> {
    None
}
