//! Who runs this program, on which machine, and where that user's data is.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::PathBuf;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::Win32::UI::Shell::{FOLDERID_LocalAppData, KF_FLAG_DEFAULT, SHGetKnownFolderPath};
use windows_sys::w;

use super::done;
use crate::files::Sid;

/// The user whose token this process has.
pub(crate) fn sid() -> io::Result<Sid> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: this needs no closing and has no condition.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: a handle is written to `token`.
    done(unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the system has just given this handle to us.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // A TOKEN_USER and the SID that it points at, of at most 68 bytes; aligned for the pointer.
    let mut block = [0u64; 32];
    let mut length = 0;
    // SAFETY: at most the given length is written to `block`, and a number to `length`.
    done(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            block.as_mut_ptr().cast(),
            size_of_val(&block) as u32,
            &mut length,
        )
    })?;
    // SAFETY: the call succeeded, so the block begins with a TOKEN_USER; it is aligned for one.
    let sid = unsafe { (*block.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    let bytes: Vec<u8> = block.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let at = (sid as usize).wrapping_sub(block.as_ptr() as usize);
    let end = (length as usize).min(bytes.len());
    let found = bytes.get(at..end).and_then(Sid::parse);
    found.ok_or_else(|| io::Error::other("Windows does not say which user this is"))
}

/// The user's directory for data of this machine, as the shell knows it (`FOLDERID_LocalAppData`).
///
/// The variable `LOCALAPPDATA` does not matter. But the shell takes the place from the user's part of the registry
/// (User Shell Folders), in the words `%USERPROFILE%\AppData\Local`: whoever writes there, or starts this program with
/// another `USERPROFILE`, moves it, and both are within reach of every program of the user.
pub(crate) fn local_data() -> io::Result<PathBuf> {
    let mut path = ptr::null_mut();
    // SAFETY: the id is a constant; a pointer is written to `path`, which is freed below whatever the result.
    let result = unsafe {
        SHGetKnownFolderPath(&FOLDERID_LocalAppData, KF_FLAG_DEFAULT as u32, ptr::null_mut(), &mut path)
    };
    let found = (result == 0 && !path.is_null()).then(|| {
        // SAFETY: the call succeeded, so `path` is a text that ends with a zero; each unit up to it is readable.
        let length = (0..).take_while(|at| unsafe { path.wrapping_add(*at).read() } != 0).count();
        // SAFETY: as many units were just read.
        OsString::from_wide(unsafe { std::slice::from_raw_parts(path, length) })
    });
    // SAFETY: the system allocated it, or it is null; nothing points at it any more.
    unsafe { CoTaskMemFree(path.cast()) };
    found.map(PathBuf::from).ok_or_else(|| {
        io::Error::other(format!("SHGetKnownFolderPath: Windows gives no LocalAppData ({result:#010x})"))
    })
}

/// The number that Windows gave this machine when it was installed; `None` where there is none.
pub(crate) fn machine_guid() -> Option<Vec<u8>> {
    let mut text = [0u8; 256];
    let mut length = size_of_val(&text) as u32;
    // SAFETY: names that end with a zero; at most `length` bytes are written to `text`, and a number to `length`.
    let result = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!("SOFTWARE\\Microsoft\\Cryptography"),
            w!("MachineGuid"),
            RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            text.as_mut_ptr().cast(),
            &mut length,
        )
    };
    let found = text.get(..length as usize)?;
    (result == ERROR_SUCCESS).then(|| found.to_vec())
}
