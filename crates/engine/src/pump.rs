//! Copies a program's output to where it belongs, masked.
//!
//! One thread a stream: a reader who lets one stream wait must not hold up the other, as with plain pipes.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use envseal_redact::{Masker, Patterns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// On a terminal, output that may be the beginning of a secret waits no longer than this.
const HOLD_BACK: Duration = Duration::from_millis(50);

/// Bytes that are read at once: a pipe's default capacity (pipe(7)).
const CHUNK: usize = 64 << 10;

/// Where output goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sink {
    /// A person looks at it: a held prefix is let out after a while.
    Terminal,
    /// A pipe or a file: a held prefix waits until it is decided.
    Stream,
}

/// Starts the copy of one stream; the thread ends with the stream, or when the reader has gone.
///
/// When the reader has gone, `from` is closed, so that the program meets the same broken pipe that it would
/// have met without envseal.
pub fn spawn(from: OwnedFd, to: OwnedFd, patterns: &Patterns, sink: Sink) -> JoinHandle<u64> {
    let masker = Masker::new(patterns.clone());
    std::thread::spawn(move || {
        let mut pump = Pump { from: from.into(), to: to.into(), masker, out: Vec::new() };
        // An error is the end of the stream on one side or the other; there is nobody left to tell.
        let _ = pump.run(sink);
        pump.masker.replaced()
    })
}

struct Pump {
    from: File,
    to: File,
    masker: Masker,
    out: Vec<u8>,
}

impl Pump {
    fn run(&mut self, sink: Sink) -> io::Result<()> {
        let mut chunk = zeroize::Zeroizing::new(vec![0; CHUNK]);
        let mut held_since = None;
        loop {
            // The descriptor of a terminal does not block, for the sake of whoever writes keys to it: so wait here.
            let wait = held_since.map(|since: Instant| HOLD_BACK.saturating_sub(since.elapsed()));
            if sink == Sink::Terminal && !self.readable(wait)? {
                self.masker.release(&mut self.out);
                self.write()?;
                held_since = None;
                continue;
            }
            let read = match self.from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) =>
                {
                    continue;
                }
                // A terminal's master reads so once no process holds the other side (pty(7)).
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => break,
                Err(error) => return Err(error),
            };
            let held_before = self.masker.held();
            self.masker.push(&chunk[..read], &mut self.out);
            self.write()?;
            let held = self.masker.held();
            held_since = match held_since {
                _ if held == 0 => None,
                Some(since) if held > held_before => Some(since),
                _ => Some(Instant::now()),
            };
        }
        self.masker.finish(&mut self.out);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.to.write_all(&self.out);
        self.out.clear();
        written
    }

    /// Waits until there is something to read, or the end of it; without a limit when there is none.
    fn readable(&self, limit: Option<Duration>) -> io::Result<bool> {
        let timeout = |limit: Duration| Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.from, PollFlags::IN)], limit.map(timeout).as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use envseal_redact::Builder;

    use super::*;

    fn patterns() -> Patterns {
        let mut builder = Builder::new();
        builder.add("TOKEN", b"tr0ub4dor&3-long").unwrap();
        builder.build()
    }

    fn start(sink: Sink) -> (File, File, JoinHandle<u64>) {
        let (from, input) = rustix::pipe::pipe().unwrap();
        let (output, to) = rustix::pipe::pipe().unwrap();
        (input.into(), output.into(), spawn(from, to, &patterns(), sink))
    }

    #[test]
    fn a_secret_printed_one_byte_at_a_time_is_masked() {
        let (mut input, mut output, pump) = start(Sink::Stream);
        for byte in b"<tr0ub4dor&3-long>" {
            input.write_all(&[*byte]).unwrap();
        }
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "<[envseal:TOKEN]>");
        assert_eq!(pump.join().unwrap(), 1);
    }

    #[test]
    fn a_terminal_shows_a_possible_beginning_after_a_while() {
        let (mut input, mut output, pump) = start(Sink::Terminal);
        input.write_all(b"ask: tr0").unwrap();
        let mut seen = [0; 8];
        output.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"ask: tr0");
        drop(input);
        pump.join().unwrap();
    }

    #[test]
    fn a_reader_that_goes_away_breaks_the_programs_pipe() {
        let (mut input, output, pump) = start(Sink::Stream);
        drop(output);
        let broken = (0..1000).find_map(|_| input.write_all(&[b'x'; 4096]).err());
        assert_eq!(broken.unwrap().kind(), io::ErrorKind::BrokenPipe);
        pump.join().unwrap();
    }
}
