//! Memory for plaintexts: locked, left out of dumps and of children, zeroed before it goes back.
//!
//! The only module with unsafe code. Linux gives pages that even the kernel's own mappings do not hold
//! (`memfd_secret(2)`, 5.14); where it does not, anonymous pages are locked with `mlock(2)`. When the limit on
//! locked memory is reached the pages are still private and left out of dumps, and [`Locked::is_locked`] says no.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};
use zeroize::Zeroize as _;

/// A fixed number of bytes in pages of their own.
pub(crate) struct Locked {
    start: NonNull<u8>,
    /// Bytes that the owner sees.
    len: usize,
    /// Bytes that are mapped: `len` up to whole pages.
    mapped: usize,
    locked: bool,
}

// SAFETY: the pages are owned by this value alone, and plain bytes may be used from any thread.
unsafe impl Send for Locked {}
// SAFETY: a shared `Locked` gives out only shared slices; nothing inside changes through `&self`.
unsafe impl Sync for Locked {}

impl Locked {
    /// `len` zero bytes.
    pub(crate) fn zeroed(len: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let mapped = len.max(1).checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let (start, locked) = match secret_pages(mapped) {
            Some(start) => (start, true),
            None => locked_pages(mapped)?,
        };
        let pages = Self { start, len, mapped, locked };
        pages.advise();
        Ok(pages)
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let mut pages = Self::zeroed(bytes.len())?;
        pages.as_mut().copy_from_slice(bytes);
        Ok(pages)
    }

    /// Whether the pages can never be swapped out.
    pub(crate) const fn is_locked(&self) -> bool {
        self.locked
    }

    /// Leaves the pages out of dumps and of forked children. A kernel that refuses either leaves them private.
    fn advise(&self) {
        let start = self.start.as_ptr().cast::<c_void>();
        #[cfg(target_os = "linux")]
        for advice in [Advice::LinuxDontDump, Advice::LinuxDontFork] {
            // SAFETY: the range is exactly the mapping that `self` owns, and neither advice changes its bytes.
            let _ = unsafe { rustix::mm::madvise(start, self.mapped, advice) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, Advice::Normal);
    }
}

impl AsRef<[u8]> for Locked {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len <= mapped` bytes from `start` are mapped, initialised (fresh pages are zero) and live as
        // long as `self`; writers need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsMut<[u8]> for Locked {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_ref`, and `&mut self` makes this the only slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.as_mut().zeroize();
        // SAFETY: `start` and `mapped` are what mmap gave and took; no slice outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_pages_hold_what_was_put_in_them() {
        for len in [1, 32, 4096, 4097, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let pages = Locked::copy_of(&bytes).unwrap();
            assert!(pages.is_locked());
            assert_eq!(pages.as_ref(), bytes);
        }
    }

    #[cfg(target_os = "linux")]
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
