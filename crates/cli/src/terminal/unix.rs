//! The controlling terminal of Unix: `/dev/tty`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::SigId;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::Key;

/// What the terminal is called.
pub const NAME: &str = "/dev/tty";

/// Signals that end a question.
const SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The open terminal.
pub struct Tty(File);

impl Tty {
    pub fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open(NAME).map(Self)
    }

    pub fn columns(&self) -> Option<usize> {
        rustix::termios::tcgetwinsize(&self.0).ok().map(|size| usize::from(size.ws_col))
    }

    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.write_all(text)?;
        self.0.flush()
    }

    /// Waits for a key until `deadline`, or for a while.
    pub fn key(&mut self, deadline: Instant) -> io::Result<Key> {
        match readable(&self.0, deadline)? {
            None => return Ok(Key::None),
            Some(false) => return Ok(Key::TimedOut),
            Some(true) => {}
        }
        let mut byte = [0];
        Ok(if self.0.read(&mut byte)? == 0 { Key::Closed } else { Key::Byte(byte[0]) })
    }

    /// What is to be known before something secret is typed here: nothing, keys go to one reader.
    pub fn warning(&self) -> Option<String> {
        None
    }

    pub fn unbuffered(&self) -> io::Result<Unbuffered> {
        Unbuffered::new(&self.0)
    }
}

/// Catches the signals that would end this process, for as long as it lives.
pub struct Ending {
    wanted: Arc<AtomicBool>,
    caught: Vec<SigId>,
}

impl Ending {
    pub fn catch() -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        let caught = SIGNALS.map(|signal| signal_hook::flag::register(signal, Arc::clone(&wanted)));
        Self { wanted, caught: caught.into_iter().flatten().collect() }
    }

    /// Whether one came.
    pub fn is_wanted(&mut self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        for id in self.caught.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// How long is waited at once: a signal may come just before the wait, and then does not end it.
const SLICE: Duration = Duration::from_millis(200);

/// Whether there is something to read before the deadline; `None` when that is to be asked again.
fn readable(file: &File, deadline: Instant) -> io::Result<Option<bool>> {
    let left = deadline.saturating_duration_since(Instant::now());
    let wait = left.min(SLICE);
    let timeout = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
        Ok(0) if !left.is_zero() => Ok(None),
        Ok(ready) => Ok(Some(ready > 0)),
        Err(rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Echo, line editing and signals off for as long as this lives.
pub struct Unbuffered {
    terminal: File,
    before: Termios,
}

impl Unbuffered {
    fn new(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut modes = before.clone();
        modes.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal.as_fd(), OptionalActions::Drain, &modes)?;
        Ok(Self { terminal: terminal.try_clone()?, before })
    }
}

impl Drop for Unbuffered {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Flush, &self.before);
    }
}
