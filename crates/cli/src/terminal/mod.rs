//! The person's terminal: questions, and text that is typed without being shown.
//!
//! Always the controlling terminal or console, never standard input or output: those belong to the program that is
//! run. What is typed unseen is read with signals and echo off, so that Ctrl-C at the prompt leaves the terminal as
//! it was.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

use std::io;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use system::Tty;

/// What the terminal is called.
pub use system::NAME;
#[cfg(windows)]
pub use system::restore_after_panic;

/// A question nobody answers is answered with no after this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// What came of waiting for a key.
enum Key {
    /// A byte of what was typed.
    Byte(u8),
    /// Nothing yet.
    None,
    /// Nothing, and the deadline is over.
    TimedOut,
    /// The terminal went away.
    Closed,
}

/// The controlling terminal, opened for a conversation.
pub struct Terminal {
    tty: Tty,
    /// What was said of those who listen.
    warned: Option<String>,
}

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
        Tty::open().ok().map(|tty| Self { tty, warned: None })
    }

    /// Its width in characters; 80 where it does not say.
    pub fn columns(&self) -> usize {
        self.tty.columns().unwrap_or(80).max(1)
    }

    /// Prints a text as it stands. The caller has made foreign text visible.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.tty.write(text.as_bytes())
    }

    /// Asks for a line that is shown while it is typed.
    pub fn ask(&mut self, question: &str) -> io::Result<Line> {
        self.read(question, true)
    }

    /// Asks for a line that is not shown.
    pub fn ask_hidden(&mut self, question: &str) -> io::Result<Line> {
        let warning = self.tty.warning();
        if let Some(warning) = warning.as_deref().filter(|_| warning != self.warned) {
            self.say(&format!("! {warning}\n"))?;
        }
        self.warned = warning;
        self.read(question, false)
    }

    fn read(&mut self, question: &str, echo: bool) -> io::Result<Line> {
        let answer = {
            // What would end this process ends the question instead, and leaves the terminal as it was.
            let mut ending = system::Ending::catch();
            self.say(question)?;
            let _unbuffered = self.tty.unbuffered()?;
            self.edit_line(echo, &mut ending)
        };
        self.say("\n")?;
        answer
    }

    /// A line editor of the smallest kind: backspace, Ctrl-U, Ctrl-W is not one, Ctrl-C and Ctrl-D.
    fn edit_line(&mut self, echo: bool, ending: &mut system::Ending) -> io::Result<Line> {
        let deadline = Instant::now() + PATIENCE;
        let mut line = Zeroizing::new(Vec::with_capacity(256));
        loop {
            let key = self.tty.key(deadline)?;
            if ending.is_wanted() {
                return Ok(Line::Cancelled);
            }
            let byte = match key {
                Key::Byte(byte) => byte,
                Key::None => continue,
                Key::TimedOut => return Ok(Line::TimedOut),
                Key::Closed => return Ok(Line::Cancelled),
            };
            match byte {
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
                    push(&mut line, byte);
                    if echo && (byte >= 0x80 || !byte.is_ascii_control()) {
                        self.tty.write(&[byte])?;
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
                self.tty.write(b"\x08 \x08")?;
            }
            if line.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Adds a byte. A vector that grows by itself would leave what it had in freed memory.
fn push(line: &mut Zeroizing<Vec<u8>>, byte: u8) {
    if line.len() == line.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * line.capacity().max(1)));
        larger.extend_from_slice(line);
        *line = larger;
    }
    line.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_grows_to_whatever_was_typed() {
        let typed: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut line = Zeroizing::new(Vec::new());
        typed.iter().for_each(|byte| push(&mut line, *byte));
        assert_eq!(*line, typed);
    }
}
