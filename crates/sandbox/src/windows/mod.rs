//! The Windows backend: job objects, restricted tokens, AppContainers, and what is read back of them.
//!
//! A process is created suspended and, from `Hardened` on, inside its job already. Only when every limit was
//! set and what holds was read back does its first thread run; whatever fails before ends it.

mod attach;
mod closed;
pub mod console;
mod facts;
mod look;
mod make;
mod modes;
mod open;
pub mod paths;
pub mod process;
pub(crate) mod pure;
mod running;
mod scratch;
mod start;
mod streams;
mod strings;
mod sys;
mod sys_console;
mod sys_container;
mod sys_job;
mod sys_keys;
mod sys_others;
mod sys_process;
mod sys_security;
mod sys_token;
pub mod tty;

pub use attach::attach;
pub use running::Running;
pub use scratch::scratch;
pub use start::start;
pub use sys::no_error_boxes;

pub(crate) use open::{Guard, open_program, read_at, writers};
pub(crate) use strings::same_name;
