//! Numbers and byte strings, one after another: the bodies that client and launcher exchange.
//!
//! Little endian, lengths and counts of four bytes. Reading never panics and never allocates more than it
//! was given bytes for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A body that does not say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Bytes that may hold secrets: overwritten when dropped.
#[derive(Default)]
pub(super) struct Wiped(pub(super) Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // The optimiser may not drop the writes to memory that something still looks at.
        std::hint::black_box(&self.0);
    }
}

/// Writes a body.
pub(super) struct Writer(Wiped);

impl Writer {
    /// With room for so many bytes: a body that had to grow would leave a copy behind.
    pub(super) fn with_room(bytes: usize) -> Writer {
        Writer(Wiped(Vec::with_capacity(bytes)))
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.0.push(byte);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.0.extend(number.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.0.extend(bytes);
    }

    pub(super) fn text(&mut self, text: impl AsRef<OsStr>) {
        self.bytes(text.as_ref().as_bytes());
    }

    pub(super) fn optional<T>(&mut self, value: Option<T>, one: impl FnOnce(&mut Writer, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            one(self, value);
        }
    }

    pub(super) fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Writer, &T)) {
        self.count(items.len());
        for item in items {
            one(self, item);
        }
    }

    /// More than four bytes can count is more than a message may have, which is told when it is sent.
    fn count(&mut self, count: usize) {
        self.0.0.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    pub(super) fn finish(self) -> Wiped {
        self.0
    }
}

/// Reads a body.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither yes nor no")),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number that fits into an `i32`, written as the same `u64` that sign extension gives.
    pub(super) fn signed(&mut self) -> Result<i32, Malformed> {
        i32::try_from(self.number()?.cast_signed()).map_err(|_| Malformed("a number is out of range"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        let length = self.count()?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take()
    }

    pub(super) fn text(&mut self) -> Result<OsString, Malformed> {
        self.bytes().map(|bytes| OsString::from_vec(bytes.to_vec()))
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, Malformed> {
        self.text().map(PathBuf::from)
    }

    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn optional<T>(
        &mut self,
        one: impl FnOnce(&mut Reader<'b>) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? { one(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Reader<'b>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        // Every item has a byte at least, so this bounds what is made.
        if count > self.0.len() {
            return Err(Malformed("more items than bytes"));
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.take().map(u32::from_le_bytes)?;
        usize::try_from(count).map_err(|_| Malformed("a length is out of range"))
    }

    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("it does not end where it should")) }
    }
}

/// A number's form for [`Reader::signed`].
pub(super) fn extended(number: i32) -> u64 {
    i64::from(number).cast_unsigned()
}
