//! Messages on the socket between client and launcher: a header, descriptors, a body.
//!
//! ```text
//! 0  4  "EVSL"                     4  1  version of all that follows the header
//! 5  1  kind                       6  2  zeros
//! 8  4  bytes of the body         12  4  number of descriptors
//! ```
//! Then one byte for each up to 253 descriptors, which travel with it (SCM_RIGHTS of unix(7)), then the
//! body. The header, and [`REFUSED`] with its text as the body, keep their form in every version, so that a
//! launcher and a client that differ can tell each other.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::codec::Wiped;

/// A client asks for a start.
pub(super) const REQUEST: u8 = 1;
/// The launcher refuses to do anything; the body is the reason as text.
pub(super) const REFUSED: u8 = 2;
/// The start failed.
pub(super) const FAILED: u8 = 3;
/// The program runs.
pub(super) const STARTED: u8 = 4;

const MAGIC: [u8; 4] = *b"EVSL";
/// Of requests, failures and started programs. Raised with every change of their form.
pub(super) const VERSION: u8 = 1;
const HEADER: usize = 16;
/// Bytes of a body: more than the kernel takes as arguments and environment of a program (6 MiB, execve(2)).
pub(super) const LARGEST: usize = 16 << 20;
/// Descriptors of a message: standard streams, all numbers that a program can have declared, and pins.
pub(super) const MOST: usize = 1024;
/// Descriptors that the kernel takes at once (SCM_MAX_FD).
const AT_ONCE: usize = 253;

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the other side ended the conversation")]
    Ended,
    #[error("the other side did not answer in time")]
    Late,
    #[error("{0}")]
    Form(&'static str),
    #[error("it speaks version {0} of the protocol, and version {VERSION} is wanted")]
    Version(u8),
    #[error(transparent)]
    System(#[from] Errno),
}

/// A message as it came.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Wiped,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// One side's end, and until when it waits for the other.
pub(super) struct Wire<'s> {
    pub(super) socket: BorrowedFd<'s>,
    pub(super) until: Option<Instant>,
}

impl Wire<'_> {
    pub(super) fn send(&self, kind: u8, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Broken> {
        if body.len() > LARGEST {
            return Err(Broken::Form("more than 16 MiB of arguments, environment and paths"));
        }
        if descriptors.len() > MOST {
            return Err(Broken::Form("more than 1,024 descriptors"));
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&[VERSION, kind]);
        header[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
        header[12..].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
        self.send_bytes(&header)?;
        for batch in descriptors.chunks(AT_ONCE) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(batch));
            self.again(PollFlags::OUT, || {
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                sendmsg(self.socket, &[IoSlice::new(b"d")], &mut control, flags)
            })?;
        }
        self.send_bytes(body)
    }

    fn send_bytes(&self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let sent = self.again(PollFlags::OUT, || {
                rustix::net::send(self.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
            })?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn receive(&self) -> Result<Message, Broken> {
        let mut header = [0; HEADER];
        self.receive_bytes(&mut header)?;
        let [m0, m1, m2, m3, version, kind, _, _, b0, b1, b2, b3, d0, d1, d2, d3] = header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Broken::Form("this is not the protocol of the launcher"));
        }
        if version != VERSION && kind != REFUSED {
            return Err(Broken::Version(version));
        }
        let (length, count) = (u32::from_le_bytes([b0, b1, b2, b3]), u32::from_le_bytes([d0, d1, d2, d3]));
        let (length, count) = (length as usize, count as usize);
        if length > LARGEST || count > MOST {
            return Err(Broken::Form("a message is too large"));
        }
        let mut descriptors = Vec::new();
        while descriptors.len() < count {
            self.receive_descriptors(&mut descriptors, count)?;
        }
        // Made whole at once: a buffer that grows would leave copies of secrets behind.
        let mut body = Wiped(vec![0; length]);
        self.receive_bytes(&mut body.0)?;
        Ok(Message { kind, body, descriptors })
    }

    fn receive_descriptors(&self, into: &mut Vec<OwnedFd>, count: usize) -> Result<(), Broken> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let received = self.again(PollFlags::IN, || {
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            recvmsg(self.socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)
        })?;
        let before = into.len();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                into.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(Broken::Ended);
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Broken::Form("descriptors were lost: the limit of open files is too low"));
        }
        if into.len() == before || into.len() > count {
            return Err(Broken::Form("another number of descriptors than was announced"));
        }
        Ok(())
    }

    fn receive_bytes(&self, mut into: &mut [u8]) -> Result<(), Broken> {
        while !into.is_empty() {
            // Descriptors that come with these bytes are closed by the kernel: there is no room for them.
            let received = self.again(PollFlags::IN, || {
                rustix::net::recv(self.socket, &mut *into, RecvFlags::DONTWAIT).map(|(_, received)| received)
            })?;
            if received == 0 {
                return Err(Broken::Ended);
            }
            into = into.get_mut(received..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes a call that does not wait, and waits for what it needs.
    fn again<T>(&self, wanted: PollFlags, mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Broken> {
        loop {
            match call() {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(wanted)?,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Broken::Ended),
                done => return Ok(done?),
            }
        }
    }

    fn wait(&self, wanted: PollFlags) -> Result<(), Broken> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(Broken::Late);
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(self.socket, wanted)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
