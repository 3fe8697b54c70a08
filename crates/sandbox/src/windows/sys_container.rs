//! AppContainers: a profile for a program, made where it is not there yet.
//!
//! Looked up when they are needed: Wine 8 has none of them.

#![allow(unsafe_code)]

use std::io;

use windows_sys::Win32::Security::{PSID, SECURITY_CAPABILITIES, SID_AND_ATTRIBUTES};
use windows_sys::core::{HRESULT, w};

use super::sys::system;
use super::sys_security::Sid;

type Create = unsafe extern "system" fn(
    *const u16,
    *const u16,
    *const u16,
    *const SID_AND_ATTRIBUTES,
    u32,
    *mut PSID,
) -> HRESULT;
type Derive = unsafe extern "system" fn(*const u16, *mut PSID) -> HRESULT;

/// `HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)`: the profile is there.
const EXISTS: HRESULT = 0x8007_00b7_u32 as i32;

/// The container of this name, without capabilities; the error names the call.
pub(super) fn container(name: &str) -> Result<Sid, String> {
    let unavailable = |call: &str| format!("{call}: this system has no AppContainers");
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    // w! would give a pointer; the library's name is needed as a whole.
    let library: Vec<u16> = "userenv.dll\0".encode_utf16().collect();
    let create = system(&library, c"CreateAppContainerProfile")
        .ok_or_else(|| unavailable("CreateAppContainerProfile"))?;
    // SAFETY: the function of this name has this type (userenv.h).
    let create = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Create>(create) };
    let mut sid: PSID = std::ptr::null_mut();
    let (title, text) = (name.as_ptr(), w!("A program that envseal runs in lockdown"));
    // SAFETY: the texts are NUL-ended, there are no capabilities, and `sid` takes one pointer.
    let made = unsafe { create(name.as_ptr(), title, text, std::ptr::null(), 0, &mut sid) };
    if made == EXISTS {
        let derive = system(&library, c"DeriveAppContainerSidFromAppContainerName")
            .ok_or_else(|| unavailable("DeriveAppContainerSidFromAppContainerName"))?;
        // SAFETY: the function of this name has this type (userenv.h).
        let derive = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Derive>(derive) };
        // SAFETY: the name is NUL-ended, and `sid` takes one pointer.
        let found = unsafe { derive(name.as_ptr(), &mut sid) };
        failed("DeriveAppContainerSidFromAppContainerName", found)?;
    } else {
        failed("CreateAppContainerProfile", made)?;
    }
    if sid.is_null() {
        return Err(unavailable("CreateAppContainerProfile"));
    }
    // SAFETY: the call allocated a valid identifier, which is ours to free with FreeSid.
    Ok(unsafe { Sid::taken(sid) })
}

fn failed(call: &str, answer: HRESULT) -> Result<(), String> {
    if answer >= 0 { Ok(()) } else { Err(format!("{call}: {}", io::Error::from_raw_os_error(answer))) }
}

/// What a process in this container is made with: no capability.
pub(super) fn capabilities(container: &Sid) -> SECURITY_CAPABILITIES {
    SECURITY_CAPABILITIES {
        AppContainerSid: container.pointer(),
        Capabilities: std::ptr::null_mut(),
        CapabilityCount: 0,
        Reserved: 0,
    }
}
