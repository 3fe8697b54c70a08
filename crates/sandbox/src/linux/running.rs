//! A started program, as its supervisor holds it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{self, WaitId, WaitIdOptions, WaitOptions, pidfd_send_signal, wait, waitid};

use super::launch::Helper;
use super::report::{Order, REPORT, Report};
use crate::tty::Size;
use crate::{Enforced, Event, Exit, Signal};

/// A running program. Dropped, it ends the program with its whole tree and waits until that is done.
///
/// As a descriptor ([`AsFd`]) it becomes readable when [`Running::next_event`] has something to tell.
#[derive(Debug)]
pub struct Running {
    /// There until [`Running::into_parts`] takes them.
    parts: Option<Parts>,
    exit: Option<Exit>,
    /// The launcher's process, where that started it.
    helper: Option<Helper>,
}

/// What a start leaves in the supervisor's hands.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) pid: i32,
    pub(super) own_session: bool,
    pub(super) link: OwnedFd,
    pub(super) watcher: OwnedFd,
    pub(super) enforced: Enforced,
    pub(super) streams: [Option<OwnedFd>; 3],
    pub(super) terminal: Option<OwnedFd>,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Running {
        Running { parts: Some(parts), exit: None, helper: None }
    }

    /// Of a program whose supervisor is the launcher.
    pub(super) fn launched(parts: Parts, helper: Helper) -> Running {
        Running { parts: Some(parts), exit: None, helper: Some(helper) }
    }

    /// Lets go of the program without ending it.
    pub(super) fn into_parts(mut self) -> Parts {
        self.parts.take().expect("only this takes them, and it takes the whole")
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("taken only with the whole")
    }

    fn stream(&mut self, number: usize) -> Option<OwnedFd> {
        self.parts.as_mut().and_then(|parts| parts.streams[number].take())
    }

    /// The program's process number. Signals go through [`Running::signal`], which cannot hit another
    /// process that got the number later.
    pub fn pid(&self) -> u32 {
        self.parts().pid.unsigned_abs()
    }

    /// The guarantees that were read back.
    pub fn enforced(&self) -> &Enforced {
        &self.parts().enforced
    }

    /// Whether the program shares the caller's process group, and so gets what the terminal's keys send to
    /// the group: a caller that forwards signals must not forward those (`SI_KERNEL`) a second time.
    /// Without a terminal of its own it does.
    pub fn shares_process_group(&self) -> bool {
        !self.parts().own_session
    }

    /// The end to write to, when standard input is a pipe; once.
    pub fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.stream(0)
    }

    /// The end to read from, when standard output is a pipe; once.
    pub fn take_stdout(&mut self) -> Option<OwnedFd> {
        self.stream(1)
    }

    /// The end to read from, when standard error is a pipe; once.
    pub fn take_stderr(&mut self) -> Option<OwnedFd> {
        self.stream(2)
    }

    /// The master of the program's terminal, a second descriptor of it at each call. A read gives EIO once
    /// no process has the terminal open any more.
    pub fn terminal(&self) -> Option<io::Result<OwnedFd>> {
        self.parts().terminal.as_ref().map(OwnedFd::try_clone)
    }

    /// Sets the size of the program's terminal, whose foreground group is told (SIGWINCH). Without a
    /// terminal of its own it shares the caller's, and there is nothing to do.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        self.parts().terminal.as_ref().map_or(Ok(()), |terminal| size.apply(terminal))
    }

    /// Sends `signal` to the program alone. When it has ended already, nothing happens.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.order(Order::Signal(signal.as_raw()))
    }

    /// Sends `signal` to the program's process group, when it has one of its own (with a terminal of its
    /// own), else to the program alone.
    pub fn signal_group(&self, signal: Signal) -> io::Result<()> {
        self.order(Order::Group(signal.as_raw()))
    }

    /// Continues a stopped program, with all that Ctrl-Z stopped beside it.
    pub fn resume(&self) -> io::Result<()> {
        self.signal_group(Signal::CONT)
    }

    /// Ends the program and every process of its tree with SIGKILL. [`Running::wait`] tells when it is done.
    pub fn kill_tree(&self) -> io::Result<()> {
        self.order(Order::End)
    }

    fn order(&self, order: Order) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        loop {
            return match send(&self.parts().link, &order.encode(), SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => continue,
                Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// The next event, if one waits; never blocks for one. After [`Event::Exited`] there is no other.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        if self.exit.is_some() {
            return Ok(None);
        }
        let mut bytes = [0; REPORT];
        let report = loop {
            match recv(&self.parts().link, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((_, REPORT)) => break Report::decode(&bytes),
                // The inner watcher was ended; the outer one ends the tree.
                Ok(_) | Err(Errno::CONNRESET) => break None,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Some(match report {
            Some(Report::Stopped { signal }) => Event::Stopped(signal),
            Some(Report::Continued) => Event::Continued,
            Some(Report::Exited { code }) => self.ended(Exit::Code(code)),
            Some(Report::Killed { signal }) => self.ended(Exit::Signal(signal)),
            _ => {
                bury(&self.parts().watcher);
                self.ended(Exit::Signal(libc::SIGKILL))
            }
        }))
    }

    /// The tree is gone. The watchers end now too, for which only the drop waits: the caller may use the time.
    fn ended(&mut self, exit: Exit) -> Event {
        // It would only wait for the end of the inner one, which is about to end.
        let _ = pidfd_send_signal(&self.parts().watcher, process::Signal::KILL);
        self.exit = Some(exit);
        Event::Exited(exit)
    }

    /// How the program ended, if it has; events before that are passed over.
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
            match poll(&mut [PollFd::new(&self.parts().link, PollFlags::IN)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.parts().link.as_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.parts.is_some() && (self.exit.is_some() || self.kill_tree().is_ok()) {
            bury(&self.parts().watcher);
        }
        drop(self.helper.take());
    }
}

/// Waits for the end of the outer watcher, which is the end of the tree, and reaps it where it is a child.
pub(super) fn bury(watcher: &OwnedFd) {
    // A watcher of the launcher is not this process's child, for which waitid would not wait.
    while let Err(Errno::INTR) = poll(&mut [PollFd::new(watcher, PollFlags::IN)], None) {}
    let any = WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL as u32);
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(watcher.as_fd()), any) {}
}

/// Reaps orphans, for a caller that is process 1 of a container and to which they fall; gives their number.
///
/// Takes the status of every child of the caller that has ended, so only for a caller that starts
/// processes through this crate alone. What [`start`](crate::start) makes is never taken.
pub fn reap_orphans() -> usize {
    let mut count = 0;
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {
        count += 1;
    }
    count
}
