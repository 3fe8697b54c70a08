//! A started program, as its supervisor holds it.

use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

use windows_sys::Win32::System::SystemServices::{
    JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS, JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT,
    JOB_OBJECT_MSG_END_OF_JOB_TIME, JOB_OBJECT_MSG_END_OF_PROCESS_TIME, JOB_OBJECT_MSG_JOB_MEMORY_LIMIT,
    JOB_OBJECT_MSG_NEW_PROCESS, JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT,
};

use super::make::Prepared;
use super::sys_console::send_break;
use super::sys_process::{exit_code, resume, terminate, wait};
use super::tty::{Master, Pty, Size};
use crate::{Enforced, Event, Exit, Limit};

/// The exit code of what [`Running::kill_tree`] and the drop end: what shells elsewhere report for SIGKILL.
const KILLED: u32 = 137;

/// How long to wait for the job's next message before its processes are counted again, in milliseconds.
const PATIENCE: u32 = 10;

/// A running program. Dropped, it ends the program with its whole tree and waits until that is done.
///
/// In [`Tier::None`](crate::Tier::None) there is no job: only the program itself is ended.
///
/// As a handle ([`AsHandle`]) it is signalled when the program has ended.
#[derive(Debug)]
pub struct Running {
    parts: Parts,
    exit: Option<Exit>,
}

/// What a start leaves in the supervisor's hands.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) pid: u32,
    pub(super) process: OwnedHandle,
    pub(super) thread: Option<OwnedHandle>,
    pub(super) prepared: Option<Prepared>,
    pub(super) enforced: Enforced,
    pub(super) ends: [Option<OwnedHandle>; 3],
    pub(super) terminal: Option<Pty>,
    pub(super) has_group: bool,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Running {
        Running { parts, exit: None }
    }

    /// The program's process number.
    pub fn pid(&self) -> u32 {
        self.parts.pid
    }

    /// The guarantees that were read back.
    pub fn enforced(&self) -> &Enforced {
        &self.parts.enforced
    }

    /// Whether the program has the caller's console and process group, and so gets Ctrl-C and Ctrl-Break
    /// from there itself.
    pub fn shares_process_group(&self) -> bool {
        self.parts.terminal.is_none() && !self.parts.has_group
    }

    /// The end to write to, when standard input is a pipe; once.
    pub fn take_stdin(&mut self) -> Option<OwnedHandle> {
        self.parts.ends[0].take()
    }

    /// The end to read from, when standard output is a pipe; once.
    pub fn take_stdout(&mut self) -> Option<OwnedHandle> {
        self.parts.ends[1].take()
    }

    /// The end to read from, when standard error is a pipe; once.
    pub fn take_stderr(&mut self) -> Option<OwnedHandle> {
        self.parts.ends[2].take()
    }

    /// The caller's side of the program's terminal, in copies at each call. The output ends when the
    /// program's tree has ended and what it had shown was read.
    pub fn terminal(&self) -> Option<io::Result<Master>> {
        self.parts.terminal.as_ref().map(|terminal| terminal.master.try_clone())
    }

    /// Sets the size of the program's terminal. Without a terminal of its own it shares the caller's, and
    /// there is nothing to do.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        self.parts.terminal.as_ref().map_or(Ok(()), |terminal| terminal.resize(size))
    }

    /// Interrupts the program: Ctrl-C where it has a terminal of its own, Ctrl-Break where it was started
    /// with `CREATE_NEW_PROCESS_GROUP` and shares the caller's console (GenerateConsoleCtrlEvent).
    ///
    /// [`io::ErrorKind::Unsupported`] elsewhere: the system sends no Ctrl-C to one program of a shared
    /// console. It gets the one from the keys.
    pub fn interrupt(&self) -> io::Result<()> {
        use std::io::Write;
        if self.exit.is_some() {
            return Ok(());
        }
        if let Some(terminal) = &self.parts.terminal {
            return std::fs::File::from(terminal.master.input.try_clone()?).write_all(b"\x03");
        }
        if self.parts.has_group {
            return send_break(self.parts.pid);
        }
        let why = "the program is in the caller's process group, to which the console sends Ctrl-C itself";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    /// Lets a program run that was started with `CREATE_SUSPENDED`.
    pub fn resume(&self) -> io::Result<()> {
        self.parts.thread.as_ref().map_or(Ok(()), |thread| resume(thread.as_handle()))
    }

    /// Ends the program and every process of its tree, with exit code 137. [`Running::wait`] tells when it
    /// is done.
    pub fn kill_tree(&self) -> io::Result<()> {
        self.terminate(KILLED)
    }

    /// Ends the program and every process of its tree at once, with this exit code: who reads a pipe that
    /// they wrote to comes to its end.
    pub fn terminate(&self, exit_code: u32) -> io::Result<()> {
        match &self.parts.prepared {
            _ if self.exit.is_some() => Ok(()),
            Some(prepared) => prepared.job.terminate(exit_code),
            None => terminate(self.as_handle(), exit_code),
        }
    }

    /// The next event, if one waits; never blocks for one. After [`Event::Exited`] there is no other.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        if self.exit.is_some() {
            return Ok(None);
        }
        if let Some(prepared) = &self.parts.prepared {
            while let Some((message, process)) = prepared.port.next(0)? {
                if let Some(event) =
                    event(message, process).filter(|&event| event != Event::Joined(self.parts.pid))
                {
                    return Ok(Some(event));
                }
            }
        }
        if !wait(self.as_handle(), Some(0))? {
            return Ok(None);
        }
        if let Some(prepared) = &self.parts.prepared {
            // What it left behind ends with it.
            prepared.job.terminate(KILLED)?;
            if prepared.job.active()? > 0 {
                return Ok(None);
            }
        }
        Ok(Some(Event::Exited(self.ended()?)))
    }

    /// How the program ended, if it has and nothing of its tree is left; events before that are passed over.
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        while self.exit.is_none() && self.next_event()?.is_some() {}
        Ok(self.exit)
    }

    /// Waits until the program has ended and its tree is gone; other events are passed over.
    pub fn wait(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
            wait(self.as_handle(), None)?;
            if let Some(prepared) = &self.parts.prepared {
                // No message is promised: this only shortens the wait.
                prepared.port.next(PATIENCE)?;
            }
        }
    }

    fn ended(&mut self) -> io::Result<Exit> {
        let exit = Exit::Code(exit_code(self.as_handle())?.cast_signed());
        self.exit = Some(exit);
        if let Some(terminal) = self.parts.terminal.take() {
            hang_up(terminal);
        }
        Ok(exit)
    }
}

/// Before Windows 11 24H2 a pseudoconsole closes only when everything was read, which may be later than now.
fn hang_up(terminal: Pty) {
    std::thread::spawn(move || drop(terminal));
}

fn event(message: u32, process: u32) -> Option<Event> {
    Some(match message {
        JOB_OBJECT_MSG_NEW_PROCESS => Event::Joined(process),
        JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS => Event::Crashed(process),
        JOB_OBJECT_MSG_ACTIVE_PROCESS_LIMIT => Event::Met(Limit::Processes),
        JOB_OBJECT_MSG_PROCESS_MEMORY_LIMIT => Event::Met(Limit::ProcessMemory),
        JOB_OBJECT_MSG_JOB_MEMORY_LIMIT => Event::Met(Limit::Memory),
        JOB_OBJECT_MSG_END_OF_PROCESS_TIME => Event::Met(Limit::ProcessTime),
        JOB_OBJECT_MSG_END_OF_JOB_TIME => Event::Met(Limit::Time),
        _ => return None,
    })
}

impl AsHandle for Running {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.parts.process.as_handle()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit.is_none() && self.kill_tree().is_ok() {
            let _ = self.wait();
        }
        if let Some(terminal) = self.parts.terminal.take() {
            hang_up(terminal);
        }
    }
}
