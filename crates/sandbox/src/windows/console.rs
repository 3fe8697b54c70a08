//! The console of the person who runs this program, for a conversation apart from its standard streams.
//!
//! What `/dev/tty` is elsewhere: `CONIN$` and `CONOUT$` are the console whatever the standard streams lead to.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Console::{
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING, ENABLE_WRAP_AT_EOL_OUTPUT,
};

use super::modes::{self, Changed};
use super::process;
use super::pure::keys::Typed;
use super::sys_console::{attached, mode, send_break, window};
use super::sys_keys as sys;

/// An open console. Dropped, its screen is as it was.
#[derive(Debug)]
pub struct Console {
    input: File,
    output: File,
    /// Colours; an older system shows the text without.
    _colours: Option<Changed>,
    typed: Typed,
}

/// Each key for itself, none shown, Ctrl-C a key like others, for as long as this lives.
#[derive(Debug)]
pub struct Keys {
    _changed: Changed,
}

impl Console {
    /// The console of this process; an error when it has none.
    pub fn open() -> io::Result<Console> {
        let open = |name| File::options().read(true).write(true).open(name);
        let (input, output) = (open("CONIN$")?, open("CONOUT$")?);
        mode(&input)?;
        mode(&output)?;
        let wanted = ENABLE_PROCESSED_OUTPUT | ENABLE_WRAP_AT_EOL_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
        let colours = Changed::mode(&output, |before| before | wanted).ok();
        Ok(Console { input, output, _colours: colours, typed: Typed::new() })
    }

    /// Its width and height in characters.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        window(&self.output).map(|(rows, columns)| (columns, rows))
    }

    /// Shows a text as it stands.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut rest = &units[..];
        while !rest.is_empty() {
            let taken = sys::write(&self.output, rest)?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// From now on, [`Console::key`] gives each key; what was typed before is thrown away.
    pub fn keys(&mut self) -> io::Result<Keys> {
        let keys = Keys { _changed: Changed::mode(&self.input, |_| 0)? };
        self.typed.clear();
        sys::flush(&self.input)?;
        Ok(keys)
    }

    /// The next character that is typed before `deadline`; `None` when there is none. Half of a surrogate pair is
    /// passed over.
    pub fn key(&mut self, deadline: Instant) -> io::Result<Option<char>> {
        loop {
            if let Some(character) = self.typed.next() {
                return Ok(Some(character));
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(60));
            if !sys::wait(&self.input, left.as_millis() as u32)? {
                if left.is_zero() || Instant::now() >= deadline {
                    return Ok(None);
                }
                continue;
            }
            sys::keys(&self.input, &mut self.typed)?;
        }
    }
}

/// A process that has this process's console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Its number.
    pub pid: u32,
    /// The name of the file that it runs, empty where the system does not list it. Any text.
    pub name: String,
}

/// The other processes on this console but those that started this one: each of them can read what is typed here.
/// One that was there and let go of the console, or comes later, is not among them.
pub fn companions() -> io::Result<Vec<Companion>> {
    let mut known: Vec<u32> = process::ancestry(usize::MAX).into_iter().map(|(pid, _)| pid).collect();
    known.push(std::process::id());
    let all = process::list()?;
    let name = |pid: u32| all.iter().find(|one| one.pid == pid).map(|one| one.name.clone());
    let others = attached()?.into_iter().filter(|pid| !known.contains(pid));
    Ok(others.map(|pid| Companion { pid, name: name(pid).unwrap_or_default() }).collect())
}

/// Puts the caller's console back as it was before this process changed it, for good: for a process that ends without
/// dropping what it holds, as after a panic with `panic = "abort"`.
pub fn restore() {
    modes::restore();
}

/// Sends Ctrl-Break to a process group of this console, which begins with a process that is created with
/// `CREATE_NEW_PROCESS_GROUP`; an error without a console.
pub fn interrupt_group(group: u32) -> io::Result<()> {
    send_break(group)
}

#[cfg(test)]
#[path = "console_tests.rs"]
#[allow(unsafe_code, reason = "what the system calls is called")]
mod tests;
