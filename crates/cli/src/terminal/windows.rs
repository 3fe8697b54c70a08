//! The console of Windows.

use std::io;
use std::time::{Duration, Instant};

use envseal_engine::show::visible;
use envseal_sandbox::console::{self, Console, Keys};
use envseal_sandbox::tty::Interrupts;
use zeroize::Zeroizing;

use super::Key;

/// What the terminal is called.
pub const NAME: &str = "the console";

/// The open console.
pub struct Tty {
    console: Console,
    /// A character's UTF-8, and how much of it is still to be given, at the end.
    character: Zeroizing<[u8; 4]>,
    rest: std::ops::Range<usize>,
    /// The beginning of a character that is being written.
    begun: Vec<u8>,
}

impl Tty {
    pub fn open() -> io::Result<Self> {
        let character = Zeroizing::new([0; 4]);
        Ok(Self { console: Console::open()?, character, rest: 0..0, begun: Vec::new() })
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

    /// Waits for a key until `deadline`, or for a while.
    pub fn key(&mut self, deadline: Instant) -> io::Result<Key> {
        if self.rest.is_empty() {
            match self.console.key(deadline.min(Instant::now() + SLICE))? {
                None if Instant::now() >= deadline => return Ok(Key::TimedOut),
                None => return Ok(Key::None),
                Some(character) => self.rest = 0..character.encode_utf8(&mut *self.character).len(),
            }
        }
        // No character is empty.
        let Some(at) = self.rest.next() else { return Ok(Key::Closed) };
        Ok(Key::Byte(std::mem::take(&mut self.character[at])))
    }

    /// What is to be known before something secret is typed here.
    pub fn warning(&self) -> Option<String> {
        let others = match console::companions() {
            Ok(others) if others.is_empty() => return None,
            Ok(others) => others,
            Err(error) => {
                return Some(format!(
                    "Windows does not say which other processes can read what is typed here: {error}"
                ));
            }
        };
        let name = |one: &console::Companion| format!("{} (pid {})", visible(one.name.as_ref()), one.pid);
        let names: Vec<_> = others.iter().map(name).collect();
        Some(format!("other processes on this console can read what is typed here: {}", names.join(", ")))
    }

    pub fn unbuffered(&mut self) -> io::Result<Keys> {
        self.console.keys()
    }
}

/// How soon Ctrl-Break is noticed.
const SLICE: Duration = Duration::from_millis(200);

/// Catches Ctrl-Break, for as long as it lives; Ctrl-C is a key while a question is asked. When the window is closed the
/// system ends this process, after the console was put back.
pub struct Ending(Option<Interrupts>);

impl Ending {
    pub fn catch() -> Self {
        Self(Interrupts::catch().ok())
    }

    /// Whether it came.
    pub fn is_wanted(&mut self) -> bool {
        self.0.as_mut().is_some_and(Interrupts::came)
    }
}

/// From now on a panic of this program puts the console back first: a release is built without unwinding.
pub fn restore_after_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        console::restore();
        tell(info);
    }));
}
