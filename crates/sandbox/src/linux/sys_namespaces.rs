//! The calls of the namespace engine that no safe library offers. Unsafe code; what was said in `sys` of
//! the time between fork and execve holds here too.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Enters the user namespace of a process (setns(2) with a pidfd, Linux 5.8).
pub(super) fn enter_user_namespace(of: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only. It runs in a watcher, which has one thread.
    let result = unsafe { libc::setns(of.as_raw_fd(), libc::CLONE_NEWUSER) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets and clears attributes (MOUNT_ATTR_*) of the mount at `path`, or of all beneath it too
/// (mount_setattr(2), Linux 5.12).
pub(super) fn set_mount_attributes(path: &CStr, tree: bool, set: u64, clear: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let flags = if tree { libc::AT_RECURSIVE as c_uint } else { 0 };
    // SAFETY: `path` is a C string and `attributes` is initialised; its size is passed, so the kernel reads
    // only that, and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The name of this machine, in this UTS namespace.
pub(super) fn set_host_name(name: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `name.len()` bytes from `name`.
    let result = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks a mount namespace for the next one that this process may have (ioctl_nsfs(2)); the namespace that
/// the kernel opened, or why it did not.
pub(super) fn next_mount_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// _IOR(0xb7, 11, struct mnt_ns_info) in linux/nsfs.h.
    const NS_MNT_GET_NEXT: u64 = 0x8010_b70b;
    #[repr(C)]
    struct Info {
        size: u32,
        mounts: u32,
        id: u64,
    }
    let mut info = Info { size: size_of::<Info>() as u32, mounts: 0, id: 0 };
    // SAFETY: the request's size is that of `Info`, which is writable. The cast is for musl, whose requests
    // are ints.
    let number = unsafe {
        libc::ioctl(namespace.as_raw_fd(), NS_MNT_GET_NEXT as _, ptr::from_mut(&mut info).cast::<c_void>())
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    let number: c_int = number;
    // SAFETY: the kernel opened this descriptor just now and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a network namespace and enters it (unshare(2)).
pub(super) fn leave_network() -> rustix::io::Result<()> {
    // SAFETY: a network namespace touches no open descriptor, and this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
}

/// Whether the namespace that `namespace` leads to can be opened by its file handle, too (Linux 6.18).
pub(super) fn is_opened_by_handle(namespace: BorrowedFd<'_>) -> bool {
    /// FD_NSFS_ROOT in linux/fcntl.h.
    const ROOT: c_int = -10003;
    /// struct file_handle with room for that of a namespace.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        handle: [u8; 64],
    }
    let mut handle = Handle { bytes: 64, kind: 0, handle: [0; 64] };
    let mut mount: c_int = 0;
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH wants; `handle` has the room that it names, and
    // `mount` is writable for one integer.
    let named = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            namespace.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    if named < 0 {
        return false;
    }
    // SAFETY: the kernel filled the handle just now, and only reads it.
    let opened = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, ROOT, &raw mut handle, libc::O_RDONLY | libc::O_CLOEXEC)
    };
    let Ok(number) = c_int::try_from(opened) else { return false };
    if number < 0 {
        return false;
    }
    // SAFETY: the kernel opened this descriptor just now and nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    true
}
