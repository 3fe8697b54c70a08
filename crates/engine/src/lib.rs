//! The main job of envseal: identify a program, decide, ask, open the named secrets, run, mask, record.
#![forbid(unsafe_code)]

pub mod allow;
pub mod approve;
mod attend;
mod caller;
mod clock;
pub mod confinement;
mod deliver;
pub mod environment;
mod handle;
mod held;
pub mod identity;
mod interpreter;
mod opened;
pub mod policy;
mod pump;
pub mod registry;
pub mod request;
mod run;
pub mod show;
pub mod status;
mod streams;

pub use clock::{about_now, now};
pub use run::{Asked, Place, RunError, open, run};
