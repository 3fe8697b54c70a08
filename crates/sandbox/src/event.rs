//! What a running program does and can be sent.

use std::fmt;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It ended itself with this status. On Windows the 32 bits of its exit code: a crash has a negative
    /// one, an NTSTATUS such as 0xC0000005 (access violation).
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The status as a shell reports it: the code, or 128 and the signal's number.
    pub fn shell_status(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

/// A change in a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// It was stopped by this signal (Ctrl-Z, SIGSTOP, a read from the background).
    Stopped(i32),
    /// It runs again. Not told when its next change came sooner than this could be.
    Continued,
    /// It ended, and nothing of its tree is left.
    Exited(Exit),
    /// A process of this number joined the tree. As the other two below: told by the job, which promises the
    /// delivery of no message.
    #[cfg(windows)]
    Joined(u32),
    /// The process of this number crashed: its exit code is one of the system's for an exception.
    #[cfg(windows)]
    Crashed(u32),
    /// The tree met one of its limits.
    #[cfg(windows)]
    Met(Limit),
}

/// What a tree can meet (`JOB_OBJECT_MSG_*`, winnt.h).
#[cfg(windows)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The number of processes.
    Processes,
    /// The memory of one process.
    ProcessMemory,
    /// The memory of the tree.
    Memory,
    /// The time of one process.
    ProcessTime,
    /// The time of the tree.
    Time,
}

/// The number of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

impl Signal {
    /// `number` as the system counts signals; 1 to 64, else `None`.
    pub fn from_raw(number: i32) -> Option<Signal> {
        (1..=64).contains(&number).then_some(Signal(number))
    }

    /// The system's number.
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

#[cfg(unix)]
#[allow(missing_docs, reason = "the names are the manual's: signal(7)")]
impl Signal {
    pub const HUP: Signal = Signal(libc::SIGHUP);
    pub const INT: Signal = Signal(libc::SIGINT);
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    pub const KILL: Signal = Signal(libc::SIGKILL);
    pub const USR1: Signal = Signal(libc::SIGUSR1);
    pub const USR2: Signal = Signal(libc::SIGUSR2);
    pub const TERM: Signal = Signal(libc::SIGTERM);
    pub const CONT: Signal = Signal(libc::SIGCONT);
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    pub const TSTP: Signal = Signal(libc::SIGTSTP);
    pub const WINCH: Signal = Signal(libc::SIGWINCH);
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) if *code < 0 => write!(f, "exit status {code:#x}"),
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
