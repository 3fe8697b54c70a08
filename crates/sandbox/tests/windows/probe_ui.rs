//! What the probe tries on the desktop, with libraries and with fonts, and what it reads of its own job and
//! policies. `tests/real_windows.ps1` compares it with and without the limits.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::windows::ffi::OsStringExt;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::JobObjects::{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, QueryInformationJobObject,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleFileNameW, GetProcAddress, LoadLibraryW};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessMitigationPolicy, ProcessChildProcessPolicy,
    ProcessExtensionPointDisablePolicy, ProcessFontDisablePolicy, ProcessImageLoadPolicy,
};
use windows_sys::core::BOOL;

fn ended(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A function of a library of the system.
///
/// # Safety
/// `F` is the type of a pointer to the function of this name.
unsafe fn function<F: Copy>(library: &str, name: &CStr) -> io::Result<F> {
    // SAFETY: the name is NUL-ended.
    let library = unsafe { LoadLibraryW(ended(library).as_ptr()) };
    // SAFETY: a library that is not there is answered with an error; the name is NUL-ended.
    let found = unsafe { GetProcAddress(library, name.as_ptr().cast()) };
    let found = found.ok_or_else(io::Error::last_os_error)?;
    assert_eq!(size_of::<F>(), size_of_val(&found));
    // SAFETY: what this function demands; a pointer to a function is copied.
    Ok(unsafe { std::mem::transmute_copy(&found) })
}

fn done(answer: bool) -> io::Result<String> {
    if answer { Ok(String::new()) } else { Err(io::Error::last_os_error()) }
}

/// Sends a message without effect to the task bar, a window of another process (UILIMIT_HANDLES).
pub fn window() -> io::Result<String> {
    type Find = unsafe extern "system" fn(*const u16, *const u16) -> HANDLE;
    type Post = unsafe extern "system" fn(HANDLE, u32, usize, isize) -> BOOL;
    // SAFETY: the type of FindWindowW.
    let find = unsafe { function::<Find>("user32.dll", c"FindWindowW") }?;
    // SAFETY: the type of PostMessageW.
    let post = unsafe { function::<Post>("user32.dll", c"PostMessageW") }?;
    // SAFETY: the name is NUL-ended.
    let bar = unsafe { find(ended("Shell_TrayWnd").as_ptr(), std::ptr::null()) };
    if bar.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: WM_NULL, to a window or to what is none any more.
    done(unsafe { post(bar, 0, 0, 0) } != 0)
}

/// Adds a name to the atoms of everybody, or looks for it there (UILIMIT_GLOBALATOMS).
pub fn atom(name: &str, adds: bool) -> io::Result<String> {
    type Atom = unsafe extern "system" fn(*const u16) -> u16;
    let which = if adds { c"GlobalAddAtomW" } else { c"GlobalFindAtomW" };
    // SAFETY: both have this type.
    let atom = unsafe { function::<Atom>("kernel32.dll", which) }?;
    // SAFETY: the name is NUL-ended.
    done(unsafe { atom(ended(name).as_ptr()) } != 0)
}

/// Sets the time of a double click to what it is (UILIMIT_SYSTEMPARAMETERS).
pub fn parameters() -> io::Result<String> {
    type Get = unsafe extern "system" fn() -> u32;
    type Set = unsafe extern "system" fn(u32, u32, *mut core::ffi::c_void, u32) -> BOOL;
    const SPI_SETDOUBLECLICKTIME: u32 = 0x20;
    // SAFETY: the type of GetDoubleClickTime.
    let get = unsafe { function::<Get>("user32.dll", c"GetDoubleClickTime") }?;
    // SAFETY: the type of SystemParametersInfoW.
    let set = unsafe { function::<Set>("user32.dll", c"SystemParametersInfoW") }?;
    // SAFETY: reads a number.
    let time = unsafe { get() };
    // SAFETY: this parameter is a number; nothing is written.
    done(unsafe { set(SPI_SETDOUBLECLICKTIME, time, std::ptr::null_mut(), 0) } != 0)
}

/// Sets the display to the mode that is registered for it (UILIMIT_DISPLAYSETTINGS).
pub fn display() -> io::Result<String> {
    type Change = unsafe extern "system" fn(*const core::ffi::c_void, u32) -> i32;
    // SAFETY: the type of ChangeDisplaySettingsW.
    let change = unsafe { function::<Change>("user32.dll", c"ChangeDisplaySettingsW") }?;
    // SAFETY: no mode stands for the registered one.
    match unsafe { change(std::ptr::null(), 0) } {
        0 => Ok(String::new()),
        code => Err(io::Error::other(format!("ChangeDisplaySettingsW: {code}"))),
    }
}

/// Makes a desktop (UILIMIT_DESKTOP).
pub fn desktop() -> io::Result<String> {
    type Create = unsafe extern "system" fn(
        *const u16,
        *const u16,
        *const core::ffi::c_void,
        u32,
        u32,
        *const core::ffi::c_void,
    ) -> HANDLE;
    const GENERIC_ALL: u32 = 0x1000_0000;
    // SAFETY: the type of CreateDesktopW.
    let create = unsafe { function::<Create>("user32.dll", c"CreateDesktopW") }?;
    let (name, none) = (ended("envseal-test"), std::ptr::null());
    // SAFETY: the name is NUL-ended, the others are to be null. The desktop ends with this process.
    let made = unsafe { create(name.as_ptr(), std::ptr::null(), none, 0, GENERIC_ALL, none) };
    done(!made.is_null())
}

/// Looks at the text on the clipboard (UILIMIT_READCLIPBOARD).
pub fn paste() -> io::Result<String> {
    type Open = unsafe extern "system" fn(HANDLE) -> BOOL;
    type Get = unsafe extern "system" fn(u32) -> HANDLE;
    const CF_UNICODETEXT: u32 = 13;
    // SAFETY: the type of OpenClipboard.
    let open = unsafe { function::<Open>("user32.dll", c"OpenClipboard") }?;
    // SAFETY: the type of GetClipboardData.
    let get = unsafe { function::<Get>("user32.dll", c"GetClipboardData") }?;
    // SAFETY: no window.
    if unsafe { open(std::ptr::null_mut()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the clipboard is open, and ends to be so with this process.
    done(!unsafe { get(CF_UNICODETEXT) }.is_null())
}

/// Loads a library and says where it was found.
pub fn library(name: &str) -> io::Result<String> {
    // SAFETY: the name is NUL-ended; the libraries of the tests are the system's, copied.
    let library = unsafe { LoadLibraryW(ended(name).as_ptr()) };
    if library.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut path = [0_u16; 1024];
    // SAFETY: the library is loaded, and `path` has so many units.
    let length = unsafe { GetModuleFileNameW(library, path.as_mut_ptr(), path.len() as u32) };
    Ok(std::ffi::OsString::from_wide(&path[..length as usize]).to_string_lossy().into_owned())
}

/// Loads a font that is not the system's own, from memory.
pub fn font(path: &str) -> io::Result<String> {
    type Add = unsafe extern "system" fn(*const u8, u32, *const core::ffi::c_void, *mut u32) -> HANDLE;
    let bytes = std::fs::read(path)?;
    // SAFETY: the type of AddFontMemResourceEx.
    let add = unsafe { function::<Add>("gdi32.dll", c"AddFontMemResourceEx") }?;
    let mut count = 0;
    // SAFETY: `bytes` has so many, the reserved argument is null, and `count` takes a number.
    let added = unsafe { add(bytes.as_ptr(), bytes.len() as u32, std::ptr::null(), &mut count) };
    done(!added.is_null() && count > 0)
}

/// The mitigation policies of this process, as the kernel has them.
pub fn policies() -> io::Result<String> {
    let each = [
        ("extension", ProcessExtensionPointDisablePolicy),
        ("images", ProcessImageLoadPolicy),
        ("fonts", ProcessFontDisablePolicy),
        ("children", ProcessChildProcessPolicy),
    ];
    let mut text = String::new();
    for (name, which) in each {
        let mut flags = 0_u32;
        // SAFETY: gives a constant.
        let this = unsafe { GetCurrentProcess() };
        // SAFETY: this process, and room for the one word of which each of these consists.
        let asked = unsafe { GetProcessMitigationPolicy(this, which, (&raw mut flags).cast(), 4) };
        if asked == 0 {
            return Err(io::Error::last_os_error());
        }
        text.push_str(&format!("{name}={flags:x} "));
    }
    Ok(text.trim_end().to_owned())
}

/// The limits of the job that this process is in: flags, memory in bytes and time in 100 ns, of the job and of each
/// process.
pub fn limits() -> io::Result<String> {
    let mut found = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    let size = size_of::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>() as u32;
    let (class, room, no_job) =
        (JobObjectExtendedLimitInformation, (&raw mut found).cast(), std::ptr::null_mut());
    // SAFETY: no handle stands for the process's own job; `found` is a structure of the class and of this size.
    if unsafe { QueryInformationJobObject(no_job, class, room, size, std::ptr::null_mut()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let basic = found.BasicLimitInformation;
    Ok(format!(
        "flags={:x} job-memory={} process-memory={} job-time={} process-time={} processes={}",
        basic.LimitFlags,
        found.JobMemoryLimit,
        found.ProcessMemoryLimit,
        basic.PerJobUserTimeLimit,
        basic.PerProcessUserTimeLimit,
        basic.ActiveProcessLimit
    ))
}
