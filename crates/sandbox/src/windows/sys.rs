//! Handles, files and names: the calls that need `unsafe` and belong to no process, token or console.

#![allow(unsafe_code)]

use std::cmp::Ordering;
use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{
    CompareObjectHandles, DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_INVALID_HANDLE, HANDLE,
    HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, SetHandleInformation,
};
use windows_sys::Win32::Globalization::{CSTR_EQUAL, CSTR_LESS_THAN, CompareStringOrdinal};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_TYPE_DISK, GetFileType, GetFinalPathNameByHandleW, GetVolumeInformationByHandleW,
};
use windows_sys::Win32::System::Console::GetStdHandle;
use windows_sys::Win32::System::Diagnostics::Debug::{
    GetErrorMode, SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX, SetErrorMode,
};
use windows_sys::Win32::System::LibraryLoader::{
    GetModuleHandleW, GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};
use windows_sys::Win32::System::Pipes::CreatePipe;
use windows_sys::Win32::System::SystemInformation::GetSystemWindowsDirectoryW;
use windows_sys::Win32::System::Threading::{CreateEventW, GetCurrentProcess};
use windows_sys::core::BOOL;

/// The error of the call that was just made, where it says that it failed.
pub(super) fn check(answer: BOOL) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The handle that a call gave, owned from now on.
///
/// # Safety
/// `handle` is open, belongs to nobody else, and is closed by CloseHandle.
pub(super) unsafe fn own(handle: HANDLE) -> OwnedHandle {
    // SAFETY: what this function demands.
    unsafe { OwnedHandle::from_raw_handle(handle) }
}

/// The number of `handle`, for a call that borrows it.
pub(super) fn raw(handle: impl AsHandle) -> HANDLE {
    handle.as_handle().as_raw_handle()
}

/// This process, as a handle that needs no closing.
pub(super) fn this_process() -> HANDLE {
    // SAFETY: gives a constant.
    unsafe { GetCurrentProcess() }
}

/// The same, for a call that borrows a handle.
pub(super) fn own_process() -> BorrowedHandle<'static> {
    // SAFETY: it stands for this process as long as that lives.
    unsafe { BorrowedHandle::borrow_raw(this_process()) }
}

/// A second, inheritable handle of the same object.
pub(super) fn inheritable(handle: BorrowedHandle<'_>) -> io::Result<OwnedHandle> {
    let mut copy: HANDLE = std::ptr::null_mut();
    let this = this_process();
    // SAFETY: both processes are this one, `handle` is open, and `copy` takes one handle.
    let answer = unsafe { DuplicateHandle(this, raw(handle), this, &mut copy, 0, 1, DUPLICATE_SAME_ACCESS) };
    check(answer)?;
    // SAFETY: the call gave a new handle.
    Ok(unsafe { own(copy) })
}

/// Whether the process has, under the number of `handle`, the object of `handle`.
pub(super) fn has_same(process: BorrowedHandle<'_>, handle: BorrowedHandle<'_>) -> bool {
    let mut copy: HANDLE = std::ptr::null_mut();
    let same = DUPLICATE_SAME_ACCESS;
    // SAFETY: `process` is open; the number need not be a handle there, which the call then says.
    let answer = unsafe { DuplicateHandle(raw(process), raw(handle), this_process(), &mut copy, 0, 0, same) };
    if answer == 0 {
        // Any other answer does not say that it is not there.
        return io::Error::last_os_error().raw_os_error() != Some(ERROR_INVALID_HANDLE as i32);
    }
    // SAFETY: the call gave a new handle.
    let copy = unsafe { own(copy) };
    // SAFETY: both are open handles of this process.
    unsafe { CompareObjectHandles(raw(&copy), raw(handle)) != 0 }
}

/// An event that is signalled by nobody, whose handle is inheritable: what must stay outside.
pub(super) fn canary() -> io::Result<OwnedHandle> {
    // SAFETY: no attributes, no name.
    let event = unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave a new handle.
    let event = unsafe { own(event) };
    // SAFETY: the handle is open and of this process.
    check(unsafe { SetHandleInformation(raw(&event), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })?;
    Ok(event)
}

/// A pipe: the end to read from, and the end to write to, neither inheritable.
pub(super) fn pipe() -> io::Result<(OwnedHandle, OwnedHandle)> {
    let (mut read, mut write): (HANDLE, HANDLE) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: each pointer takes one handle; no attributes, the default size.
    check(unsafe { CreatePipe(&mut read, &mut write, std::ptr::null(), 0) })?;
    // SAFETY: the call gave this handle.
    let read = unsafe { own(read) };
    // SAFETY: and this one.
    Ok((read, unsafe { own(write) }))
}

/// The caller's standard stream `number` (`STD_INPUT_HANDLE`, ...), if it has one, as a copy of its own.
pub(super) fn standard(number: u32) -> Option<OwnedHandle> {
    // SAFETY: takes a number and gives a handle that is not to be closed.
    let handle = unsafe { GetStdHandle(number) };
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return None;
    }
    // SAFETY: borrowed for the copy alone, which fails where the handle is not open.
    let handle = unsafe { BorrowedHandle::borrow_raw(handle) };
    handle.try_clone_to_owned().ok()
}

/// Whether `file` is one on a disk: no pipe, no console, no other device.
pub(super) fn is_on_disk(file: impl AsHandle) -> bool {
    // SAFETY: the handle is open.
    unsafe { GetFileType(raw(file)) == FILE_TYPE_DISK }
}

/// The path of an open file, links resolved: `flags` say in which form (`VOLUME_NAME_*`).
pub(super) fn final_path(file: impl AsHandle, flags: u32) -> io::Result<OsString> {
    let handle = raw(file);
    filled(|buffer, size| {
        // SAFETY: `buffer` has room for `size` units, and the handle is open.
        unsafe { GetFinalPathNameByHandleW(handle, buffer, size, flags) }
    })
}

/// `C:\Windows`, whatever the environment says.
pub(super) fn windows_directory() -> io::Result<OsString> {
    filled(|buffer, size| {
        // SAFETY: `buffer` has room for `size` units.
        unsafe { GetSystemWindowsDirectoryW(buffer, size) }
    })
}

/// What `call` writes, where it answers with the length, or with the size that it needs.
fn filled(call: impl Fn(*mut u16, u32) -> u32) -> io::Result<OsString> {
    let mut buffer = vec![0_u16; 512];
    loop {
        let length = call(buffer.as_mut_ptr(), buffer.len() as u32) as usize;
        if length == 0 {
            return Err(io::Error::last_os_error());
        }
        if length < buffer.len() {
            return Ok(OsString::from_wide(&buffer[..length]));
        }
        buffer.resize(length + 1, 0);
    }
}

/// What the file system of an open file calls itself: `NTFS`.
pub(super) fn file_system(file: impl AsHandle) -> io::Result<String> {
    // At most MAX_PATH units, the NUL included.
    let mut name = [0_u16; 261];
    let (no_text, no_number) = (std::ptr::null_mut(), std::ptr::null_mut());
    let (of, room, size) = (raw(file), name.as_mut_ptr(), name.len() as u32);
    // SAFETY: the handle is open, `room` takes `size` units, and nothing else is asked for.
    check(unsafe {
        GetVolumeInformationByHandleW(of, no_text, 0, no_number, no_number, no_number, room, size)
    })?;
    let end = name.iter().position(|unit| *unit == 0).unwrap_or(name.len());
    Ok(String::from_utf16_lossy(&name[..end]))
}

/// The order of two names without regard to case, as the system compares names.
pub(super) fn compare_names(a: &[u16], b: &[u16]) -> Ordering {
    let length = |name: &[u16]| i32::try_from(name.len()).unwrap_or(i32::MAX);
    // SAFETY: each pointer comes with the length of what it points to.
    match unsafe { CompareStringOrdinal(a.as_ptr(), length(a), b.as_ptr(), length(b), 1) } {
        CSTR_LESS_THAN => Ordering::Less,
        CSTR_EQUAL => Ordering::Equal,
        _ => Ordering::Greater,
    }
}

/// Takes the boxes away that the system shows for a crash or a missing drive, and that wait for a click.
/// Programs that this process starts have none either: they inherit the mode.
pub fn no_error_boxes() {
    let none = SEM_NOGPFAULTERRORBOX | SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX;
    // SAFETY: reads a number.
    let before = unsafe { GetErrorMode() };
    // SAFETY: sets a number of this process.
    unsafe { SetErrorMode(before | none) };
}

/// A function of a system library that is loaded already; `None` where this Windows has none of the name.
pub(super) fn loaded(
    library: &[u16],
    name: &core::ffi::CStr,
) -> Option<unsafe extern "system" fn() -> isize> {
    assert_eq!(library.last(), Some(&0), "a name that ends");
    // SAFETY: `library` is NUL-ended.
    let module = unsafe { GetModuleHandleW(library.as_ptr()) };
    // SAFETY: the module stays loaded; `name` is NUL-ended.
    if module.is_null() { None } else { unsafe { GetProcAddress(module, name.as_ptr().cast()) } }
}

/// The same, of a library of System32 that is loaded for it and stays so.
pub(super) fn system(
    library: &[u16],
    name: &core::ffi::CStr,
) -> Option<unsafe extern "system" fn() -> isize> {
    assert_eq!(library.last(), Some(&0), "a name that ends");
    let only = LOAD_LIBRARY_SEARCH_SYSTEM32;
    // SAFETY: `library` is NUL-ended and looked for in System32 alone.
    let module = unsafe { LoadLibraryExW(library.as_ptr(), std::ptr::null_mut(), only) };
    if module.is_null() { None } else { loaded(library, name) }
}
