//! Who asks: the process that started envseal, and its ancestors.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::caller;

/// The farthest ancestor that is named.
const DEPTH: usize = 12;
