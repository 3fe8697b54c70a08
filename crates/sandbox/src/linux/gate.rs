//! A descriptor's way from one of the processes of a start to another: of a filter's listener to the watcher
//! that answers, of a namespace to who enters it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::sys;

/// Sends `descriptor`; whether it was taken.
pub(super) fn send(gate: i32, descriptor: &OwnedFd) -> bool {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let packed = control.push(SendAncillaryMessage::ScmRights(&descriptors));
    packed && sendmsg(sys::borrow(gate), &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL).is_ok()
}

/// The descriptor that was sent, if one was; does not wait.
pub(super) fn receive(gate: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    while let Err(Errno::INTR) = recvmsg(gate, &mut [IoSliceMut::new(&mut byte)], &mut control, flags) {}
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })
}
