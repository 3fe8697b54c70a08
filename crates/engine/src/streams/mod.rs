//! Where a program's standard streams lead: through the masker, and to a terminal of its own when a person looks.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::thread::JoinHandle;

use envseal_redact::Patterns;
use envseal_sandbox::{Running, Spec, Stdio};

use crate::attend::Outer;
use crate::handle::{AsHandle, Handle, duplicate, pipe, stream};
use crate::pump::{self, Sink};

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

/// Where a copy goes.
type Writer = Box<dyn Write + Send>;

/// The parent's ends, from before the start until they are connected.
pub struct Streams {
    own_terminal: bool,
    /// What is read, and where it goes masked.
    copies: Vec<(Handle, Writer, Sink)>,
}

impl Streams {
    /// Lays the streams of `spec`.
    ///
    /// With `own_terminal` (standard output is a terminal) the program gets a terminal of its own, so that colours
    /// and full-screen programs live and its controlling terminal is masked too; each stream that is a terminal here
    /// is that one there. Otherwise, and where the system has no such terminals, output goes through pipes: through
    /// one pipe when both streams lead to the same file, so that their order is kept.
    pub fn lay(spec: Spec, stdin: Option<Handle>, own_terminal: bool) -> io::Result<(Spec, Self)> {
        let terminal = if own_terminal { system::terminal()? } else { None };
        let own_terminal = terminal.is_some();
        let mut streams = Self { own_terminal, copies: Vec::new() };
        let spec = match terminal {
            Some(terminal) => spec.terminal(terminal),
            None => spec,
        };
        let spec = spec.stdin(match stdin {
            Some(handle) => stream(handle),
            None if own_terminal && io::stdin().is_terminal() => Stdio::Terminal,
            None => Stdio::Inherit,
        });
        if own_terminal {
            let stderr =
                if io::stderr().is_terminal() { Stdio::Terminal } else { streams.pipe_to(io::stderr())? };
            return Ok((spec.stdout(Stdio::Terminal).stderr(stderr), streams));
        }
        let (read, write) = pipe()?;
        let together = system::same_output()?.then(|| write.try_clone()).transpose()?;
        streams.copy(read, io::stdout())?;
        let stderr = match together {
            Some(write) => stream(write),
            None => streams.pipe_to(io::stderr())?,
        };
        Ok((spec.stdout(stream(write)).stderr(stderr), streams))
    }

    fn pipe_to(&mut self, to: impl AsHandle + IsTerminal) -> io::Result<Stdio> {
        let (read, write) = pipe()?;
        self.copy(read, to)?;
        Ok(stream(write))
    }

    fn copy(&mut self, from: Handle, to: impl AsHandle + IsTerminal) -> io::Result<()> {
        let sink = if to.is_terminal() { Sink::Terminal } else { Sink::Stream };
        self.copies.push((from, Box::new(File::from(duplicate(to)?)), sink));
        Ok(())
    }

    /// Starts the copies of a program that runs.
    pub fn connect(
        mut self,
        running: &Running,
        patterns: &Patterns,
    ) -> io::Result<(Vec<JoinHandle<u64>>, Option<Outer>)> {
        let mut outer = None;
        if self.own_terminal {
            let (screen, to, keys) = system::connect(running)?;
            self.copies.push((screen, to, Sink::Terminal));
            outer = keys;
        }
        let copies = self.copies.into_iter();
        let pumps = copies.map(|(from, to, sink)| pump::spawn(from, to, patterns, sink)).collect();
        Ok((pumps, outer))
    }
}
