//! The calls that no safe library offers, or that an attack must make exactly so. All unsafe code of the
//! attacks.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, fence};

/// Calls that only the older architectures have.
macro_rules! old_calls {
    ($($name:ident $number:ident,)*) => {
        $(
            #[cfg(target_arch = "x86_64")]
            pub const $name: Option<c_long> = Some(libc::$number);
            #[cfg(not(target_arch = "x86_64"))]
            pub const $name: Option<c_long> = None;
        )*
    };
}

old_calls! {
    OPEN SYS_open, CHMOD SYS_chmod, CREAT SYS_creat, MKDIR SYS_mkdir, MKNOD SYS_mknod, MODIFY_LDT SYS_modify_ldt,
}

/// One argument of a system call.
pub enum Arg<'a> {
    /// A number, or a null pointer.
    Number(usize),
    /// The address of a text that ends with NUL.
    Text(&'a CStr),
    /// The address of bytes that the kernel reads or writes, as many as the call's other arguments say.
    Bytes(&'a mut [u8]),
}

/// Makes a system call; the caller sees to it that what is written fits.
pub fn call(number: c_long, arguments: &mut [Arg<'_>]) -> io::Result<usize> {
    let mut words = [0_usize; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = match argument {
            Arg::Number(number) => *number,
            Arg::Text(text) => text.as_ptr() as usize,
            Arg::Bytes(bytes) => bytes.as_mut_ptr() as usize,
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: every pointer leads to memory that is borrowed for the time of the call; the callers pass the
    // lengths of those buffers. None of the calls made through here changes what the compiler relies on.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// A system call with numbers only.
pub fn numbers(number: c_long, arguments: [usize; 5]) -> io::Result<usize> {
    call(number, &mut arguments.map(Arg::Number))
}

/// The same kernel by the entry of 32 bits programs (`int 0x80`), where every number is another one.
#[cfg(target_arch = "x86_64")]
pub fn old_entry(number: u32, first: u32, second: u32, third: u32) -> io::Result<u32> {
    let result: i64;
    // SAFETY: takes numbers only. rbx is the compiler's own and is put back; the kernel clobbers r8 to r11.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, {first:e}", "int 0x80", "pop rbx",
            first = in(reg) first,
            inlateout("rax") i64::from(number) => result,
            in("ecx") second,
            in("edx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let result = result as i32;
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// fork(2); `None` in the child. For attack programs, which have one thread.
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the process has one thread, so that the child's memory is in no half-made state.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// vfork(2) with a child that ends at once.
pub fn vfork() -> io::Result<i32> {
    extern "C" fn end(_: *mut c_void) -> c_int {
        0
    }
    let mut stack = vec![0_u8; 64 * 1024];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child runs on a stack of its own, touches nothing and ends; this process waits until then.
    let pid = unsafe { libc::clone(end, top.cast(), flags, ptr::null_mut()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

/// Waits for a child; gives its status as waitpid(2) does.
pub fn wait(pid: i32) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: the status is writable.
    let result = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

/// Ends this process at once, without anything that Rust does at an end.
pub fn end(status: c_int) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// A request of ptrace(2) that reads nothing.
pub fn ptrace(request: c_uint, pid: i32, data: usize) -> io::Result<()> {
    // SAFETY: address and data are numbers to the requests that are made here.
    let result = unsafe { libc::ptrace(request, pid, 0_usize, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Eight bytes of a traced process.
pub fn peek(pid: i32, address: usize) -> io::Result<[u8; 8]> {
    let mut word = [0; 8];
    // The raw call stores the word, the C library's function gives it back.
    let mut arguments = [
        Arg::Number(libc::PTRACE_PEEKDATA as usize),
        Arg::Number(pid as usize),
        Arg::Number(address),
        Arg::Bytes(&mut word),
    ];
    call(libc::SYS_ptrace, &mut arguments)?;
    Ok(word)
}

/// Reads another process's memory (process_vm_readv(2)).
pub fn read_memory(pid: i32, address: usize, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: into.len() };
    // SAFETY: `local` is writable for its length; the remote address is one of the other process.
    let count = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes another process's memory (process_vm_writev(2)).
pub fn write_memory(pid: i32, address: usize, from: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: from.as_mut_ptr().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: from.len() };
    // SAFETY: `local` is readable for its length; the remote address is one of the other process.
    let count = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// An ioctl(2) whose argument is the address of a byte or an integer.
pub fn ioctl(file: impl AsFd, request: u64, mut number: c_int) -> io::Result<()> {
    // SAFETY: the kernel reads or writes no more than one integer.
    let result = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request, &raw mut number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Connects to an address that other threads change meanwhile.
pub fn connect_at(socket: c_int, address: &'static [AtomicU8; 128], length: usize) -> io::Result<()> {
    let length = length.min(address.len()) as libc::socklen_t;
    // SAFETY: the address is a static of at least `length` bytes, which the kernel reads.
    let result = unsafe { libc::connect(socket, address.as_ptr().cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// dup2(2) of a descriptor onto a number that this program uses for nothing else.
pub fn put(from: impl AsFd, to: c_int) -> io::Result<()> {
    // SAFETY: no owned descriptor has the number `to`.
    let result = unsafe { libc::dup2(from.as_fd().as_raw_fd(), to) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a descriptor that a call has just opened.
pub fn own(number: usize) -> OwnedFd {
    // SAFETY: the callers pass what a call that opens a descriptor has returned, once.
    unsafe { OwnedFd::from_raw_fd(number as c_int) }
}

/// A descriptor that this program was born with, or was not.
pub fn inherited(number: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes a number only.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 { Err(io::Error::last_os_error()) } else { Ok(own(copy as usize)) }
}

/// Installs a filter that allows everything, with a listener.
pub fn listen_to_itself() -> io::Result<OwnedFd> {
    let allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
    let program = libc::sock_fprog { len: 1, filter: (&raw const allow).cast_mut() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: `program` names one instruction; both live through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(own(result as usize)) }
}

/// Attaches System V shared memory, reads its first bytes and lets go.
pub fn read_shared(id: c_int, into: &mut [u8]) -> io::Result<()> {
    // SAFETY: the kernel chooses the place.
    let at = unsafe { libc::shmat(id, ptr::null(), libc::SHM_RDONLY) };
    if at.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the segment was made with at least a page, and `into` is shorter.
    unsafe { ptr::copy_nonoverlapping(at.cast::<u8>(), into.as_mut_ptr(), into.len().min(4096)) };
    // SAFETY: `at` is attached and not used any more.
    unsafe { libc::shmdt(at) };
    Ok(())
}

/// Makes System V shared memory of a page that begins with `bytes`.
pub fn make_shared(key: c_int, bytes: &[u8]) -> io::Result<c_int> {
    // SAFETY: takes numbers only.
    let id = unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    if id < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel chooses the place.
    let at = unsafe { libc::shmat(id, ptr::null(), 0) };
    if at.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the segment is a page long and just made.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at.cast(), bytes.len().min(4096)) };
    // SAFETY: `at` is attached and not used any more.
    unsafe { libc::shmdt(at) };
    Ok(id)
}

/// Maps memory of the program's own that nobody else has; stays mapped.
pub fn map_private(length: usize) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel chooses a free place.
    let at = unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at.addr()) }
}

/// A descriptor's memory, shared with the kernel; stays mapped.
pub struct Mapping {
    base: *mut u8,
    length: usize,
}

impl Mapping {
    pub fn new(file: impl AsFd, length: usize, offset: i64) -> io::Result<Mapping> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: the kernel chooses a free place.
        let at = unsafe {
            libc::mmap(ptr::null_mut(), length, protection, flags, file.as_fd().as_raw_fd(), offset)
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base: at.cast(), length })
    }

    /// A word that the kernel changes.
    pub fn word(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length);
        let at = self.base.wrapping_add(offset).cast::<u32>();
        // SAFETY: the word lies within the mapping, by the assertion, and is aligned, since pages are.
        unsafe { at.read_volatile() }
    }

    /// Writes what the kernel reads.
    pub fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.length);
        let at = self.base.wrapping_add(offset);
        // SAFETY: the bytes lie within the mapping, by the assertion; `bytes` is other memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        fence(SeqCst);
    }
}

/// `struct perf_event_attr` of a clock that counts user space only, which every user may have, and samples
/// registers and stack (perf_event_open(2)).
pub fn perf_attributes() -> [u8; 128] {
    const SOFTWARE: u32 = 1;
    const CPU_CLOCK: u64 = 0;
    const SAMPLE_IP: u64 = 1;
    const DISABLED_EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 1 | 1 << 5 | 1 << 6;
    let mut bytes = [0; 128];
    bytes[0..4].copy_from_slice(&SOFTWARE.to_ne_bytes());
    bytes[4..8].copy_from_slice(&128_u32.to_ne_bytes());
    bytes[8..16].copy_from_slice(&CPU_CLOCK.to_ne_bytes());
    bytes[16..24].copy_from_slice(&1_000_000_u64.to_ne_bytes());
    bytes[24..32].copy_from_slice(&SAMPLE_IP.to_ne_bytes());
    bytes[40..48].copy_from_slice(&DISABLED_EXCLUDE_KERNEL_AND_HYPERVISOR.to_ne_bytes());
    bytes
}

/// A descriptor by its number, whoever has it; closed or not, the calls that get it tell.
pub fn borrow<'a>(number: c_int) -> BorrowedFd<'a> {
    // SAFETY: the number is not negative, which is all that the compiler relies on; it may be closed by
    // another thread at any moment, and the kernel then answers EBADF.
    unsafe { BorrowedFd::borrow_raw(number) }
}
