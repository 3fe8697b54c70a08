//! Consoles and files of Windows.

use std::io::{self, IsTerminal as _};

use envseal_sandbox::Running;
use envseal_sandbox::console::Console;
use envseal_sandbox::tty::{Pty, Size};

use super::Writer;
use crate::attend::Outer;
use crate::handle::Handle;

/// A pseudoconsole of the size of the person's console; `None` where Windows has none (before 10 1809).
pub fn terminal() -> io::Result<Option<Pty>> {
    match Pty::open(Size::of_console()?) {
        Ok(terminal) => Ok(Some(terminal)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the program shows on its console, where that goes, and the person's keys for it.
///
/// A pseudoconsole shows UTF-8, which the standard library's stream writes to a console as what it is, whatever the
/// console's code page.
pub fn connect(running: &Running) -> io::Result<(Handle, Writer, Option<Outer>)> {
    let master = running.terminal().ok_or_else(|| io::Error::other("the program has no terminal"))??;
    // Without a console of its own envseal has no keys to pass on.
    let outer = Console::open().ok().map(|console| Outer::new(console, master.input)).transpose()?;
    Ok((master.output, Box::new(io::stdout()), outer))
}

/// Whether standard output and standard error lead to the same file, or both to the console.
pub fn same_output() -> io::Result<bool> {
    let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
    if out || err {
        return Ok(out && err);
    }
    // What cannot be compared (a closed stream, a pipe of an old system) is not the same.
    let both = same_file::Handle::stdout().and_then(|out| Ok((out, same_file::Handle::stderr()?)));
    Ok(both.is_ok_and(|(out, err)| out == err))
}
