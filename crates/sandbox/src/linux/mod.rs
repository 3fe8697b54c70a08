//! The Linux backend: watchers, restrictions and what is read back of both engines.
//!
//! ```text
//! supervisor (the caller)
//!   └ outer watcher   own session; ends the tree when the supervisor or the inner watcher ends
//!       └ inner watcher   reports to the supervisor; ends the tree when the supervisor or outer ends
//!           └ program   in the caller's process group, or in a session of its own with a terminal
//! ```
//!
//! Both watchers are child subreapers (prctl(2)): a process that outlives its parent becomes a child of
//! the inner one, or of the outer one when that is gone, so that nothing has to be searched for. The
//! outer one is a copy of the caller (fork); the inner one and the program, until it is executed, share
//! the memory of the outer one, which costs no copy and carries what failed back.

mod board;
mod confine;
mod connect;
mod gate;
mod hidden;
mod judge;
mod kept;
mod landlock;
pub mod launch;
mod namespaces;
mod open;
mod peer;
mod plan;
mod proc_file;
mod program;
mod report;
mod running;
mod seal;
mod seccomp;
mod start;
mod step;
mod strings;
mod surroundings;
mod sys;
mod sys_confine;
mod sys_namespaces;
mod watch;

pub use running::{Running, reap_orphans};
pub use start::start;

pub(crate) use open::{Guard, open_program, read_at};
