//! A block of C strings with the pointers that execve(2) wants, built before the fork.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering, compiler_fence};

/// Strings that can be wiped through a shared reference, for the copy that a watcher keeps.
pub(super) struct Strings {
    bytes: Box<[AtomicU8]>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// `parts` of each string are joined and ended by NUL. The caller has refused NUL bytes within.
    pub(super) fn new<'a, const N: usize>(strings: impl Iterator<Item = [&'a [u8]; N]> + Clone) -> Strings {
        let length = |parts: [&[u8]; N]| parts.iter().map(|part| part.len()).sum::<usize>() + 1;
        let mut bytes = Vec::with_capacity(strings.clone().map(length).sum());
        let mut starts = Vec::new();
        for parts in strings {
            starts.push(bytes.len());
            bytes.extend(parts.into_iter().flatten().map(|&byte| AtomicU8::new(byte)));
            bytes.push(AtomicU8::new(0));
        }
        let bytes = bytes.into_boxed_slice();
        let pointer = |start: usize| bytes[start..].as_ptr().cast();
        let pointers = starts.into_iter().map(pointer).chain([ptr::null()]).collect();
        Strings { bytes, pointers }
    }

    /// The array of pointers, ended by a null pointer.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// Overwrites every string with zeros.
    pub(super) fn wipe(&self) {
        for byte in &self.bytes {
            byte.store(0, Ordering::Relaxed);
        }
        compiler_fence(Ordering::SeqCst);
    }
}

impl Drop for Strings {
    fn drop(&mut self) {
        self.wipe();
    }
}
