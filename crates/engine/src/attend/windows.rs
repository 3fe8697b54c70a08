//! Attending on Windows: Ctrl-C and Ctrl-Break, keys and the window's size.
//!
//! A program on envseal's own console gets Ctrl-C from the system, as envseal does, which therefore lets it pass. One
//! on a console of its own gets keys only: Ctrl-C is one of them.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use envseal_sandbox::console::Console;
use envseal_sandbox::process::Process;
use envseal_sandbox::tty::{Interrupts, RawMode, Size};
use envseal_sandbox::{Exit, Running};

use crate::handle::Handle;

/// How soon the end of a program on a console of its own is noticed. Keys are passed on as they come.
const SLICE: Duration = Duration::from_millis(25);
/// How soon Ctrl-Break and a new size of the window are noticed.
const LOOK: Duration = Duration::from_millis(250);
/// The most bytes of keys that are passed on at once.
const KEYS: usize = 4 << 10;

/// The console's signals, held from before the program starts so that none ends envseal first.
pub struct Signals(Interrupts);

impl Signals {
    /// Catches them from now on, for as long as this process lives: after the program, how it ended is recorded. When the
    /// console is closed the system ends envseal all the same, and with it the program, but in tier none.
    pub fn catch() -> io::Result<Self> {
        std::mem::forget(Interrupts::catch()?);
        Interrupts::catch().map(Self)
    }
}

/// The person's console while a program has one of its own.
pub struct Outer {
    console: Console,
    raw: Option<RawMode>,
    keys: File,
    /// No more keys will come, or nobody takes them.
    closed: bool,
    size: Option<Size>,
}

impl Outer {
    /// `console` is where keys are read, `keys` where the program's console takes them.
    pub fn new(console: Console, keys: Handle) -> io::Result<Self> {
        Ok(Self { console, raw: None, keys: keys.into(), closed: false, size: Size::of_console().ok() })
    }

    /// Passes on what is typed within so long.
    fn pass_keys(&mut self, limit: Duration) {
        let mut typed = zeroize::Zeroizing::new(String::with_capacity(KEYS + 4));
        let mut deadline = Instant::now() + limit;
        while typed.len() < KEYS {
            match self.console.key(deadline) {
                Ok(Some(key)) => typed.push(key),
                Ok(None) => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
            // What has come with it, and no more.
            deadline = Instant::now();
        }
        if !typed.is_empty() && self.keys.write_all(typed.as_bytes()).is_err() {
            self.closed = true;
        }
    }

    /// Gives the program's console the size of the person's.
    fn resize(&mut self, running: &Running) {
        let size = Size::of_console().ok();
        if let Some(size) = size.filter(|_| size != self.size) {
            self.size = Some(size);
            let _ = running.resize(size);
        }
    }
}

/// Attends a program until it has ended and nothing of its tree is left.
pub fn attend(running: &mut Running, signals: &mut Signals, mut outer: Option<Outer>) -> io::Result<Exit> {
    let program = Process::open(running.pid())?;
    if let Some(outer) = &mut outer {
        outer.raw = RawMode::enter().ok();
    }
    let mut looked = Instant::now();
    loop {
        let has_ended = match outer.as_mut().filter(|outer| !outer.closed && outer.raw.is_some()) {
            Some(outer) => {
                outer.pass_keys(SLICE);
                program.wait(Some(Duration::ZERO))?
            }
            None => program.wait(Some(LOOK))?,
        };
        if has_ended {
            drop(outer);
            return running.wait();
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        if let Some(outer) = &mut outer {
            outer.resize(running);
        }
        if signals.0.came() && !running.shares_process_group() {
            // A program that has just ended takes none; its end is what comes next.
            let _ = running.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use envseal_sandbox::{Image, Spec, Stdio, start};

    use super::*;

    /// Not a test by itself: the program that the next one starts.
    #[test]
    #[ignore = "the child of another test"]
    fn ends_after_a_while() {
        std::thread::sleep(2 * LOOK);
        std::process::exit(259);
    }

    #[test]
    fn a_program_is_attended_to_its_end_and_its_code_is_told() {
        let image = Image::open(&std::env::current_exe().unwrap()).unwrap();
        let spec = Spec::new(image)
            .args(["--exact", "attend::system::tests::ends_after_a_while", "--ignored"])
            .stdin(Stdio::Null)
            .stdout(Stdio::Null)
            .stderr(Stdio::Null);
        let mut running = start(spec).unwrap();
        // 259 is what the system says of a process that runs (STILL_ACTIVE).
        let exit = attend(&mut running, &mut Signals::catch().unwrap(), None).unwrap();
        assert_eq!(exit, Exit::Code(259));
    }
}
