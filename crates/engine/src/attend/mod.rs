//! Stays with a running program: passes on signals, keys, the window's size and job control, until it has ended.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::{Outer, Signals, attend};
