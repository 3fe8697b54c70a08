//! Starts a program in a sandbox tier and says which guarantees the kernel confirmed.
//!
//! The way of a start: [`Image::open`] opens and hashes the program, [`Spec`] says what it may have,
//! [`start`] runs it through the very handle that was hashed and returns a [`Running`] with the
//! [`Enforced`] guarantees that were read back. This crate knows nothing of secrets, policies or
//! terminals of the owner; it moves no output: the caller takes the parent's ends and pumps.
//!
//! ```no_run
//! # #[cfg(target_os = "linux")] {
//! use envseal_sandbox::{Image, Spec, Stdio, Tier, start};
//! let image = Image::open("/usr/bin/env".as_ref())?;
//! let spec = Spec::new(image).env("LANG", "C").stdout(Stdio::Pipe).tier(Tier::None);
//! let mut running = start(spec)?;
//! let exit = running.wait()?;
//! # let _ = exit; }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]
#![cfg_attr(
    not(any(target_os = "linux", windows)),
    allow(dead_code, reason = "a system without a backend yet: only the names are there")
)]

mod enforced;
mod event;
mod shebang;
mod size;
mod tier;

pub use enforced::{Enforced, Given};
#[cfg(windows)]
pub use event::Limit;
pub use event::{Event, Exit, Signal};
pub use shebang::Shebang;
pub use tier::{Engine, Guarantee, Tier, UnknownEngine, UnknownGuarantee, UnknownTier};

// A backend brings: start, Running, open_program, read_at, Guard. One line per system, here only.
#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod backend;
#[cfg(windows)]
#[path = "windows/mod.rs"]
mod backend;

// The parts of the Windows backend that call no system are tested everywhere.
#[cfg(all(test, not(windows)))]
#[path = "windows/pure/mod.rs"]
#[allow(dead_code, reason = "its callers are built for Windows only")]
mod pure;

#[cfg(any(target_os = "linux", windows))]
mod error;
#[cfg(any(target_os = "linux", windows))]
mod image;
#[cfg(any(target_os = "linux", windows))]
mod spec;
#[cfg(unix)]
pub mod tty;

#[cfg(any(target_os = "linux", windows))]
pub use backend::{Running, start};
#[cfg(windows)]
pub use backend::{attach, no_error_boxes, scratch};
#[cfg(windows)]
pub use backend::{console, paths, process, tty};
#[cfg(target_os = "linux")]
pub use backend::{launch, reap_orphans};
#[cfg(any(target_os = "linux", windows))]
pub use error::{ImageError, StartError};
#[cfg(any(target_os = "linux", windows))]
pub use image::Image;
#[cfg(any(target_os = "linux", windows))]
pub use spec::{Limits, Spec, Stdio};
