//! A network namespace of the program's own, with no way out of it.
//!
//! To make one takes as long as all the other namespaces together. So the outer watcher makes it while the
//! inner one makes the mounts, and sends it over.

use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::super::gate;
use super::super::sys;
use super::super::sys_namespaces::leave_network;
use super::Kind;

/// The two ends of the way that it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) outer: RawFd,
    pub(super) inner: RawFd,
}

impl Way {
    /// Makes it, in the outer watcher. The inner one is told in any case, since it waits.
    pub(super) fn lend(self) {
        let made = leave_network()
            .and_then(|()| open(Kind::Network.file(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()));
        let lent = made.is_ok_and(|namespace: OwnedFd| gate::send(self.outer, &namespace));
        if !lent {
            let _ = send(sys::borrow(self.outer), b"-", SendFlags::NOSIGNAL);
        }
    }

    /// Enters it, in the inner watcher, once it is there.
    pub(super) fn enter(self) -> rustix::io::Result<()> {
        let end = sys::borrow(self.inner);
        while poll(&mut [PollFd::from_borrowed_fd(end, PollFlags::IN)], None) == Err(Errno::INTR) {}
        let namespace = gate::receive(end).ok_or(Errno::PERM)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
    }
}
