//! Consoles: a pseudoconsole for the program, the size, and raw mode for the caller's own.

use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};

use windows_sys::Win32::System::Console::{
    DISABLE_NEWLINE_AUTO_RETURN, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT,
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
};

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

/// Holds the caller's console in raw mode, with control sequences on both sides and in UTF-8; dropped, it
/// restores what was there.
#[derive(Debug)]
pub struct RawMode {
    input: File,
    screen: File,
    saved: Option<Saved>,
}

#[derive(Debug, Clone, Copy)]
struct Saved {
    input: u32,
    screen: u32,
    code_pages: (u32, u32),
}

impl RawMode {
    /// Sets the caller's console raw: each key passes at once, no echo, no Ctrl-C from keys.
    pub fn enter() -> io::Result<RawMode> {
        let mut mode = RawMode { input: console("CONIN$")?, screen: console("CONOUT$")?, saved: None };
        mode.resume()?;
        Ok(mode)
    }

    /// Restores the console for a while.
    pub fn suspend(&mut self) -> io::Result<()> {
        let Some(saved) = self.saved.take() else { return Ok(()) };
        // Each of them is restored, whatever the others say.
        let input = sys_console::set_mode(&self.input, saved.input);
        let screen = sys_console::set_mode(&self.screen, saved.screen);
        let pages = sys_console::set_code_pages(saved.code_pages);
        input.and(screen).and(pages)
    }

    /// Sets the console raw again.
    pub fn resume(&mut self) -> io::Result<()> {
        if self.saved.is_some() {
            return Ok(());
        }
        let (input, screen) = (sys_console::mode(&self.input)?, sys_console::mode(&self.screen)?);
        self.saved = Some(Saved { input, screen, code_pages: sys_console::code_pages() });
        let cooked = ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT | ENABLE_PROCESSED_INPUT;
        let sequences =
            ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING | DISABLE_NEWLINE_AUTO_RETURN;
        let set = sys_console::set_mode(&self.input, (input & !cooked) | ENABLE_VIRTUAL_TERMINAL_INPUT)
            .and_then(|()| sys_console::set_mode(&self.screen, screen | sequences))
            .and_then(|()| sys_console::set_code_pages((UTF_8, UTF_8)));
        if set.is_err() {
            // What was set is not what was asked for; the first error tells.
            let _ = self.suspend();
        }
        set
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A console that is gone needs no restoring.
        let _ = self.suspend();
    }
}

/// From now on Ctrl-C and Ctrl-Break do not end this process: for a supervisor whose program shares its
/// console and gets the keys itself. Not inherited by programs, unlike the system's own way to ignore Ctrl-C.
pub fn outlive_interrupts() -> io::Result<()> {
    sys_console::outlive_interrupts()
}

/// How many have come since: a program with a console of its own gets none of them by itself.
pub fn interrupts() -> u32 {
    sys_console::interrupts()
}

fn console(name: &str) -> io::Result<File> {
    File::options().read(true).write(true).open(name)
}
