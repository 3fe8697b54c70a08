//! Where a program's standard streams lead: through the masker, and to a terminal of its own when a person looks.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use envseal_redact::Patterns;
use envseal_sandbox::tty::Pty;
use envseal_sandbox::{Running, Spec, Stdio};

use crate::attend::Outer;
use crate::pump::{self, Sink};

/// The parent's ends, from before the start until they are connected.
pub struct Streams {
    own_terminal: bool,
    /// What is read, and where it goes masked.
    copies: Vec<(OwnedFd, OwnedFd, Sink)>,
}

impl Streams {
    /// Lays the streams of `spec`.
    ///
    /// With `own_terminal` (standard output is a terminal) the program gets a terminal of its own, so that colours
    /// and full-screen programs live and `/dev/tty` is masked too; each stream that is a terminal here is that one
    /// there. Otherwise output goes through pipes: through one pipe when both streams lead to the same file, so
    /// that their order is kept.
    pub fn lay(spec: Spec, stdin: Option<OwnedFd>, own_terminal: bool) -> io::Result<(Spec, Self)> {
        let mut streams = Self { own_terminal, copies: Vec::new() };
        let spec = if own_terminal { spec.terminal(Pty::like(io::stdout())?) } else { spec };
        let spec = spec.stdin(match stdin {
            Some(descriptor) => Stdio::Descriptor(descriptor),
            None if own_terminal && io::stdin().is_terminal() => Stdio::Terminal,
            None => Stdio::Inherit,
        });
        if own_terminal {
            let stderr =
                if io::stderr().is_terminal() { Stdio::Terminal } else { streams.pipe_to(io::stderr())? };
            return Ok((spec.stdout(Stdio::Terminal).stderr(stderr), streams));
        }
        let (read, write) = pipe()?;
        let together = same_file(io::stdout(), io::stderr())?.then(|| write.try_clone()).transpose()?;
        let sink = if io::stdout().is_terminal() { Sink::Terminal } else { Sink::Stream };
        streams.copies.push((read, io::stdout().as_fd().try_clone_to_owned()?, sink));
        let stderr = match together {
            Some(write) => Stdio::Descriptor(write),
            None => streams.pipe_to(io::stderr())?,
        };
        Ok((spec.stdout(Stdio::Descriptor(write)).stderr(stderr), streams))
    }

    fn pipe_to(&mut self, to: impl AsFd + io::IsTerminal) -> io::Result<Stdio> {
        let (read, write) = pipe()?;
        let sink = if to.is_terminal() { Sink::Terminal } else { Sink::Stream };
        self.copies.push((read, to.as_fd().try_clone_to_owned()?, sink));
        Ok(Stdio::Descriptor(write))
    }

    /// Starts the copies of a program that runs.
    pub fn connect(
        mut self,
        running: &Running,
        patterns: &Patterns,
    ) -> io::Result<(Vec<JoinHandle<u64>>, Option<Outer>)> {
        let mut outer = None;
        if self.own_terminal {
            let master =
                || running.terminal().ok_or_else(|| io::Error::other("the program has no terminal"))?;
            self.copies.push((master()?, io::stdout().as_fd().try_clone_to_owned()?, Sink::Terminal));
            // Without a controlling terminal there are no keys to pass on.
            if let Ok(terminal) = File::open("/dev/tty") {
                outer = Some(Outer::new(terminal, master()?)?);
            }
        }
        let copies = self.copies.into_iter();
        let pumps = copies.map(|(from, to, sink)| pump::spawn(from, to, patterns, sink)).collect();
        Ok((pumps, outer))
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Whether both lead to the same pipe, file or device.
fn same_file(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
