//! The watchers' end of the way that a filter's listener takes.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::sys_confine::{Answer, answer_notice, receive_notice};

/// The listener that the program sent, if it did.
pub(super) fn listener(gate: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    while let Err(Errno::INTR) =
        recvmsg(gate, &mut [std::io::IoSliceMut::new(&mut byte)], &mut control, flags)
    {}
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}

/// Lets one execution through, that of the program itself, and then no other: without a listener the kernel
/// answers ENOSYS to every further one, for as long as the tree lives.
///
/// Nothing of the program has run by then, so that whether to go on is not a question of what it changes.
pub(super) enum Turnstile {
    /// The listener has not come yet.
    Waiting,
    /// It has; the execution is awaited.
    Open(OwnedFd),
    /// One was let through, or none will be.
    Closed,
}

impl Turnstile {
    /// The descriptor to wait for, beside `gate`.
    pub(super) fn awaited<'a>(&'a self, gate: BorrowedFd<'a>) -> Option<BorrowedFd<'a>> {
        match self {
            Turnstile::Waiting => Some(gate),
            Turnstile::Open(listener) => Some(listener.as_fd()),
            Turnstile::Closed => None,
        }
    }

    /// What follows once that is ready.
    pub(super) fn turn(self, gate: BorrowedFd<'_>) -> Turnstile {
        match self {
            Turnstile::Waiting => listener(gate).map_or(Turnstile::Closed, Turnstile::Open),
            Turnstile::Open(listener) => {
                if let Ok(notice) = receive_notice(listener.as_fd()) {
                    let own = i64::from(notice.data.nr) == libc::SYS_execveat;
                    let answer = if own { Answer::Continue } else { Answer::Failed(libc::EPERM) };
                    answer_notice(listener.as_fd(), notice.id, answer);
                }
                Turnstile::Closed
            }
            Turnstile::Closed => Turnstile::Closed,
        }
    }
}
