//! The calls about processes that were not started here, and about this one as others see it. Unsafe code.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsHandle as _, BorrowedHandle, OwnedHandle};
use std::time::Duration;

use windows_sys::Win32::Foundation::{ERROR_NO_MORE_FILES, FILETIME, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
    TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::Threading::{GetProcessTimes, OpenProcess, OpenProcessToken, OpenThread};

use super::sys::{check, own, raw, this_process};
use super::sys_process;
use super::sys_security::Sid;

/// Opens a process by its number.
pub(super) fn open(pid: u32, rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: takes numbers and gives a handle or none.
    let handle = unsafe { OpenProcess(rights, 0, pid) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave a new handle.
    Ok(unsafe { own(handle) })
}

/// When an open process was made: intervals of 100 ns since 1601.
pub(super) fn created(process: BorrowedHandle<'_>) -> io::Result<u64> {
    created_at(raw(process))
}

/// When this process was made.
pub(super) fn this_created() -> io::Result<u64> {
    created_at(this_process())
}

fn created_at(process: HANDLE) -> io::Result<u64> {
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: the handle is open or this process's own, and each pointer takes one time.
    check(unsafe { GetProcessTimes(process, created, ended, kernel, user) })?;
    Ok(u64::from(times[0].dwHighDateTime) << 32 | u64::from(times[0].dwLowDateTime))
}

/// Whether a process has ended, after at most so long; `None` waits until it has.
pub(super) fn wait(process: BorrowedHandle<'_>, limit: Option<Duration>) -> io::Result<bool> {
    // One less than the largest number, which stands for no limit.
    let milliseconds =
        |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).min(u32::MAX - 1);
    sys_process::wait(process, limit.map(milliseconds))
}

/// A process of the system's list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its number.
    pub pid: u32,
    /// The number of the process that made it, which another one may have by now.
    pub parent: u32,
    /// The name of the file that it runs, without its directory.
    pub name: String,
}

/// Every process, as the system lists them now.
pub(super) fn list() -> io::Result<Vec<Listed>> {
    let snapshot = snapshot(TH32CS_SNAPPROCESS)?;
    let mut entry =
        PROCESSENTRY32W { dwSize: size_of::<PROCESSENTRY32W>() as u32, ..PROCESSENTRY32W::default() };
    let mut all = Vec::new();
    // SAFETY: the handle is open, and `entry` says its size.
    let mut answer = check(unsafe { Process32FirstW(raw(&snapshot), &mut entry) });
    while answer.is_ok() {
        let end = entry.szExeFile.iter().position(|unit| *unit == 0).unwrap_or(entry.szExeFile.len());
        let name = String::from_utf16_lossy(&entry.szExeFile[..end]);
        all.push(Listed { pid: entry.th32ProcessID, parent: entry.th32ParentProcessID, name });
        // SAFETY: as before.
        answer = check(unsafe { Process32NextW(raw(&snapshot), &mut entry) });
    }
    ended(answer).map(|()| all)
}

/// The last part of the identifier of this process's user.
pub(super) fn user() -> io::Result<u32> {
    let mut token: HANDLE = std::ptr::null_mut();
    // SAFETY: this process's own handle, and `token` takes one handle.
    check(unsafe { OpenProcessToken(this_process(), TOKEN_QUERY, &mut token) })?;
    // SAFETY: the call gave a new handle.
    let token = unsafe { own(token) };
    // Of the alignment that the structure needs, and more than the longest identifier behind it.
    let mut room = [0_u64; 32];
    let mut length = 0;
    let (buffer, size) = (room.as_mut_ptr().cast(), size_of_val(&room) as u32);
    // SAFETY: the handle is open, and `room` has as many bytes as are named.
    check(unsafe { GetTokenInformation(raw(token.as_handle()), TokenUser, buffer, size, &mut length) })?;
    // SAFETY: the call wrote this structure, and the alignment is that of `u64`.
    let user = unsafe { room.as_ptr().cast::<TOKEN_USER>().read() };
    // SAFETY: it points to an identifier in `room`, which still lives.
    Ok(unsafe { Sid::copied(user.User.Sid) }.last())
}

/// Opens a thread by its number.
pub(super) fn open_thread(tid: u32, rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: takes numbers and gives a handle or none.
    let handle = unsafe { OpenThread(rights, 0, tid) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave a new handle.
    Ok(unsafe { own(handle) })
}

/// The threads of this process, as the system lists them now.
pub(super) fn threads() -> io::Result<Vec<u32>> {
    let this = std::process::id();
    let snapshot = snapshot(TH32CS_SNAPTHREAD)?;
    let mut entry = THREADENTRY32 { dwSize: size_of::<THREADENTRY32>() as u32, ..THREADENTRY32::default() };
    let mut all = Vec::new();
    // SAFETY: the handle is open, and `entry` says its size.
    let mut answer = check(unsafe { Thread32First(raw(&snapshot), &mut entry) });
    while answer.is_ok() {
        if entry.th32OwnerProcessID == this {
            all.push(entry.th32ThreadID);
        }
        // SAFETY: as before.
        answer = check(unsafe { Thread32Next(raw(&snapshot), &mut entry) });
    }
    ended(answer).map(|()| all)
}

fn snapshot(what: u32) -> io::Result<OwnedHandle> {
    // SAFETY: takes numbers and gives a handle or an invalid one.
    let snapshot = unsafe { CreateToolhelp32Snapshot(what, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave a new handle.
    Ok(unsafe { own(snapshot) })
}

/// What a list says at its end is no failure.
fn ended(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(error) if error.raw_os_error() == Some(ERROR_NO_MORE_FILES as i32) => Ok(()),
        answer => answer,
    }
}
