//! The console of Windows.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use envseal_sandbox::console::{Console, Keys};

use super::Key;

/// What the terminal is called.
pub const NAME: &str = "the console";

/// The open console.
pub struct Tty {
    console: Console,
    /// The rest of a character's UTF-8.
    rest: VecDeque<u8>,
    /// The beginning of a character that is being written.
    begun: Vec<u8>,
}

impl Tty {
    pub fn open() -> io::Result<Self> {
        Ok(Self { console: Console::open()?, rest: VecDeque::new(), begun: Vec::new() })
    }

    pub fn columns(&self) -> Option<usize> {
        self.console.size().ok().map(|(columns, _)| usize::from(columns))
    }

    /// A character is shown once its last byte came.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.begun.extend_from_slice(text);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        self.console.write(&String::from_utf8_lossy(&self.begun))?;
        self.begun = rest;
        Ok(())
    }

    /// Waits for a key until `deadline`.
    pub fn key(&mut self, deadline: Instant) -> io::Result<Key> {
        if let Some(byte) = self.rest.pop_front() {
            return Ok(Key::Byte(byte));
        }
        Ok(match self.console.key(deadline)? {
            None if Instant::now() >= deadline => Key::TimedOut,
            None => Key::None,
            Some(character) => {
                let mut room = [0; 4];
                self.rest.extend(character.encode_utf8(&mut room).as_bytes());
                zeroize::Zeroize::zeroize(&mut room);
                self.rest.pop_front().map_or(Key::Closed, Key::Byte)
            }
        })
    }

    pub fn unbuffered(&mut self) -> io::Result<Keys> {
        self.console.keys()
    }
}

/// Ctrl-C is a key while a question is asked; nothing else has to be caught.
pub struct Ending;

impl Ending {
    pub fn catch() -> Self {
        Self
    }

    pub fn is_wanted(&self) -> bool {
        false
    }
}
