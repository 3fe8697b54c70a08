//! What Unix says of this machine, and where the notes of a vault's state are kept.

use std::path::PathBuf;

/// The machine's number: `/etc/machine-id`, empty where there is none.
pub(crate) fn machine() -> Vec<u8> {
    std::fs::read("/etc/machine-id").unwrap_or_default()
}

/// The state directory and the one of the login: `$XDG_STATE_HOME/envseal`, else `~/.local/state/envseal`, and
/// `$XDG_RUNTIME_DIR/envseal` where there is one (XDG Base Directory Specification).
pub(crate) fn note_directories() -> (Option<PathBuf>, Option<PathBuf>) {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home =
        || std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".local/state"));
    (
        set("XDG_STATE_HOME").or_else(home).map(|dir| dir.join("envseal")),
        set("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()).map(|dir| dir.join("envseal")),
    )
}
