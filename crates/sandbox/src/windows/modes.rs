//! What is changed of a console and put back, however this process ends: when its holder is dropped, when the window is
//! closed, or by whoever calls [`restore`] when nothing is dropped any more.

use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sys_console as sys;

/// A change that is undone when this is dropped.
#[derive(Debug)]
pub(super) struct Changed(u64);

#[derive(Debug)]
enum Before {
    Mode(File, u32),
    CodePages((u32, u32)),
}

impl Before {
    fn restore(&self) -> io::Result<()> {
        match self {
            Before::Mode(console, mode) => sys::set_mode(console, *mode),
            Before::CodePages(pages) => sys::set_code_pages(*pages),
        }
    }
}

/// All changes that hold, oldest first.
struct All {
    changes: Vec<(u64, Before)>,
    next: u64,
    /// The process ends: nothing is changed any more.
    ends: bool,
}

static ALL: Mutex<All> = Mutex::new(All { changes: Vec::new(), next: 0, ends: false });

fn all() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changed {
    /// Changes the mode of a console's input or screen.
    pub(super) fn mode(console: &File, change: impl FnOnce(u32) -> u32) -> io::Result<Changed> {
        let before = sys::mode(console)?;
        Changed::make(Before::Mode(console.try_clone()?, before), || sys::set_mode(console, change(before)))
    }

    /// Changes the code pages of the console's input and output.
    pub(super) fn code_pages(pages: (u32, u32)) -> io::Result<Changed> {
        Changed::make(Before::CodePages(sys::code_pages()), || sys::set_code_pages(pages))
    }

    fn make(before: Before, set: impl FnOnce() -> io::Result<()>) -> io::Result<Changed> {
        sys::handle_events()?;
        let mut all = all();
        if all.ends {
            return Err(io::Error::other("the console is being closed"));
        }
        if let Err(error) = set() {
            // One of several may have been set.
            let _ = before.restore();
            return Err(error);
        }
        let number = all.next;
        all.next += 1;
        all.changes.push((number, before));
        Ok(Changed(number))
    }

    /// Undoes it now, and says whether that could be done.
    pub(super) fn undo(self) -> io::Result<()> {
        self.restore()
    }

    fn restore(&self) -> io::Result<()> {
        let mut all = all();
        match all.changes.iter().position(|(number, _)| *number == self.0) {
            Some(at) => all.changes.remove(at).1.restore(),
            None => Ok(()),
        }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // A console that is gone needs no restoring.
        let _ = self.restore();
    }
}

/// Puts back everything that was changed, the last change first; from now on nothing is changed any more.
pub(super) fn restore() {
    let mut all = all();
    all.ends = true;
    while let Some((_, before)) = all.changes.pop() {
        let _ = before.restore();
    }
}
