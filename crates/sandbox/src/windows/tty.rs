//! Consoles: a pseudoconsole for the program, the size, and raw mode for the caller's own.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};

use windows_sys::Win32::System::Console::{
    DISABLE_NEWLINE_AUTO_RETURN, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT,
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
};

use super::closed::Making;
use super::modes::Changed;
use super::sys::pipe;
use super::sys_console::{self, PseudoConsole};
pub use crate::size::Size;

/// UTF-8, which a pseudoconsole speaks.
const UTF_8: u32 = 65001;

impl Size {
    /// The size of the caller's console; an error where it has none.
    pub fn of_console() -> io::Result<Size> {
        let (rows, columns) = sys_console::window(&console("CONOUT$")?)?;
        Ok(Size { rows, columns, ..Size::default() })
    }

    fn lengths(self) -> (i16, i16) {
        let length = |of: u16| i16::try_from(of.max(1)).unwrap_or(i16::MAX);
        (length(self.rows), length(self.columns))
    }
}

/// A pseudoconsole (ConPTY) for one program.
#[derive(Debug)]
pub struct Pty {
    pub(super) console: PseudoConsole,
    pub(super) master: Master,
}

impl Pty {
    /// A new one of this size. [`io::ErrorKind::Unsupported`] where the system has none (before Windows 10
    /// 1809).
    pub fn open(size: Size) -> io::Result<Pty> {
        // The system makes a process for it, with this one's token.
        let _making = Making::new()?;
        let (keys, input) = pipe()?;
        let (output, screen) = pipe()?;
        let (rows, columns) = size.lengths();
        let console = PseudoConsole::new(rows, columns, keys.as_handle(), screen.as_handle())?;
        Ok(Pty { console, master: Master { input, output } })
    }

    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        let (rows, columns) = size.lengths();
        self.console.resize(rows, columns)
    }
}

/// The caller's side of a pseudoconsole, in UTF-8 with the control sequences of terminals.
#[derive(Debug)]
pub struct Master {
    /// Keys are written here.
    pub input: OwnedHandle,
    /// What the program shows is read here, until the end of the pipe.
    pub output: OwnedHandle,
}

impl Master {
    pub(super) fn try_clone(&self) -> io::Result<Master> {
        Ok(Master { input: self.input.try_clone()?, output: self.output.try_clone()? })
    }
}

/// Holds the caller's console in raw mode, with control sequences on both sides and in UTF-8; dropped, or when the
/// window is closed, it restores what was there.
#[derive(Debug)]
pub struct RawMode {
    input: File,
    screen: File,
    /// Last what was changed first.
    changed: Vec<Changed>,
}

impl RawMode {
    /// Sets the caller's console raw: each key passes at once, no echo, no Ctrl-C from keys.
    pub fn enter() -> io::Result<RawMode> {
        let (input, screen) = (console("CONIN$")?, console("CONOUT$")?);
        let mut mode = RawMode { input, screen, changed: Vec::new() };
        mode.resume()?;
        Ok(mode)
    }

    /// Restores the console for a while.
    pub fn suspend(&mut self) -> io::Result<()> {
        // Each of them is restored, whatever the others say.
        self.changed.drain(..).map(Changed::undo).fold(Ok(()), io::Result::and)
    }

    /// Sets the console raw again.
    pub fn resume(&mut self) -> io::Result<()> {
        if !self.changed.is_empty() {
            return Ok(());
        }
        let cooked = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;
        let sequences =
            ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING | DISABLE_NEWLINE_AUTO_RETURN;
        let input = Changed::mode(&self.input, |mode| (mode & !cooked) | ENABLE_VIRTUAL_TERMINAL_INPUT)?;
        let screen = Changed::mode(&self.screen, |mode| mode | sequences)?;
        self.changed = vec![Changed::code_pages((UTF_8, UTF_8))?, screen, input];
        Ok(())
    }
}

/// While it lives, Ctrl-C and Ctrl-Break do not end this process: for a question, which they end instead, or for a
/// supervisor whose program shares its console and gets the keys itself. Not inherited by programs, unlike the system's
/// own way to ignore Ctrl-C.
#[derive(Debug)]
pub struct Interrupts {
    seen: u32,
}

impl Interrupts {
    /// Catches them from now on.
    pub fn catch() -> io::Result<Interrupts> {
        sys_console::catch()?;
        Ok(Interrupts { seen: sys_console::interrupts() })
    }

    /// Whether one came since this was asked last: a program with a console of its own gets none of them by itself.
    pub fn came(&mut self) -> bool {
        let now = sys_console::interrupts();
        std::mem::replace(&mut self.seen, now) != now
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        sys_console::let_through();
    }
}

fn console(name: &str) -> io::Result<File> {
    File::options().read(true).write(true).open(name)
}
