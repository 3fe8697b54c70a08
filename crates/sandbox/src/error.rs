//! Why a program could not be opened or started.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

#[cfg(windows)]
use crate::Engine;
use crate::{Guarantee, Tier};

/// Why a file cannot be the image of a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no such file (a shell's status 127).
    #[error("{path}: not found", path = path.display())]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A directory, FIFO, socket or device.
    #[error("{path}: is a {kind}, not a program", path = path.display())]
    NotAFile {
        /// The canonical path.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// The file may not be executed by this user, or not from this mount (a shell's status 126).
    #[error("{path}: not executable", path = path.display())]
    NotExecutable {
        /// The canonical path.
        path: PathBuf,
    },
    /// It may be executed but not read, so what it is cannot be told.
    #[error("{path}: executable but not readable, so its bytes cannot be identified", path = path.display())]
    Unreadable {
        /// The canonical path.
        path: PathBuf,
    },
    /// A directory on the way, or the file itself, is closed to this user.
    #[error("{path}: permission denied", path = path.display())]
    Denied {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A script whose `#!` line the kernel would refuse.
    #[error("{path}: {why}", path = path.display())]
    Shebang {
        /// The canonical path.
        path: PathBuf,
        /// What is wrong with the line.
        why: String,
    },
    /// The file changed while it was read.
    #[error("{path}: changed while it was read", path = path.display())]
    Changed {
        /// The canonical path.
        path: PathBuf,
    },
    /// A batch file, whose arguments cmd.exe reads a second time by rules of its own.
    #[cfg(windows)]
    #[error(
        "{path}: a batch file; cmd.exe reads its arguments again, so that they cannot be passed safely. \
         Start the program that it calls, or cmd.exe with the exact command",
        path = path.display()
    )]
    Batch {
        /// The canonical path.
        path: PathBuf,
    },
    /// Another process has the file open or mapped for writing, or for deletion.
    #[cfg(windows)]
    #[error("{path}: open for writing in another process; try again when that has closed it", path = path.display())]
    Busy {
        /// The path as it was given.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ImageError {
    /// The status with which a shell would report this: 127 when nothing was found, else 126.
    pub fn shell_status(&self) -> i32 {
        match self {
            ImageError::NotFound { .. } => 127,
            _ => 126,
        }
    }
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The image is a script: start its interpreter with the script as an argument instead.
    #[error("{path}: a script is started through its interpreter", path = path.display())]
    Script {
        /// The script.
        path: PathBuf,
    },
    /// A NUL byte, which no argument, variable or path can carry.
    #[error("a NUL byte in {place}")]
    Nul {
        /// Where it was found.
        place: &'static str,
    },
    /// A name of a variable that is empty or holds `=`.
    #[error("not the name of an environment variable: {name:?}")]
    Variable {
        /// The name.
        name: OsString,
    },
    /// Two descriptors for one number, or a number outside 3 to 511.
    #[error("descriptor {number} is declared twice or out of range (3 to 511)")]
    Descriptor {
        /// The number in the program.
        number: i32,
    },
    /// [`Stdio::Terminal`](crate::Stdio::Terminal) without [`Spec::terminal`](crate::Spec::terminal).
    #[error("a stream is to be the terminal, but the program has none")]
    NoTerminal,
    /// Guarantees of the tier do not hold and were not waived; nothing was executed.
    #[error("tier {tier} is not given: {}", list(missing))]
    NotGiven {
        /// The tier that was asked for.
        tier: Tier,
        /// What is missing, each with the reason.
        missing: Vec<(Guarantee, String)>,
    },
    /// The kernel refused to execute the program.
    #[error("{path}: {source}", path = path.display())]
    Exec {
        /// The program.
        path: PathBuf,
        /// What the kernel said; `raw_os_error` is the errno of execveat(2), or the code of CreateProcessW.
        source: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("cannot enter {path}: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step of the start failed.
    #[error("cannot {step}: {source}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A signal ended the program, or the processes that watch it, before it was executed.
    #[error("ended by a signal before it was started")]
    Killed,
    /// An engine that only Linux has.
    #[cfg(windows)]
    #[error("engine {engine} is for Linux alone; Windows holds every tier in one way, the private engine's")]
    NoEngine {
        /// The engine that was asked for.
        engine: Engine,
    },
    /// Creation flags that would take the program out of its job, or that do not go together.
    #[cfg(windows)]
    #[error("creation flags {flags:#x} are refused: {why}")]
    CreationFlags {
        /// The flags that were refused.
        flags: u32,
        /// The reason.
        why: &'static str,
    },
    /// What the system made of the path is not the file that was hashed; the process was ended.
    #[cfg(windows)]
    #[error("{path}: the system started {found} instead of it; nothing of that has run", path = path.display())]
    AnotherImage {
        /// The program that was to be started.
        path: PathBuf,
        /// What the system says that the process runs.
        found: String,
    },
    /// A path that was to be readable or writable in Lockdown is closed to the program's container.
    #[cfg(windows)]
    #[error(
        "{path} is closed to the program's container; to open it: icacls \"{path}\" /grant \"*{sid}:{rights}\"",
        path = path.display()
    )]
    Closed {
        /// The path.
        path: PathBuf,
        /// The container's security identifier.
        sid: String,
        /// What it needs, as icacls writes it.
        rights: &'static str,
    },
    /// The launcher of the private group did not do it.
    #[error("the launcher: {why}")]
    Launcher {
        /// The reason.
        why: String,
    },
}

impl StartError {
    /// The status with which a shell would report this: 127 or 126 when the kernel refused to execute
    /// (127 for a missing ELF interpreter), 125 for everything that is not the program's fault.
    pub fn shell_status(&self) -> i32 {
        match self {
            StartError::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            StartError::Exec { .. } | StartError::Script { .. } => 126,
            _ => 125,
        }
    }
}

fn list(missing: &[(Guarantee, String)]) -> String {
    let each = missing.iter().map(|(guarantee, why)| format!("{guarantee} ({why})"));
    each.collect::<Vec<_>>().join(", ")
}
