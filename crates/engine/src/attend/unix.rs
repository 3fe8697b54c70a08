//! Attending on Unix: signals, keys, the window's size and job control.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use envseal_sandbox::tty::{RawMode, Size};
use envseal_sandbox::{Event, Exit, Running, Signal};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::signal::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::Origin;
use signal_hook::low_level::siginfo::Cause;

/// Signals that are passed on as they are.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Keys that wait for a program that does not read: no more are taken from the terminal until it does.
const KEYS: usize = 64 << 10;

/// Signals sent to this process, held from before the program starts so that none is lost.
pub struct Signals(SignalDelivery<UnixStream, WithOrigin>);

impl Signals {
    /// Catches the signals that concern a run.
    pub fn catch() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let signals = PASSED_ON.iter().chain(&[SIGCONT, SIGWINCH]);
        SignalDelivery::with_pipe(read, write, WithOrigin::default(), signals).map(Self)
    }
}

/// The person's terminal while a program has one of its own.
pub struct Outer {
    terminal: File,
    raw: Option<RawMode>,
    master: File,
    keys: VecDeque<u8>,
    /// No more keys will come, or nobody takes them.
    closed: bool,
}

impl Outer {
    /// `terminal` is where keys are read, `master` the program's terminal.
    pub fn new(terminal: File, master: OwnedFd) -> io::Result<Self> {
        // Keys are written without waiting: a program that does not read must not stop signals.
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self { terminal, raw: None, master: master.into(), keys: VecDeque::new(), closed: false })
    }

    /// Takes the terminal over if this process is in its foreground; a background job leaves it alone.
    fn take(&mut self) {
        let foreground = rustix::termios::tcgetpgrp(&self.terminal).ok();
        if self.raw.is_none() && foreground == Some(rustix::process::getpgrp()) {
            self.raw = RawMode::enter(&self.terminal).ok();
        }
    }

    fn give_back(&mut self) {
        self.raw = None;
    }

    fn read_keys(&mut self) {
        let mut chunk = [0; 4096];
        match self.terminal.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(count) => self.keys.extend(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.closed = true,
        }
    }

    fn write_keys(&mut self) {
        let (keys, _) = self.keys.as_slices();
        match self.master.write(keys) {
            Ok(count) => drop(self.keys.drain(..count)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                self.keys.clear();
                self.closed = true;
            }
        }
    }
}

/// Attends a program until it has ended and nothing of its tree is left.
pub fn attend(running: &mut Running, signals: &mut Signals, mut outer: Option<Outer>) -> io::Result<Exit> {
    if let Some(outer) = &mut outer {
        outer.take();
    }
    loop {
        let ready = wait(running, signals, outer.as_ref())?;
        if let Some(outer) = &mut outer {
            if ready.keys {
                outer.read_keys();
            }
            if ready.room {
                outer.write_keys();
            }
        }
        if ready.signal {
            for origin in signals.0.pending() {
                on_signal(&origin, running, outer.as_mut());
            }
        }
        if ready.event {
            match running.next_event()? {
                Some(Event::Exited(exit)) => return Ok(exit),
                Some(Event::Stopped(_)) => on_stop(running, outer.as_mut())?,
                Some(Event::Continued) | None => {}
            }
        }
    }
}

#[derive(Default)]
struct Ready {
    event: bool,
    signal: bool,
    keys: bool,
    room: bool,
}

fn wait(running: &Running, signals: &Signals, outer: Option<&Outer>) -> io::Result<Ready> {
    let mut descriptors =
        vec![PollFd::new(running, PollFlags::IN), PollFd::new(signals.0.get_read(), PollFlags::IN)];
    let mut keys_at = None;
    let mut room_at = None;
    if let Some(outer) = outer.filter(|outer| !outer.closed) {
        if outer.raw.is_some() && outer.keys.len() < KEYS {
            keys_at = Some(descriptors.len());
            descriptors.push(PollFd::new(&outer.terminal, PollFlags::IN));
        }
        if !outer.keys.is_empty() {
            room_at = Some(descriptors.len());
            descriptors.push(PollFd::new(&outer.master, PollFlags::OUT));
        }
    }
    match poll(&mut descriptors, None) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok(Ready { signal: true, ..Ready::default() }),
        Err(error) => return Err(error.into()),
    }
    let is_ready = |at: usize| !descriptors[at].revents().is_empty();
    Ok(Ready {
        event: is_ready(0),
        signal: is_ready(1),
        keys: keys_at.is_some_and(is_ready),
        room: room_at.is_some_and(is_ready),
    })
}

fn on_signal(origin: &Origin, running: &Running, outer: Option<&mut Outer>) {
    // What a key of the terminal sent, the kernel sent to the whole process group: the program has it already.
    let has_it = running.shares_process_group() && origin.cause == Cause::Kernel;
    match (origin.signal, outer) {
        (SIGWINCH, Some(outer)) => resize(running, outer),
        (SIGCONT, Some(outer)) => {
            outer.take();
            resize(running, outer);
            let _ = running.resume();
        }
        (number, _) if !has_it => {
            if let Some(signal) = Signal::from_raw(number) {
                // A program that has just ended takes no signal; its end is the next event.
                let _ = running.signal(signal);
            }
        }
        _ => {}
    }
}

/// The program was stopped from its own terminal (Ctrl-Z): stop the whole job that envseal is part of, as the
/// person's shell expects; when that is continued, continue the program.
fn on_stop(running: &Running, outer: Option<&mut Outer>) -> io::Result<()> {
    let Some(outer) = outer else { return Ok(()) };
    outer.give_back();
    rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
    outer.take();
    resize(running, outer);
    running.resume()
}

fn resize(running: &Running, outer: &Outer) {
    // A terminal without a size has none to pass on.
    if let Ok(size) = Size::of(&outer.terminal) {
        let _ = running.resize(size);
    }
}
