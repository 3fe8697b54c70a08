//! Reading with a limit. A pipe of Windows cannot be waited for, so where a limit is needed a thread reads it.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{CHUNK, Sink};
use crate::handle::Handle;

/// A stream that is read.
pub enum Source {
    /// Without a limit.
    Direct(File),
    /// By a thread, which closes the stream when this is gone and something more came.
    Thread(Receiver<io::Result<Zeroizing<Vec<u8>>>>),
}

impl Source {
    /// Of what goes to `sink`.
    pub fn new(from: Handle, sink: Sink) -> io::Result<Self> {
        let mut from = File::from(from);
        if sink == Sink::Stream {
            return Ok(Self::Direct(from));
        }
        let (sender, receiver) = sync_channel(1);
        let read = move || {
            loop {
                let mut chunk = Zeroizing::new(vec![0; CHUNK]);
                let read = from.read(&mut chunk);
                let last = matches!(read, Ok(0) | Err(_));
                let message = read.map(|count| {
                    chunk.truncate(count);
                    chunk
                });
                if sender.send(message).is_err() || last {
                    return;
                }
            }
        };
        std::thread::Builder::new().spawn(read)?;
        Ok(Self::Thread(receiver))
    }

    /// Reads what there is, or waits for it, without a limit when there is none; `None` when that is over, 0 at the
    /// end of the stream. `chunk` has room for [`CHUNK`] bytes.
    pub fn read(&mut self, chunk: &mut [u8], limit: Option<Duration>) -> io::Result<Option<usize>> {
        let receiver = match self {
            Self::Direct(file) => return file.read(chunk).map(Some),
            Self::Thread(receiver) => receiver,
        };
        let message = match limit {
            Some(limit) => receiver.recv_timeout(limit),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(read) => {
                let read = read?;
                chunk[..read.len()].copy_from_slice(&read);
                Ok(Some(read.len()))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(0)),
        }
    }
}
