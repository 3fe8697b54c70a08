//! AppContainers: a profile for a program, made where it is not there yet.
//!
//! Looked up when they are needed: Wine 8 has none of them.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::size_of;

use windows_sys::Win32::Security::{PSID, SECURITY_ATTRIBUTES, SECURITY_CAPABILITIES, SID_AND_ATTRIBUTES};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Memory::{GetProcessHeap, HeapFree};
use windows_sys::core::{HRESULT, w};

use super::sys::{check, system};
use super::sys_security::{Descriptor, Sid};

type Create = unsafe extern "system" fn(
    *const u16,
    *const u16,
    *const u16,
    *const SID_AND_ATTRIBUTES,
    u32,
    *mut PSID,
) -> HRESULT;
type Derive = unsafe extern "system" fn(*const u16, *mut PSID) -> HRESULT;
type Exempt = unsafe extern "system" fn(*mut u32, *mut *mut SID_AND_ATTRIBUTES) -> u32;

/// `HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)`: the profile is there.
const EXISTS: HRESULT = 0x8007_00b7_u32 as i32;

/// The container of a program.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) sid: Sid,
    /// Whether its profile was there before.
    pub(super) existed: bool,
}

/// The container of this name, without capabilities; the error names the call.
pub(super) fn container(name: &str) -> Result<Container, String> {
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let create = function(c"CreateAppContainerProfile")?;
    // SAFETY: the function of this name has this type (userenv.h).
    let create = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Create>(create) };
    let mut sid: PSID = std::ptr::null_mut();
    let (title, text) = (name.as_ptr(), w!("A program that envseal runs in lockdown"));
    // SAFETY: the texts are NUL-ended, there are no capabilities, and `sid` takes one pointer.
    let made = unsafe { create(name.as_ptr(), title, text, std::ptr::null(), 0, &mut sid) };
    if made == EXISTS {
        return Ok(Container { sid: derived(&name)?, existed: true });
    }
    failed("CreateAppContainerProfile", made)?;
    if sid.is_null() {
        return Err("CreateAppContainerProfile: no identifier".into());
    }
    // SAFETY: the call allocated a valid identifier, which is ours to free with FreeSid.
    Ok(Container { sid: unsafe { Sid::taken(sid) }, existed: false })
}

/// The identifier of the container of this name, whether it was made or not.
pub(super) fn identifier(name: &str) -> Result<Sid, String> {
    derived(&name.encode_utf16().chain([0]).collect::<Vec<_>>())
}

/// `name` ends with a NUL.
fn derived(name: &[u16]) -> Result<Sid, String> {
    assert_eq!(name.last(), Some(&0), "a name that ends");
    let derive = function(c"DeriveAppContainerSidFromAppContainerName")?;
    // SAFETY: the function of this name has this type (userenv.h).
    let derive = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Derive>(derive) };
    let mut sid: PSID = std::ptr::null_mut();
    // SAFETY: the name is NUL-ended, and `sid` takes one pointer.
    let found = unsafe { derive(name.as_ptr(), &mut sid) };
    failed("DeriveAppContainerSidFromAppContainerName", found)?;
    if sid.is_null() {
        return Err("DeriveAppContainerSidFromAppContainerName: no identifier".into());
    }
    // SAFETY: the call allocated a valid identifier, which is ours to free with FreeSid.
    Ok(unsafe { Sid::taken(sid) })
}

/// One of the library that knows of containers.
fn function(name: &CStr) -> Result<unsafe extern "system" fn() -> isize, String> {
    // w! would give a pointer; the library's name is needed as a whole.
    let library: Vec<u16> = "userenv.dll\0".encode_utf16().collect();
    system(&library, name)
        .ok_or_else(|| format!("{}: this system has no AppContainers", name.to_string_lossy()))
}

/// Whether the machine's administrator has let the container reach servers of this machine (`CheckNetIsolation
/// LoopbackExempt`).
pub(super) fn reaches_loopback(container: &Sid) -> Result<bool, String> {
    let call = "NetworkIsolationGetAppContainerConfig";
    let library: Vec<u16> = "firewallapi.dll\0".encode_utf16().collect();
    let exempt = system(&library, c"NetworkIsolationGetAppContainerConfig")
        .ok_or_else(|| format!("{call}: this system has none"))?;
    // SAFETY: the function of this name has this type (netfw.h).
    let exempt = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Exempt>(exempt) };
    let (mut count, mut list) = (0, std::ptr::null_mut());
    // SAFETY: each pointer takes one value.
    let answer = unsafe { exempt(&mut count, &mut list) };
    if answer != 0 {
        return Err(format!("{call}: {}", io::Error::from_raw_os_error(answer.cast_signed())));
    }
    if count > 0 && list.is_null() {
        return Err(format!("{call}: {count} containers, and no list of them"));
    }
    // SAFETY: gives a constant.
    let heap = unsafe { GetProcessHeap() };
    let mut found = false;
    for place in 0..count as usize {
        // SAFETY: the call gave `count` entries.
        let entry = unsafe { list.add(place) };
        // SAFETY: likewise.
        let sid = unsafe { (*entry).Sid };
        if sid.is_null() {
            continue;
        }
        // SAFETY: each has a valid identifier.
        found |= unsafe { Sid::copied(sid) } == *container;
        // SAFETY: which is of this heap, and is not used any more.
        unsafe { HeapFree(heap, 0, sid.cast()) };
    }
    if !list.is_null() {
        // SAFETY: and so is the list.
        unsafe { HeapFree(heap, 0, list.cast()) };
    }
    Ok(found)
}

/// Makes a directory that has this access list and this label from the beginning.
pub(super) fn make_directory(path: &[u16], closed: &Descriptor) -> io::Result<()> {
    assert_eq!(path.last(), Some(&0), "a path that ends");
    let security = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: closed.pointer(),
        bInheritHandle: 0,
    };
    // SAFETY: the path is NUL-ended, and the descriptor is valid.
    check(unsafe { CreateDirectoryW(path.as_ptr(), &security) })
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
