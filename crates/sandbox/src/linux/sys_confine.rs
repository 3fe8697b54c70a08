//! The calls of Landlock, seccomp and its user notification, which no safe library offers without
//! allocating. Unsafe code; what was said in `sys` of the time between fork and execve holds here too.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Landlock's version in the running kernel (landlock_create_ruleset(2) with
/// LANDLOCK_CREATE_RULESET_VERSION).
pub(super) fn landlock_version() -> io::Result<u32> {
    // SAFETY: with this flag the attribute must be null and its size 0; nothing is written.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<c_void>(), 0_usize, 1_u32) };
    u32::try_from(version).map_err(|_| io::Error::last_os_error())
}

/// Puts this process into a domain of its own (landlock_restrict_self(2)).
pub(super) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only; the descriptor is open.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Installs a filter in this thread (seccomp(2)); with a listener, gives its descriptor (close-on-exec).
pub(super) fn install_filter(filter: &[libc::sock_filter], listens: bool) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    let install = |flags: u64| {
        // SAFETY: `program` names `length` instructions that live through the call; the kernel copies them
        // and writes nothing.
        unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags as u32, &raw const program)
        }
    };
    if !listens {
        return if install(0) < 0 { Err(io::Error::last_os_error()) } else { Ok(None) };
    }
    // Without the second flag (Linux 5.19) any signal makes the call be asked for a second time.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let mut result = install(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        result = install(flags);
    }
    let number = c_int::try_from(result).map_err(|_| io::Error::last_os_error())?;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel opened this descriptor just now and nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// A system call that waits for an answer.
pub(super) type Notice = libc::seccomp_notif;

/// The next call that waits; blocks when there is none, so ask poll(2) first.
pub(super) fn receive_notice(listener: BorrowedFd<'_>) -> io::Result<Notice> {
    // The kernel wants zeros (SECCOMP_IOCTL_NOTIF_RECV in seccomp_unotify(2)).
    let mut notice = MaybeUninit::<Notice>::zeroed();
    // SAFETY: the request's size, part of its number, is that of `Notice`, which is writable.
    let result =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, notice.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, for which zeros are valid, and the kernel filled them.
    Ok(unsafe { notice.assume_init() })
}

/// How a call that waits ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It succeeded, with 0.
    Done,
    /// It failed with this errno.
    Failed(i32),
}

/// Answers; that the caller is gone is no error.
pub(super) fn answer_notice(listener: BorrowedFd<'_>, id: u64, answer: Answer) {
    let error = match answer {
        Answer::Done => 0,
        Answer::Failed(errno) => -errno,
    };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags: 0 };
    // SAFETY: the request's size is that of the response, which is initialised and lives through the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
}

/// Whether the caller still waits, and its number is therefore still its own.
pub(super) fn notice_is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads the eight bytes of `id`.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Reads another process's memory at `address` (process_vm_readv(2)); gives the number of bytes.
pub(super) fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address as usize), iov_len: into.len() };
    // SAFETY: `local` is writable for its length; the remote address is only looked at by the kernel, in the
    // other process.
    let count = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Connects a socket to an address as another process wrote it down, of whatever family.
pub(super) fn connect_raw(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes of the address and judges them itself.
    let result = unsafe {
        libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `act` so that a call in it that waits fails with EINTR after a while: a timer's signal comes again and
/// again, has an empty handler, and is let through for this long only (setitimer(2), signal(7)).
pub(super) fn impatiently<T>(act: impl FnOnce() -> T) -> T {
    extern "C" fn nothing(_: c_int) {}
    const AGAIN: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
    const NEVER: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = |every: libc::timeval| {
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: the kernel reads the timer, and the old one is not asked for.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    };
    let mut alarm = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is writable; sigemptyset initialises it.
    unsafe { libc::sigemptyset(alarm.as_mut_ptr()) };
    // SAFETY: the set is initialised and the number is valid.
    unsafe { libc::sigaddset(alarm.as_mut_ptr(), libc::SIGALRM) };
    let mask = |how| {
        // SAFETY: the set is initialised, and the old one is not asked for.
        unsafe { libc::pthread_sigmask(how, alarm.as_ptr(), ptr::null_mut()) };
    };
    let handler: extern "C" fn(c_int) = nothing;
    // SAFETY: zeros are a valid sigaction; without SA_RESTART a call that waits is not begun again.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the action is initialised, its handler does nothing, and the old one is not asked for.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
    timer(AGAIN);
    mask(libc::SIG_UNBLOCK);
    let result = act();
    mask(libc::SIG_BLOCK);
    timer(NEVER);
    result
}

/// SO_PEERPIDFD (Linux 6.5): the process that listens at the other end of a connected path socket.
pub(super) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const SO_PEERPIDFD: c_int = 77;
    let mut number: c_int = -1;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `number` is writable for the length that is passed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut number).cast(),
            &raw mut length,
        )
    };
    if result < 0 || number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel opened this descriptor just now and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a system call with arguments that do nothing, and tells whether it was refused with `errno`, which
/// it would not be without the filter.
pub(super) fn is_refused(call: c_long, arguments: [usize; 4], errno: c_int) -> bool {
    let [a, b, c, d] = arguments;
    // SAFETY: the callers pass numbers that no kernel acts on: bad flags, bad descriptors, null pointers.
    let result = unsafe { libc::syscall(call, a, b, c, d, 0_usize) };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(errno)
}

/// Adds to a ruleset: `rights` for what `beneath` leads to and all beneath it (landlock_add_rule(2)).
pub(super) fn landlock_allow(
    ruleset: BorrowedFd<'_>,
    beneath: BorrowedFd<'_>,
    rights: u64,
) -> io::Result<()> {
    const LANDLOCK_RULE_PATH_BENEATH: c_int = 1;
    /// struct landlock_path_beneath_attr in linux/landlock.h.
    #[repr(C, packed)]
    struct PathBeneath {
        rights: u64,
        beneath: i32,
    }
    let rule = PathBeneath { rights, beneath: beneath.as_raw_fd() };
    // SAFETY: the kernel reads the packed structure of this rule type and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            LANDLOCK_RULE_PATH_BENEATH,
            &raw const rule,
            0_u32,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// SO_PEERCRED: the process at the other end of a connected socket, 0 when it is outside of this PID
/// namespace, and its user. (rustix takes that 0 for impossible.)
pub(super) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` is writable for the length that is passed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok((peer.pid, peer.uid)) }
}
