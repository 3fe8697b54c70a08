//! Pages of Unix.
//!
//! Linux gives pages that even the kernel's own mappings do not hold (`memfd_secret(2)`, 5.14); where it does not,
//! anonymous pages are locked with `mlock(2)`.

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}

/// New zero pages, and whether they can never be swapped out. `mapped` is a multiple of a page.
pub(super) fn pages(mapped: usize) -> io::Result<(NonNull<u8>, bool)> {
    let (start, locked) = match secret_pages(mapped) {
        Some(start) => (start, true),
        None => locked_pages(mapped)?,
    };
    advise(start, mapped);
    Ok((start, locked))
}

/// Gives pages back.
///
/// # Safety
///
/// They are what [`pages`] gave for `mapped`, and nothing refers to them any more.
pub(super) unsafe fn give_back(start: NonNull<u8>, mapped: usize) {
    // SAFETY: the caller's word is what munmap asks for.
    let _ = unsafe { rustix::mm::munmap(start.as_ptr().cast(), mapped) };
}

/// Leaves the pages out of dumps and of forked children. A kernel that refuses either leaves them private.
fn advise(start: NonNull<u8>, mapped: usize) {
    let start = start.as_ptr().cast::<c_void>();
    #[cfg(target_os = "linux")]
    for advice in [Advice::LinuxDontDump, Advice::LinuxDontFork] {
        // SAFETY: the range is exactly a mapping of ours, and neither advice changes its bytes.
        let _ = unsafe { rustix::mm::madvise(start, mapped, advice) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, mapped, Advice::Normal);
}

/// Pages of a secret memory file whose descriptor is closed at once: an open one could be taken by
/// `pidfd_getfd(2)` and mapped.
#[cfg(target_os = "linux")]
fn secret_pages(mapped: usize) -> Option<NonNull<u8>> {
    use std::os::fd::{FromRawFd as _, OwnedFd};

    // SAFETY: memfd_secret takes one flags argument and touches no memory of ours.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the kernel has just returned this descriptor to us and nobody else knows it.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    rustix::fs::ftruncate(&file, mapped as u64).ok()?;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice aliases nothing.
    let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), mapped, access, MapFlags::SHARED, &file, 0) };
    NonNull::new(start.ok()?.cast())
}

#[cfg(not(target_os = "linux"))]
fn secret_pages(_mapped: usize) -> Option<NonNull<u8>> {
    None
}

/// Anonymous pages, locked when the limit allows it.
fn locked_pages(mapped: usize) -> io::Result<(NonNull<u8>, bool)> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
    let start =
        unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), mapped, access, MapFlags::PRIVATE) }?;
    // SAFETY: the range is the mapping made in the line above.
    let locked = unsafe { rustix::mm::mlock(start, mapped) }.is_ok();
    Ok((NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?, locked))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::memory::Locked;

    #[test]
    fn locked_pages_are_not_in_the_children_and_the_dumps() {
        let pages = Locked::copy_of(b"canary").unwrap();
        let place = format!("{:x}-", pages.start.as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mine = maps.split(&place).nth(1).unwrap();
        let flags = mine.lines().find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
        for flag in ["dd", "dc"] {
            assert!(flags.split_whitespace().any(|f| f == flag), "{flag} is not in {flags}");
        }
    }
}
