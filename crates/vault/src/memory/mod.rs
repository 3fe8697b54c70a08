//! Memory for plaintexts: locked, left out of dumps and of children, zeroed before it goes back.
//!
//! Where the system gives no more locked memory the pages are still private and left out of dumps, and
//! [`Locked::is_locked`] says no.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;

use zeroize::Zeroize as _;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

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
        let page = system::page_size();
        let mapped = len.max(1).checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let (start, locked) = system::pages(mapped)?;
        Ok(Self { start, len, mapped, locked })
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
        // SAFETY: `start` and `mapped` are what `pages` gave and took; no slice outlives `self`.
        unsafe { system::give_back(self.start, self.mapped) };
    }
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
}
