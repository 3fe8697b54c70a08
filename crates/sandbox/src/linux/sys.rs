//! The calls that no safe library offers, or not without allocating. All unsafe code of this backend.
//!
//! Used between fork and execve in a copy of a process that may have had threads: nothing here takes a
//! lock or allocates. The watchers and the program share thread-local storage, so errno is read only
//! where the sharer that could overwrite it is suspended.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::plan::Plan;

/// Bytes of stack for each process that runs in this crate's code. The deepest needs about 30 KiB, three
/// times that without optimisation; what is not touched costs nothing.
pub(super) const STACK: usize = 256 * 1024;

/// What a process does that [`spawn`] makes. Its status is what `run` returns.
pub(super) trait Role {
    /// Clone flags, with the signal that tells the parent of the end in the low byte.
    fn flags(plan: &Plan) -> c_int;
    /// Which of the plan's stacks it runs on.
    const STACK: usize;
    /// Runs in the new process, with every signal blocked.
    fn run(plan: &Plan) -> c_int;
}

/// Makes a process that runs `R`; gives its number, and a pidfd(2) where `R` asks for one.
pub(super) fn spawn<R: Role>(plan: &Plan) -> io::Result<(i32, Option<OwnedFd>)> {
    extern "C" fn enter<R: Role>(plan: *mut c_void) -> c_int {
        // SAFETY: `plan` is the reference that `spawn` passed. The creator keeps it alive: with CLONE_VM
        // it is a watcher that holds the plan until it exits, else the new process has its own copy.
        R::run(unsafe { &*plan.cast::<Plan>() })
    }
    let top = plan.stack_top(R::STACK);
    let flags = R::flags(plan);
    let plan = ptr::from_ref(plan).cast_mut().cast::<c_void>();
    let mut pidfd: c_int = -1;
    // SAFETY: `top` is the aligned upper end of STACK writable bytes that only this process uses, `enter`
    // has the required signature and reads `plan` only through a shared reference, and `pidfd` is
    // writable for the one integer that CLONE_PIDFD stores.
    let pid = unsafe { libc::clone(enter::<R>, top.cast(), flags, plan, ptr::from_mut(&mut pidfd)) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel opened this descriptor for us just now and nobody else knows it.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    Ok((pid, (pidfd >= 0).then(|| own(pidfd))))
}

/// A set of signals as it was before [`block_signals`].
pub(super) struct Mask(libc::sigset_t);

/// Blocks every signal in this thread.
pub(super) fn block_signals() -> Mask {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let all = signals(None);
    // SAFETY: both sets are valid for the call, which initialises the second one; SIG_SETMASK is valid.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, before.as_mut_ptr()) };
    // SAFETY: pthread_sigmask with valid arguments does not fail, so the set was written.
    Mask(unsafe { before.assume_init() })
}

impl Mask {
    /// Puts the set back.
    pub(super) fn restore(self) {
        // SAFETY: the set is initialised; the old set is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Lets every signal through: the mask is inherited by the executed program.
pub(super) fn unblock_signals() {
    Mask(signals(Some(&[]))).restore();
}

/// `None` is every signal.
fn signals(of: Option<&[c_int]>) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    match of {
        // SAFETY: the set is writable; sigfillset initialises it and cannot fail.
        None => unsafe { libc::sigfillset(set.as_mut_ptr()) },
        // SAFETY: the set is writable; sigemptyset initialises it and cannot fail.
        Some(_) => unsafe { libc::sigemptyset(set.as_mut_ptr()) },
    };
    for &signal in of.unwrap_or_default() {
        // SAFETY: the set was initialised above; a bad number is an error without effect.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: one of the two calls above initialised it.
    unsafe { set.assume_init() }
}

/// Gives every signal its default disposition: neither the caller's handlers nor what it ignores
/// (Rust ignores SIGPIPE) shall reach the watchers or the program.
pub(super) fn default_signals() {
    // The kernel's own structure: handler, flags, restorer, mask; SIG_DFL and no flags are zeros.
    let default = [0_usize; 8];
    for signal in 1..=64_i32 {
        // SAFETY: rt_sigaction reads at most the 32 bytes of `struct kernel_sigaction` (x86_64, aarch64,
        // riscv64) and writes nothing, since the old action is not asked for. The raw call, because the
        // C library refuses its own two signals; SIGKILL and SIGSTOP are errors without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<c_void>(),
                8_usize,
            )
        };
    }
}

/// A descriptor that becomes readable when one of `of`, all blocked, is pending (signalfd(2)).
pub(super) fn signal_descriptor(of: &[c_int]) -> io::Result<OwnedFd> {
    let set = signals(Some(of));
    // SAFETY: `set` is initialised; -1 asks for a new descriptor; the flags are valid.
    let number = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The caller's process group; 0 when its leader is outside this PID namespace, as for the first process
/// of a container. (rustix takes that 0 for impossible.)
pub(super) fn process_group() -> i32 {
    // SAFETY: getpgrp has no preconditions and cannot fail.
    unsafe { libc::getpgrp() }
}

/// The real, effective and saved group.
pub(super) fn groups() -> Option<[u32; 3]> {
    let [mut real, mut effective, mut saved] = [0; 3];
    // SAFETY: the three integers are writable.
    let result = unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) };
    (result == 0).then_some([real, effective, saved])
}

/// kill(2): a process, or a group when negative. That it is gone is no error here.
pub(super) fn kill(pid: i32, signal: c_int) {
    // SAFETY: kill takes numbers only; the callers pass children that they have not reaped.
    unsafe { libc::kill(pid, signal) };
}

/// A descriptor by its number, for as long as this process runs.
pub(super) fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: called in the watchers and the program only, for numbers that the plan placed and that
    // stay open in that process until it exits; a number closed by mistake gives EBADF, and no other
    // part of these processes owns descriptors.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Missing in the libc crate; include/uapi/asm-generic/fcntl.h.
const F_SETSIG: c_int = 10;

/// Takes a read lease on an open file: while it is held, the kernel lets nobody open the file for writing
/// (F_SETLEASE in fcntl(2)). Refused while a writer has it open, or when the file is somebody else's.
pub(super) fn take_lease(file: BorrowedFd<'_>) -> io::Result<()> {
    let number = file.as_raw_fd();
    // The kernel tells of a writer by a signal that ends the process unless it is one that is ignored by
    // default; the answer is asked for instead.
    // SAFETY: `number` is open; F_SETSIG takes one integer.
    let told = unsafe { libc::fcntl(number, F_SETSIG, libc::SIGURG) };
    if told < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `number` is open; F_SETLEASE takes one integer.
    let result = unsafe { libc::fcntl(number, libc::F_SETLEASE, libc::F_RDLCK) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the read lease is still whole: no writer has asked for the file.
pub(super) fn has_lease(file: BorrowedFd<'_>) -> bool {
    // SAFETY: the descriptor is open; F_GETLEASE takes no argument.
    let lease = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
    lease == libc::F_RDLCK
}

/// dup3(2) onto a number that may be open: what was there is closed.
pub(super) fn place(from: RawFd, to: RawFd, close_on_exec: bool) -> io::Result<()> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: dup3 takes numbers only. It runs in a watcher, whose descriptors nobody owns.
    let result = unsafe { libc::dup3(from, to, flags) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes every descriptor that is not in `keep`, which must be sorted (close_range(2), Linux 5.9).
pub(super) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut from: c_uint = 0;
    for number in keep.iter().filter_map(|&number| c_uint::try_from(number).ok()) {
        if number > from {
            close_range(from, number - 1)?;
        }
        from = number + 1;
    }
    close_range(from, c_uint::MAX)
}

/// Has every descriptor from `first` on closed by the next execution (close_range(2), Linux 5.11).
pub(super) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    // SAFETY: takes numbers only, and closes nothing now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn close_range(first: c_uint, last: c_uint) -> io::Result<()> {
    // SAFETY: takes numbers only. It runs in a watcher, whose descriptors nobody owns.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Executes the open file `image`; returns only when that fails. The kernel takes the low halves of the
/// descriptor and of the flags; `key` goes into the high ones, for the filter.
pub(super) fn execute(
    image: RawFd,
    argv: *const *const c_char,
    envp: *const *const c_char,
    key: [u32; 2],
) -> io::Error {
    let [image, flags] = [(image, key[0]), (libc::AT_EMPTY_PATH, key[1])]
        .map(|(low, high)| u64::from(low.cast_unsigned()) | u64::from(high) << 32);
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH wants; both arrays are ended by a null
    // pointer, point to C strings and live in the plan, which outlives the call.
    unsafe {
        libc::syscall(libc::SYS_execveat, image, c"".as_ptr(), argv, envp, flags);
    }
    io::Error::last_os_error()
}
