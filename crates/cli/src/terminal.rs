//! The person's terminal: questions, and text that is typed without being shown.
//!
//! Always `/dev/tty`, never standard input or output: those belong to the program that is run. What is typed
//! unseen is read with signals and echo off, so that Ctrl-C at the prompt leaves the terminal as it was.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use zeroize::Zeroizing;

/// Signals that end a question.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// A question nobody answers is answered with no after this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// The controlling terminal, opened for a conversation.
pub struct Terminal(File);

/// What came of a question.
pub enum Line {
    /// What was typed, without the line ending.
    Text(Zeroizing<Vec<u8>>),
    /// Ctrl-C, Ctrl-D on an empty line, or a terminal that went away.
    Cancelled,
    /// Nobody answered in time.
    TimedOut,
}

impl Terminal {
    /// Opens the controlling terminal; `None` when this process has none.
    pub fn open() -> Option<Self> {
        File::options().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Its width in characters; 80 where it does not say.
    pub fn columns(&self) -> usize {
        let size = rustix::termios::tcgetwinsize(&self.0);
        size.map_or(80, |size| usize::from(size.ws_col)).max(1)
    }

    /// Prints a text as it stands. The caller has made foreign text visible.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes())?;
        self.0.flush()
    }

    /// Asks for a line that is shown while it is typed.
    pub fn ask(&mut self, question: &str) -> io::Result<Line> {
        self.read(question, true)
    }

    /// Asks for a line that is not shown.
    pub fn ask_hidden(&mut self, question: &str) -> io::Result<Line> {
        self.read(question, false)
    }

    fn read(&mut self, question: &str, echo: bool) -> io::Result<Line> {
        // A signal that would end this process ends the question instead, and leaves the terminal as it was.
        let ended = Arc::new(AtomicBool::new(false));
        let caught = ENDING.map(|signal| signal_hook::flag::register(signal, Arc::clone(&ended)));
        self.say(question)?;
        let raw = Unbuffered::new(&self.0)?;
        let answer = self.edit_line(echo, &ended);
        drop(raw);
        for id in caught.into_iter().flatten() {
            signal_hook::low_level::unregister(id);
        }
        self.say("\n")?;
        answer
    }

    /// A line editor of the smallest kind: backspace, Ctrl-U, Ctrl-W is not one, Ctrl-C and Ctrl-D.
    fn edit_line(&mut self, echo: bool, ended: &AtomicBool) -> io::Result<Line> {
        let deadline = Instant::now() + PATIENCE;
        let mut line = Zeroizing::new(Vec::with_capacity(256));
        loop {
            let mut byte = [0];
            match readable(&self.0, deadline)? {
                _ if ended.load(Ordering::SeqCst) => return Ok(Line::Cancelled),
                Some(true) => {}
                Some(false) => return Ok(Line::TimedOut),
                None => continue,
            }
            if io::Read::read(&mut self.0, &mut byte)? == 0 {
                return Ok(Line::Cancelled);
            }
            match byte[0] {
                b'\r' | b'\n' => return Ok(Line::Text(line)),
                0x03 => return Ok(Line::Cancelled),
                0x04 if line.is_empty() => return Ok(Line::Cancelled),
                0x04 => {}
                0x08 | 0x7f => self.erase(&mut line, 1, echo)?,
                0x15 => {
                    let all = line.len();
                    self.erase(&mut line, all, echo)?;
                }
                _ if line.len() == LONGEST_LINE => {}
                byte => {
                    line.push(byte);
                    if echo && (byte >= 0x80 || !byte.is_ascii_control()) {
                        self.0.write_all(&[byte])?;
                    }
                }
            }
        }
    }

    /// Takes `count` characters off the end of the line, and off the screen.
    fn erase(&mut self, line: &mut Vec<u8>, count: usize, echo: bool) -> io::Result<()> {
        for _ in 0..count {
            // A UTF-8 character goes as one: its continuation bytes begin with the bits 10.
            while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            if echo {
                self.0.write_all(b"\x08 \x08")?;
            }
            if line.is_empty() {
                break;
            }
        }
        Ok(())
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
struct Unbuffered {
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
