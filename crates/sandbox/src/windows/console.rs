//! The console of the person who runs this program, for a conversation apart from its standard streams.
//!
//! What `/dev/tty` is elsewhere: `CONIN$` and `CONOUT$` are the console whatever the standard streams lead to.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Console::{
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING, ENABLE_WRAP_AT_EOL_OUTPUT,
};

use super::sys_console::{mode, send_break, set_mode, window};
use super::sys_keys as sys;

/// An open console.
#[derive(Debug)]
pub struct Console {
    input: File,
    output: File,
    /// UTF-16 units that were read and not given out.
    keys: VecDeque<u16>,
}

/// Each key for itself, none shown, Ctrl-C a key like others, for as long as this lives.
#[derive(Debug)]
pub struct Keys {
    input: File,
    before: u32,
}

impl Console {
    /// The console of this process; an error when it has none.
    pub fn open() -> io::Result<Console> {
        let open = |name| File::options().read(true).write(true).open(name);
        let (input, output) = (open("CONIN$")?, open("CONOUT$")?);
        mode(&input)?;
        let before = mode(&output)?;
        // Colours; an older system shows the text without.
        let wanted = ENABLE_PROCESSED_OUTPUT | ENABLE_WRAP_AT_EOL_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
        let _ = set_mode(&output, before | wanted);
        Ok(Console { input, output, keys: VecDeque::new() })
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
        let input = self.input.try_clone()?;
        let before = mode(&input)?;
        set_mode(&input, 0)?;
        // From here on the mode is put back, whatever fails.
        let keys = Keys { input, before };
        self.keys.clear();
        sys::flush(&keys.input)?;
        Ok(keys)
    }

    /// The next character that is typed before `deadline`; `None` when there is none. Half of a surrogate pair is
    /// passed over.
    pub fn key(&mut self, deadline: Instant) -> io::Result<Option<char>> {
        loop {
            while let Some(unit) = self.keys.pop_front() {
                let mut pair = vec![unit];
                if char::decode_utf16([unit]).next().is_some_and(|one| one.is_err()) {
                    pair.extend(self.keys.pop_front());
                }
                if let Some(Ok(character)) = char::decode_utf16(pair).next() {
                    return Ok(Some(character));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(60));
            if !sys::wait(&self.input, left.as_millis() as u32)? {
                if left.is_zero() || Instant::now() >= deadline {
                    return Ok(None);
                }
                continue;
            }
            sys::keys(&self.input, &mut self.keys)?;
        }
    }
}

/// Sends Ctrl-Break to a process group of this console, which begins with a process that is created with
/// `CREATE_NEW_PROCESS_GROUP`; an error without a console.
pub fn interrupt_group(group: u32) -> io::Result<()> {
    send_break(group)
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = set_mode(&self.input, self.before);
    }
}
