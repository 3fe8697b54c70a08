//! Looks into /proc without allocating.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{CWD, Mode, OFlags, open, readlinkat_raw};
use rustix::io::read;

/// A path of /proc, built in place; the longest is `/proc/2147483647/status`.
pub(super) struct ProcPath {
    bytes: [u8; 64],
    length: usize,
}

impl ProcPath {
    /// `/proc/NUMBER/NAME`; NAME has at most 16 bytes.
    pub(super) fn of(number: i32, name: &str) -> ProcPath {
        let mut path = ProcPath { bytes: [0; 64], length: 0 };
        path.push(b"/proc/");
        path.push_number(number.unsigned_abs());
        path.push(b"/");
        path.push(name.as_bytes());
        path
    }

    /// What an own descriptor leads to.
    pub(super) fn of_descriptor(descriptor: BorrowedFd<'_>) -> ProcPath {
        let mut path = ProcPath { bytes: [0; 64], length: 0 };
        path.push(b"/proc/self/fd/");
        path.push_number(descriptor.as_raw_fd().unsigned_abs());
        path
    }

    fn push(&mut self, text: &[u8]) {
        // The last byte stays the NUL that ends the string.
        for &byte in text.iter().take(self.bytes.len() - 1 - self.length) {
            self.bytes[self.length] = byte;
            self.length += 1;
        }
    }

    fn push_number(&mut self, number: u32) {
        let mut digits = [0_u8; 10];
        let mut left = digits.len();
        let mut rest = number;
        loop {
            left -= 1;
            digits[left] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[left..]);
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The process of a thread.
pub(super) fn process_of(thread: i32) -> Option<i32> {
    let mut text = [0; 1024];
    let text = read_start(&ProcPath::of(thread, "status"), &mut text)?;
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"Tgid:\t"))?;
    number(value)
}

/// The parent of a process.
pub(super) fn parent_of(process: i32) -> Option<i32> {
    let mut text = [0; 512];
    let text = read_start(&ProcPath::of(process, "stat"), &mut text)?;
    // The name stands in brackets and may hold any: `PID (NAME) STATE PARENT` (proc(5)).
    let end = text.iter().rposition(|&byte| byte == b')')?;
    number(text.get(end + 4..)?.split(|&byte| byte == b' ').next()?)
}

/// Where an open descriptor is found; `None` when that is longer than `into`.
pub(super) fn path_of<'a>(descriptor: BorrowedFd<'_>, into: &'a mut [u8]) -> Option<&'a [u8]> {
    let path = ProcPath::of_descriptor(descriptor);
    let room = into.len();
    let length = readlinkat_raw(CWD, path.as_c_str(), &mut *into).ok()?;
    (length < room).then(|| &into[..length])
}

fn read_start<'a>(path: &ProcPath, into: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let count = read(&file, &mut *into).ok()?;
    into.get(..count)
}

fn number(digits: &[u8]) -> Option<i32> {
    let add = |value: i32, &byte: &u8| {
        let digit = char::from(byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit as i32)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn this_process_is_found() {
        let own = std::process::id().cast_signed();
        assert_eq!(process_of(own), Some(own));
        assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id().cast_signed()));
        let thread = std::thread::spawn(move || process_of(rustix::thread::gettid().as_raw_nonzero().get()));
        assert_eq!(thread.join().expect("a thread"), Some(own));
        assert_eq!(parent_of(i32::MAX), None);
        assert_eq!(ProcPath::of(i32::MAX, "status").as_bytes(), b"/proc/2147483647/status");
    }

    #[test]
    fn a_descriptor_tells_its_path() {
        let file = std::fs::File::open("/etc/passwd").expect("a file");
        let mut room = [0; 64];
        assert_eq!(path_of(file.as_fd(), &mut room), Some(b"/etc/passwd".as_slice()));
        assert_eq!(path_of(file.as_fd(), &mut [0; 5]), None);
    }
}
