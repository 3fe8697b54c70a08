//! Decides on connect(2) for the whole tree of a program, and makes the connection that it allows.
//!
//! The filter asks about every connect(2), because only the kernel's copy of the address says where it
//! leads. The decision is about a copy of the socket (pidfd_getfd(2)) and a copy of the address, and the
//! connection is made with these two: nothing that the program changes meanwhile is looked at again.
//!
//! Runs in the inner watcher, which cannot allocate and must not wait for one program while others ask:
//! what is not done at once is kept as pending.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::peer;
use super::plan::Plan;
use super::proc_file;
use super::sys_confine::{
    Answer, Notice, answer_notice, connect_raw, notice_is_valid, read_memory, receive_notice,
};

/// How many connections of one tree may be under way; one more is told EAGAIN.
pub(super) const PENDING: usize = 32;
/// Bytes of the longest address (struct sockaddr_storage).
const ADDRESS: usize = 128;
/// A full queue of a listener is tried again after this long.
const AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What waits for an answer.
pub(super) struct Doorman {
    listener: OwnedFd,
    pending: [Option<Pending>; PENDING],
}

/// A call that is not done yet: a connection under way, or a listener whose queue is full.
struct Pending {
    id: u64,
    thread: i32,
    socket: OwnedFd,
    address: Address,
    /// Whether the socket becomes writable when there is something to do; else it is tried again.
    wakes: bool,
}

#[derive(Clone, Copy)]
struct Address {
    bytes: [u8; ADDRESS],
    length: usize,
}

impl Doorman {
    pub(super) fn new(listener: OwnedFd) -> Doorman {
        Doorman { listener, pending: [const { None }; PENDING] }
    }

    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// How long to wait at most before [`Doorman::go_on`] must be called again; `None`: until a descriptor
    /// of [`Doorman::sockets`] is ready.
    pub(super) fn patience(&self) -> Option<Timespec> {
        self.pending.iter().flatten().any(|pending| !pending.wakes).then_some(AGAIN)
    }

    /// The sockets whose connections are under way.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pending.iter().flatten().filter(|pending| pending.wakes).map(|pending| pending.socket.as_fd())
    }

    /// Whether something is pending.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.iter().any(Option::is_some)
    }

    /// Takes one request.
    fn answer(&mut self, plan: &Plan) {
        let listener = self.listener.as_fd();
        // Gone again: nobody waits for an answer.
        let Ok(notice) = receive_notice(listener) else { return };
        let Some(place) = self.pending.iter_mut().find(|place| place.is_none()) else {
            return answer_notice(listener, notice.id, refusal(Errno::AGAIN));
        };
        match copies(listener, &notice) {
            Err(error) => answer_notice(listener, notice.id, refusal(error)),
            Ok(mut pending) => match pending.attempt(plan) {
                Some(answer) => answer_notice(listener, notice.id, answer),
                None => *place = Some(pending),
            },
        }
    }

    /// Takes a request, when the listener is readable (`asked`), and goes on with what is pending.
    pub(super) fn go_on(&mut self, plan: &Plan, asked: bool) {
        if asked {
            self.answer(plan);
        }
        let listener = self.listener.as_fd();
        for place in &mut self.pending {
            let Some(pending) = place else { continue };
            if !notice_is_valid(listener, pending.id) {
                *place = None;
            } else if pending.is_ready()
                && let Some(answer) = pending.attempt(plan)
            {
                answer_notice(listener, pending.id, answer);
                *place = None;
            }
        }
    }
}

fn refusal(error: Errno) -> Answer {
    Answer::Failed(error.raw_os_error())
}

impl Pending {
    fn is_ready(&self) -> bool {
        let mut ends = [PollFd::new(&self.socket, PollFlags::OUT)];
        !self.wakes || poll(&mut ends, Some(&Timespec::default())) != Ok(0)
    }

    /// Connects, or asks what came of it: the same call does both (connect(2)). `None`: not done yet, and
    /// the program wants to wait.
    fn attempt(&mut self, plan: &Plan) -> Option<Answer> {
        let (socket, address) = (self.socket.as_fd(), &self.address.bytes[..self.address.length]);
        let result = match socket_domain(socket) {
            Ok(AddressFamily::UNIX) => {
                self.wakes = false;
                peer::connect(plan, self.thread, socket, address)
            }
            Ok(_) => {
                self.wakes = true;
                without_waiting(socket, || connect_raw(socket, address).map_err(of))
            }
            Err(error) => Err(error),
        };
        let unfinished = match result {
            Err(Errno::AGAIN) => !self.wakes,
            Err(Errno::INPROGRESS | Errno::ALREADY) => self.wakes,
            // It waited all the same: another thread of the program has changed the socket's mode meanwhile.
            Err(Errno::INTR) => true,
            _ => false,
        };
        if unfinished && is_blocking(socket) {
            return None;
        }
        Some(result.map_or_else(refusal, |()| Answer::Done))
    }
}

/// Copies of the socket and the address that a call names.
fn copies(listener: BorrowedFd<'_>, notice: &Notice) -> Result<Pending, Errno> {
    let [number, address, length, ..] = notice.data.args;
    if i64::from(notice.data.nr) != libc::SYS_connect {
        return Err(Errno::PERM);
    }
    // The kernel's own rules (move_addr_to_kernel): the length is an int.
    let length =
        usize::try_from(length as i32).ok().filter(|&length| length <= ADDRESS).ok_or(Errno::INVAL)?;
    let mut copy = Address { bytes: [0; ADDRESS], length };
    let thread = notice.pid.cast_signed();
    if length > 0 && read_memory(thread, address, &mut copy.bytes[..length]).map_err(of)? < length {
        return Err(Errno::FAULT);
    }
    let pidfd = open_thread(thread)?;
    let socket = pidfd_getfd(pidfd, number as i32, PidfdGetfdFlags::empty())?;
    // Only now is it certain that both came from the process that asks, not from a later one of its number.
    if !notice_is_valid(listener, notice.id) {
        return Err(Errno::SRCH);
    }
    Ok(Pending { id: notice.id, thread, socket, address: copy, wakes: false })
}

/// The thread itself (PIDFD_THREAD, Linux 6.9), which may have descriptors of its own, else its process.
fn open_thread(thread: i32) -> Result<OwnedFd, Errno> {
    const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let pid = |number: i32| Pid::from_raw(number).ok_or(Errno::SRCH);
    match pidfd_open(pid(thread)?, PIDFD_THREAD) {
        Err(Errno::INVAL) => {
            let process = proc_file::process_of(thread).ok_or(Errno::SRCH)?;
            pidfd_open(pid(process)?, PidfdFlags::empty())
        }
        opened => opened,
    }
}

/// Runs `act` with `socket` in non-blocking mode. The mode is the program's too, for this short while, in
/// which the socket is not connected and so nothing else is done with it.
pub(super) fn without_waiting<T>(
    socket: BorrowedFd<'_>,
    act: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let mode = fcntl_getfl(socket)?;
    if mode.contains(OFlags::NONBLOCK) {
        return act();
    }
    fcntl_setfl(socket, mode | OFlags::NONBLOCK)?;
    let result = act();
    let _ = fcntl_setfl(socket, mode);
    result
}

fn is_blocking(socket: BorrowedFd<'_>) -> bool {
    fcntl_getfl(socket).is_ok_and(|mode| !mode.contains(OFlags::NONBLOCK))
}

pub(super) fn of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
