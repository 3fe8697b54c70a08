//! Copies a program's output to where it belongs, masked.
//!
//! One thread a stream: a reader who lets one stream wait must not hold up the other, as with plain pipes.

use std::io::{self, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use envseal_redact::{Masker, Patterns};

use crate::handle::Handle;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

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
pub fn spawn(
    from: Handle,
    to: impl Write + Send + 'static,
    patterns: &Patterns,
    sink: Sink,
) -> JoinHandle<u64> {
    let masker = Masker::new(patterns.clone());
    std::thread::spawn(move || {
        let mut pump = Pump { to, masker, out: Vec::new() };
        // An error is the end of the stream on one side or the other; there is nobody left to tell.
        let _ = pump.run(from, sink);
        pump.masker.replaced()
    })
}

struct Pump<W> {
    to: W,
    masker: Masker,
    out: Vec<u8>,
}

impl<W: Write> Pump<W> {
    fn run(&mut self, from: Handle, sink: Sink) -> io::Result<()> {
        let mut from = system::Source::new(from, sink)?;
        let mut chunk = zeroize::Zeroizing::new(vec![0; CHUNK]);
        let mut held_since = None;
        loop {
            let wait = held_since.map(|since: Instant| HOLD_BACK.saturating_sub(since.elapsed()));
            let limit = wait.filter(|_| sink == Sink::Terminal);
            let read = match from.read(&mut chunk, limit)? {
                Some(0) => break,
                Some(read) => read,
                None => {
                    self.masker.release(&mut self.out);
                    self.write()?;
                    held_since = None;
                    continue;
                }
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
        let written = self.to.write_all(&self.out).and_then(|()| self.to.flush());
        self.out.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use envseal_redact::Builder;

    use super::*;
    use crate::handle::pipe;

    fn patterns() -> Patterns {
        let mut builder = Builder::new();
        builder.add("TOKEN", b"tr0ub4dor&3-long").unwrap();
        builder.build()
    }

    fn start(sink: Sink) -> (File, File, JoinHandle<u64>) {
        let (from, input) = pipe().unwrap();
        let (output, to) = pipe().unwrap();
        (input.into(), output.into(), spawn(from, File::from(to), &patterns(), sink))
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
    fn a_terminal_is_masked_too() {
        let (mut input, mut output, pump) = start(Sink::Terminal);
        for byte in b"<tr0ub4dor&3-long>" {
            input.write_all(&[*byte]).unwrap();
        }
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), pump.join().unwrap()), ("<[envseal:TOKEN]>", 1));
    }

    #[test]
    fn a_reader_that_goes_away_breaks_the_programs_pipe() {
        for sink in [Sink::Stream, Sink::Terminal] {
            let (mut input, output, pump) = start(sink);
            drop(output);
            let broken = (0..1000).find_map(|_| input.write_all(&[b'x'; 4096]).err());
            assert_eq!(broken.unwrap().kind(), io::ErrorKind::BrokenPipe);
            pump.join().unwrap();
        }
    }
}
