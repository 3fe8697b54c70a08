//! The calls by which a person at the console is talked to. Unsafe code.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use windows_sys::Win32::Foundation::{WAIT_FAILED, WAIT_OBJECT_0};
use windows_sys::Win32::System::Console::{
    FlushConsoleInputBuffer, INPUT_RECORD, KEY_EVENT, ReadConsoleInputW, WriteConsoleW,
};
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use super::sys::{check, raw};

/// Throws away what was typed and not read.
pub(super) fn flush(input: &File) -> io::Result<()> {
    // SAFETY: the handle is open.
    check(unsafe { FlushConsoleInputBuffer(raw(input)) })
}

/// Whether something happened at the console within so many milliseconds.
pub(super) fn wait(input: &File, milliseconds: u32) -> io::Result<bool> {
    // SAFETY: the handle is open; takes a number beside it.
    match unsafe { WaitForSingleObject(raw(input), milliseconds) } {
        WAIT_OBJECT_0 => Ok(true),
        WAIT_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(false),
    }
}

/// The UTF-16 units of the keys that were pressed, from what waits (ReadConsoleInputW).
pub(super) fn keys(input: &File, found: &mut impl Extend<u16>) -> io::Result<()> {
    let mut records = [MaybeUninit::<INPUT_RECORD>::uninit(); 32];
    let mut count = 0;
    let (room, size) = (records.as_mut_ptr().cast(), records.len() as u32);
    // SAFETY: the handle is open, `records` has room for as many as are named, `count` is writable.
    check(unsafe { ReadConsoleInputW(raw(input), room, size, &mut count) })?;
    for record in &records[..(count as usize).min(records.len())] {
        // SAFETY: the call filled in the first `count` records.
        let record = unsafe { record.assume_init() };
        if u32::from(record.EventType) != KEY_EVENT {
            continue;
        }
        // SAFETY: the type says that this member of the union is the one that was filled in.
        let key = unsafe { record.Event.KeyEvent };
        // SAFETY: both members of this union are plain numbers, and the W call fills in this one.
        let unit = unsafe { key.uChar.UnicodeChar };
        if key.bKeyDown != 0 && unit != 0 {
            found.extend(std::iter::repeat_n(unit, usize::from(key.wRepeatCount.max(1))));
        }
    }
    Ok(())
}

/// Writes UTF-16 units; how many it took.
pub(super) fn write(output: &File, units: &[u16]) -> io::Result<usize> {
    let mut written = 0;
    // A console takes fewer than 64 KiB at once.
    let units = &units[..units.len().min(8 << 10)];
    let (text, count) = (units.as_ptr(), units.len() as u32);
    // SAFETY: the handle is open, as many units as are named can be read, and `written` is writable.
    check(unsafe { WriteConsoleW(raw(output), text, count, &mut written, ptr::null()) })?;
    Ok(written as usize)
}
