//! Connects a socket of the Unix domain to the listeners that a program may reach.
//!
//! A service of another user may be reached unless it is listed as hidden. A listener of the same user may
//! be reached when it is of the program's own tree: agents, the session bus, editors and terminal
//! multiplexers, which act for the user, are not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, stat};
use rustix::io::Errno;
use rustix::net::sockopt::socket_type;
use rustix::net::{AddressFamily, SocketFlags, socket_with};
use rustix::process::getuid;

use super::connect::{of, without_waiting};
use super::hidden::{SOCKETS, is_beneath};
use super::plan::Plan;
use super::proc_file::{ProcPath, parent_of, path_of};
use super::sys_confine::{connect_raw, peer_credentials, peer_pidfd};

/// Bytes of `struct sockaddr_un` before the path: the family (unix(7)).
const FAMILY: usize = 2;
/// A tree that is deeper than this is not looked through.
const DEPTH: usize = 1024;

/// Connects `socket`, which belongs to `thread`'s process, to the address that it named: EACCES where the
/// listener is not to be reached, EAGAIN where the connection would have to wait.
pub(super) fn connect(plan: &Plan, thread: i32, socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let (family, name) = address.split_at_checked(FAMILY).ok_or(Errno::INVAL)?;
    if family != (libc::AF_UNIX as u16).to_ne_bytes() {
        return Err(Errno::INVAL);
    }
    match name.first() {
        None => Err(Errno::INVAL),
        // Landlock's scope does not hold the watcher, and no list could name what has no path.
        Some(0) => {
            reaches(plan, socket, address, Others::Refused)?;
            without_waiting(socket, || connect_raw(socket, address).map_err(of))
        }
        Some(_) => connect_path(plan, thread, socket, name),
    }
}

fn connect_path(plan: &Plan, thread: i32, socket: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let file = open_socket(thread, name)?;
    let found = fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(Errno::CONNREFUSED);
    }
    // By the inode that was looked at, wherever its path leads by now.
    let handle = ProcPath::of_descriptor(file.as_fd());
    let mut address = [0_u8; 128];
    address[..FAMILY].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    let length = FAMILY + handle.as_bytes().len();
    address[FAMILY..length].copy_from_slice(handle.as_bytes());
    let address = &address[..=length];

    let mut room = [0_u8; libc::PATH_MAX as usize];
    let path = path_of(file.as_fd(), &mut room).ok_or(Errno::NAMETOOLONG)?;
    let is_hidden = |hidden: &[u8]| is_beneath(path, hidden);
    if plan.hidden.iter().any(|hidden| is_hidden(hidden.as_bytes())) {
        return Err(Errno::ACCESS);
    }
    if !plan.sockets.iter().any(|named| named.as_bytes() == path) {
        // The inode too: another name of the same socket changes nothing.
        let is_listed = |listed: &str| {
            let same = |of: rustix::fs::Stat| (of.st_dev, of.st_ino) == (found.st_dev, found.st_ino);
            is_hidden(listed.as_bytes()) || stat(listed).is_ok_and(same)
        };
        if SOCKETS.into_iter().any(is_listed) {
            return Err(Errno::ACCESS);
        }
        reaches(plan, socket, address, Others::Reached)?;
    }
    without_waiting(socket, || connect_raw(socket, address).map_err(of))
}

/// The file of a socket as the thread that named it sees it.
fn open_socket(thread: i32, name: &[u8]) -> Result<OwnedFd, Errno> {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    // Not through /proc/self/fd and its like, which are this process's own.
    let resolve = ResolveFlags::NO_MAGICLINKS;
    if name.starts_with(b"/") {
        return openat2(CWD, name, flags, Mode::empty(), resolve);
    }
    let directory = ProcPath::of(thread, "cwd");
    let directory = open(directory.as_c_str(), flags | OFlags::DIRECTORY, Mode::empty())?;
    openat2(&directory, name, flags, Mode::empty(), resolve)
}

/// What becomes of a listener of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Reached,
    Refused,
}

/// Whether the listener at `address` may be reached: asked by a connection of the watcher's own, on which
/// nothing is sent, because once the program's socket is connected its other threads can use it.
fn reaches(plan: &Plan, socket: BorrowedFd<'_>, address: &[u8], others: Others) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, socket_type(socket)?, flags, None)?;
    connect_raw(probe.as_fd(), address).map_err(of)?;
    let (process, user) = peer_credentials(probe.as_fd()).map_err(of)?;
    if user != getuid().as_raw() && others == Others::Reached {
        return Ok(());
    }
    if is_of_tree(plan, process) && is_alive(probe.as_fd()) { Ok(()) } else { Err(Errno::ACCESS) }
}

/// Whether the process that listens has not ended: only then is its number its own. A daemon listens, forks
/// and ends, and its number could be taken by a process of the tree.
fn is_alive(probe: BorrowedFd<'_>) -> bool {
    let Ok(pidfd) = peer_pidfd(probe) else { return false };
    // Readable once the process has ended (pidfd_open(2)).
    let mut ends = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(&mut ends, Some(&Timespec::default())) == Ok(0)
}

fn is_of_tree(plan: &Plan, peer: i32) -> bool {
    let watcher = plan.inner.load(std::sync::atomic::Ordering::SeqCst);
    let mut process = Some(peer);
    for _ in 0..DEPTH {
        match process {
            Some(number) if number == watcher => return true,
            Some(number) if number > 1 => process = parent_of(number),
            _ => return false,
        }
    }
    false
}
