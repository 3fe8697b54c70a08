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

use zeroize::Zeroizing;

use super::pure::keys::{ROOM, Record, Typed};
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

/// Adds the keys of what waits (ReadConsoleInputW); waits itself where nothing does.
pub(super) fn keys(input: &File, typed: &mut Typed) -> io::Result<()> {
    // Overwritten when it goes, whatever happens.
    let mut records = Zeroizing::new([MaybeUninit::<INPUT_RECORD>::uninit(); ROOM]);
    let mut count = 0;
    let (room, size) = (records.as_mut_ptr().cast(), records.len() as u32);
    // SAFETY: the handle is open, `records` has room for as many as are named, `count` is writable.
    check(unsafe { ReadConsoleInputW(raw(input), room, size, &mut count) })?;
    for record in &records[..(count as usize).min(ROOM)] {
        // SAFETY: the call filled in the first `count` records.
        let record = unsafe { record.assume_init_ref() };
        if u32::from(record.EventType) != KEY_EVENT {
            continue;
        }
        // SAFETY: the type says that this member of the union is the one that was filled in.
        let key = unsafe { &record.Event.KeyEvent };
        // SAFETY: both members of this union are plain numbers, and the W call fills in this one.
        let unit = unsafe { key.uChar.UnicodeChar };
        let (is_down, repeat) = (key.bKeyDown != 0, key.wRepeatCount);
        typed.add(&Record { is_down, repeat, key: key.wVirtualKeyCode, unit });
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

/// Types keys: whether down, which, and the unit that each gives (WriteConsoleInputW).
#[cfg(test)]
pub(super) fn type_in(input: &File, keys: &[(bool, u16, u16)]) -> io::Result<()> {
    use windows_sys::Win32::System::Console::{
        INPUT_RECORD_0, KEY_EVENT_RECORD, KEY_EVENT_RECORD_0, WriteConsoleInputW,
    };
    let record = |&(is_down, key, unit): &(bool, u16, u16)| {
        let key = KEY_EVENT_RECORD {
            bKeyDown: is_down.into(),
            wRepeatCount: 1,
            wVirtualKeyCode: key,
            uChar: KEY_EVENT_RECORD_0 { UnicodeChar: unit },
            ..KEY_EVENT_RECORD::default()
        };
        INPUT_RECORD { EventType: KEY_EVENT as u16, Event: INPUT_RECORD_0 { KeyEvent: key } }
    };
    let records: Vec<_> = keys.iter().map(record).collect();
    let (first, count, mut written) = (records.as_ptr(), records.len() as u32, 0);
    // SAFETY: the handle is open, as many records as are named can be read, and `written` is writable.
    check(unsafe { WriteConsoleInputW(raw(input), first, count, &mut written) })
}
