//! Reading with a limit, by poll(2).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Sink;

/// A stream that is read.
pub struct Source {
    file: File,
    /// The descriptor of a terminal does not block, for the sake of whoever writes keys to it: so it is waited for.
    waits: bool,
}

impl Source {
    /// Of what goes to `sink`.
    pub fn new(from: OwnedFd, sink: Sink) -> io::Result<Self> {
        Ok(Self { file: from.into(), waits: sink == Sink::Terminal })
    }

    /// Reads what there is, or waits for it, without a limit when there is none; `None` when that is over, 0 at the
    /// end of the stream.
    pub fn read(&mut self, chunk: &mut [u8], limit: Option<Duration>) -> io::Result<Option<usize>> {
        loop {
            if self.waits && !self.readable(limit)? {
                return Ok(None);
            }
            match self.file.read(chunk) {
                Ok(read) => return Ok(Some(read)),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                // A terminal's master reads so once no process holds the other side (pty(7)).
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Ok(Some(0));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn readable(&self, limit: Option<Duration>) -> io::Result<bool> {
        let timeout = |limit: Duration| Timespec {
            tv_sec: limit.as_secs().cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], limit.map(timeout).as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}
