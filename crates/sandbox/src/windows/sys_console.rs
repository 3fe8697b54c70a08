//! Consoles: the caller's, and a pseudoconsole for a program.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::windows::io::BorrowedHandle;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, COORD, CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent,
    GetConsoleCP, GetConsoleMode, GetConsoleOutputCP, GetConsoleProcessList, GetConsoleScreenBufferInfo,
    HPCON, SetConsoleCP, SetConsoleCtrlHandler, SetConsoleMode, SetConsoleOutputCP,
};
use windows_sys::core::{BOOL, HRESULT};

use super::modes;
use super::sys::{check, loaded, raw};

type Create = unsafe extern "system" fn(COORD, HANDLE, HANDLE, u32, *mut HPCON) -> HRESULT;
type Resize = unsafe extern "system" fn(HPCON, COORD) -> HRESULT;
type Close = unsafe extern "system" fn(HPCON);

/// A pseudoconsole (Windows 10 1809). Closed, it ends the programs that still have it.
#[derive(Debug)]
pub(super) struct PseudoConsole {
    console: HPCON,
    resize: Resize,
    close: Close,
}

impl PseudoConsole {
    /// Keys are read from `input`, the screen is written to `output`; both are copied.
    pub(super) fn new(
        rows: i16,
        columns: i16,
        input: BorrowedHandle<'_>,
        output: BorrowedHandle<'_>,
    ) -> io::Result<PseudoConsole> {
        let library: Vec<u16> = "kernel32.dll\0".encode_utf16().collect();
        let function = |name| {
            let missing = || {
                let what = "this Windows has no pseudoconsoles (CreatePseudoConsole, since version 1809)";
                io::Error::new(io::ErrorKind::Unsupported, what)
            };
            loaded(&library, name).ok_or_else(missing)
        };
        let create = function(c"CreatePseudoConsole")?;
        // SAFETY: the function of this name has this type (consoleapi.h).
        let create = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Create>(create) };
        let resize = function(c"ResizePseudoConsole")?;
        // SAFETY: likewise.
        let resize = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Resize>(resize) };
        let close = function(c"ClosePseudoConsole")?;
        // SAFETY: likewise.
        let close = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Close>(close) };
        let mut console: HPCON = 0;
        let size = COORD { X: columns, Y: rows };
        // SAFETY: both handles are open, and `console` takes one.
        let made = unsafe { create(size, raw(input), raw(output), 0, &mut console) };
        succeeded(made)?;
        Ok(PseudoConsole { console, resize, close })
    }

    /// Its number, which lives as long as it.
    pub(super) fn number(&self) -> HPCON {
        self.console
    }

    pub(super) fn resize(&self, rows: i16, columns: i16) -> io::Result<()> {
        // SAFETY: the console is open until it is dropped.
        succeeded(unsafe { (self.resize)(self.console, COORD { X: columns, Y: rows }) })
    }
}

impl Drop for PseudoConsole {
    fn drop(&mut self) {
        // SAFETY: the console is open, and not used any more.
        unsafe { (self.close)(self.console) };
    }
}

fn succeeded(answer: HRESULT) -> io::Result<()> {
    if answer >= 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer)) }
}

/// The mode of a console's input or screen: `ENABLE_*`.
pub(super) fn mode(console: &File) -> io::Result<u32> {
    let mut mode = 0;
    // SAFETY: the handle is open, and `mode` takes one number.
    check(unsafe { GetConsoleMode(raw(console), &mut mode) })?;
    Ok(mode)
}

pub(super) fn set_mode(console: &File, mode: u32) -> io::Result<()> {
    // SAFETY: the handle is open.
    check(unsafe { SetConsoleMode(raw(console), mode) })
}

/// The code pages of the console's input and output.
pub(super) fn code_pages() -> (u32, u32) {
    // SAFETY: reads a number.
    let input = unsafe { GetConsoleCP() };
    // SAFETY: reads a number.
    (input, unsafe { GetConsoleOutputCP() })
}

pub(super) fn set_code_pages((input, output): (u32, u32)) -> io::Result<()> {
    // SAFETY: takes a number.
    check(unsafe { SetConsoleCP(input) })?;
    // SAFETY: takes a number.
    check(unsafe { SetConsoleOutputCP(output) })
}

/// Rows and columns of the window on a console's screen.
pub(super) fn window(screen: &File) -> io::Result<(u16, u16)> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the handle is open, and `info` takes one structure.
    check(unsafe { GetConsoleScreenBufferInfo(raw(screen), &mut info) })?;
    let length = |first: i16, last: i16| u16::try_from(i32::from(last) - i32::from(first) + 1).unwrap_or(0);
    let of = info.srWindow;
    Ok((length(of.Top, of.Bottom), length(of.Left, of.Right)))
}

/// Ctrl-Break for the process group `group` of the caller's console. (Ctrl-C cannot be sent to one group.)
pub(super) fn send_break(group: u32) -> io::Result<()> {
    // SAFETY: takes numbers.
    check(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) })
}

/// The processes that have the caller's console.
pub(super) fn attached() -> io::Result<Vec<u32>> {
    let mut found = vec![0_u32; 64];
    loop {
        let (room, size) = (found.as_mut_ptr(), found.len() as u32);
        // SAFETY: `found` has room for as many numbers as are named.
        let count = unsafe { GetConsoleProcessList(room, size) } as usize;
        match count {
            0 => return Err(io::Error::last_os_error()),
            count if count <= found.len() => {
                found.truncate(count);
                return Ok(found);
            }
            // Too many for the room: nothing was written.
            count => found.resize(count + 16, 0),
        }
    }
}

/// How many wait for Ctrl-C and Ctrl-Break, which then do not end this process.
static CATCHING: AtomicU32 = AtomicU32::new(0);
/// How many of them came while somebody did.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// From now on Ctrl-C and Ctrl-Break do not end this process, until [`let_through`] was called as often as this.
pub(super) fn catch() -> io::Result<()> {
    handle_events()?;
    CATCHING.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// Ends one [`catch`].
pub(super) fn let_through() {
    CATCHING.fetch_sub(1, Ordering::SeqCst);
}

/// How many came while they were caught.
pub(super) fn interrupts() -> u32 {
    INTERRUPTS.load(Ordering::SeqCst)
}

/// Has the console's events told to this process, from now on: before one ends it, what it changed of the console is
/// put back.
pub(super) fn handle_events() -> io::Result<()> {
    static HANDLED: Mutex<bool> = Mutex::new(false);
    let mut handled = HANDLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*handled {
        // SAFETY: the function lives as long as the process.
        check(unsafe { SetConsoleCtrlHandler(Some(on_event), 1) })?;
        *handled = true;
    }
    Ok(())
}

/// Called by the system in a thread of its own. After a 0 it ends the process; at the closing of the window, the end of
/// the session and of the system it does that whatever the answer.
pub(super) unsafe extern "system" fn on_event(event: u32) -> BOOL {
    let is_interrupt = matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT);
    if is_interrupt && CATCHING.load(Ordering::SeqCst) > 0 {
        INTERRUPTS.fetch_add(1, Ordering::SeqCst);
        return 1;
    }
    modes::restore();
    0
}
