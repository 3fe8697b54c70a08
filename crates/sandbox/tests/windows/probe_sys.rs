//! The calls of the probe that need `unsafe`.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::process::{Command, ExitCode};

use windows_sys::Win32::Foundation::{CloseHandle, GetHandleInformation, HANDLE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_DEFAULT_DACL, TOKEN_QUERY, TokenDefaultDacl};
use windows_sys::Win32::Storage::FileSystem::GetFileType;
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GetConsoleCP, SetConsoleCtrlHandler};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::Environment::GetCommandLineW;
use windows_sys::Win32::System::JobObjects::IsProcessInJob;
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LoadLibraryW};
use windows_sys::Win32::System::Threading::{
    CREATE_BREAKAWAY_FROM_JOB, ExitProcess, GetCurrentProcess, GetPriorityClass, OpenProcess,
    OpenProcessToken, OpenThread, PROCESS_QUERY_LIMITED_INFORMATION,
};
use windows_sys::core::{BOOL, w};

/// In any job at all: what the supervisor checks against its own.
pub fn is_in_a_job() -> bool {
    let mut answer = 0;
    // SAFETY: gives a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this process, any job, and room for the answer.
    let asked = unsafe { IsProcessInJob(this, std::ptr::null_mut(), &mut answer) };
    asked != 0 && answer != 0
}

/// Starts itself outside of the job, to run `trial`.
pub fn break_away(trial: &str) -> io::Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(trial).creation_flags(CREATE_BREAKAWAY_FROM_JOB).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The numbers below 0x2000 that are handles here, with what GetFileType says: 1 disk, 2 character, 3 pipe.
pub fn handles() -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for number in (4..0x2000).step_by(4) {
        let handle: HANDLE = std::ptr::without_provenance_mut(number);
        let mut flags = 0;
        // SAFETY: a number that is no handle is answered with an error.
        if unsafe { GetHandleInformation(handle, &mut flags) } != 0 {
            // SAFETY: likewise.
            found.push((number, unsafe { GetFileType(handle) }));
        }
    }
    found
}

/// With all 32 bits, which the standard library's way to exit takes too, but as a signed number.
pub fn exit(code: u32) -> ExitCode {
    // SAFETY: ends the process.
    unsafe { ExitProcess(code) }
}

/// Reads from where nothing is.
pub fn crash() {
    let nowhere: *const u32 = std::ptr::without_provenance(16);
    // SAFETY: none: the access violation is what is wanted, and nothing is done with the value.
    let value = unsafe { nowhere.read_volatile() };
    std::hint::black_box(value);
}

/// Commits so many MiB, in pieces.
pub fn commit(mebibytes: usize) -> io::Result<()> {
    let mut pieces = Vec::new();
    for _ in 0..mebibytes {
        let mut piece: Vec<u8> = Vec::new();
        piece.try_reserve_exact(1 << 20).map_err(|_| io::ErrorKind::OutOfMemory)?;
        piece.resize(1 << 20, 1);
        pieces.push(piece);
    }
    std::hint::black_box(pieces);
    Ok(())
}

/// The process, where it can be opened with these rights.
pub fn open_process(pid: u32, rights: u32) -> io::Result<OwnedHandle> {
    // SAFETY: takes numbers and gives a handle or none.
    opened(unsafe { OpenProcess(rights, 0, pid) })
}

fn opened(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call gave a new handle.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Which threads of a process can be opened with these rights, and how many it has.
pub fn open_threads(pid: u32, rights: u32) -> io::Result<String> {
    // SAFETY: takes numbers and gives a handle or an invalid one, with which the next call fails.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) };
    let mut entry = THREADENTRY32 { dwSize: size_of::<THREADENTRY32>() as u32, ..Default::default() };
    let (mut all, mut open) = (0, Vec::new());
    let mut error = io::Error::from(io::ErrorKind::NotFound);
    // SAFETY: the handle is a snapshot's, and `entry` says its size.
    let mut more = unsafe { Thread32First(snapshot, &mut entry) };
    while more != 0 {
        if entry.th32OwnerProcessID == pid {
            all += 1;
            // SAFETY: takes numbers and gives a handle or none.
            match opened(unsafe { OpenThread(rights, 0, entry.th32ThreadID) }) {
                Ok(_) => open.push(all),
                Err(refused) => error = refused,
            }
        }
        // SAFETY: as before.
        more = unsafe { Thread32Next(snapshot, &mut entry) };
    }
    // SAFETY: the handle is not used any more.
    unsafe { CloseHandle(snapshot) };
    if open.is_empty() { Err(error) } else { Ok(format!("{open:?} of {all}")) }
}

/// Whether the token of a process can be opened with these rights.
pub fn open_token(pid: u32, rights: u32) -> io::Result<()> {
    let process = open_process(pid, PROCESS_QUERY_LIMITED_INFORMATION)?;
    let mut token = std::ptr::null_mut();
    // SAFETY: the handle is open, and `token` takes one.
    if unsafe { OpenProcessToken(process.as_raw_handle(), rights, &mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    opened(token).map(drop)
}

/// The default access list of this process's token, in hexadecimal; empty where it has none.
pub fn default_list() -> String {
    let (mut token, mut room, mut size) = (std::ptr::null_mut(), [0_u64; 128], 0);
    // SAFETY: gives a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this process, and room for one handle.
    assert_ne!(unsafe { OpenProcessToken(this, TOKEN_QUERY, &mut token) }, 0);
    let token = opened(token).expect("a token");
    let (handle, length) = (token.as_raw_handle(), size_of_val(&room) as u32);
    let place = room.as_mut_ptr().cast();
    // SAFETY: the handle is open, and the room has so many bytes and is aligned for the structure.
    let asked = unsafe { GetTokenInformation(handle, TokenDefaultDacl, place, length, &mut size) };
    assert_ne!(asked, 0);
    // SAFETY: the call wrote this structure.
    let list = unsafe { room.as_ptr().cast::<TOKEN_DEFAULT_DACL>().read() }.DefaultDacl;
    if list.is_null() {
        return String::new();
    }
    // SAFETY: it points into the room.
    let length = unsafe { (*list).AclSize };
    // SAFETY: the list has so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(list.cast::<u8>(), length.into()) };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The arguments as CommandLineToArgvW reads them, each in hexadecimal.
pub fn arguments_by_shell() -> Vec<String> {
    type Read = unsafe extern "system" fn(*const u16, *mut i32) -> *mut *mut u16;
    // SAFETY: a library of the system.
    let shell = unsafe { LoadLibraryW(w!("shell32.dll")) };
    // SAFETY: the library is loaded, and the name ends.
    let read = unsafe { GetProcAddress(shell, c"CommandLineToArgvW".as_ptr().cast()) };
    let read = read.expect("CommandLineToArgvW");
    // SAFETY: the function of this name has this type.
    let read = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Read>(read) };
    let mut count = 0;
    // SAFETY: gives a text that lives as long as the process.
    let line = unsafe { GetCommandLineW() };
    // SAFETY: the line ends, and the count takes one number.
    let list = unsafe { read(line, &mut count) };
    // SAFETY: the list has so many texts.
    let list = unsafe { std::slice::from_raw_parts(list, count as usize) };
    let text = |of: &*mut u16| {
        let mut units = String::new();
        for place in 0.. {
            // SAFETY: each text ends with a NUL, beyond which this does not come.
            let unit = unsafe { of.add(place) };
            // SAFETY: likewise.
            match unsafe { unit.read() } {
                0 => break,
                unit => units.push_str(&format!("{unit:04x}")),
            }
        }
        units + "."
    };
    // Without argument 0 and the name of this trial.
    list.iter().skip(2).map(text).collect()
}

/// The priority class of this process.
pub fn priority() -> u32 {
    // SAFETY: gives a constant.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: this process.
    unsafe { GetPriorityClass(this) }
}

/// Whether this process has a console.
pub fn has_console() -> bool {
    // SAFETY: reads a number.
    unsafe { GetConsoleCP() != 0 }
}

/// Empties the clipboard, which a program without that right cannot.
pub fn set_clipboard() -> io::Result<()> {
    type Open = unsafe extern "system" fn(HANDLE) -> BOOL;
    type Empty = unsafe extern "system" fn() -> BOOL;
    // SAFETY: a library of the system.
    let user = unsafe { LoadLibraryW(w!("user32.dll")) };
    // SAFETY: the library is loaded, and the name ends.
    let open = unsafe { GetProcAddress(user, c"OpenClipboard".as_ptr().cast()) };
    // SAFETY: likewise.
    let empty = unsafe { GetProcAddress(user, c"EmptyClipboard".as_ptr().cast()) };
    let (Some(open), Some(empty)) = (open, empty) else { return Err(io::Error::last_os_error()) };
    // SAFETY: the function of this name has this type.
    let open = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Open>(open) };
    // SAFETY: likewise.
    let empty = unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, Empty>(empty) };
    // SAFETY: no window.
    if unsafe { open(std::ptr::null_mut()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the clipboard is open.
    if unsafe { empty() } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends with 9 at Ctrl-C, with 10 at Ctrl-Break.
pub fn on_interrupt() {
    unsafe extern "system" fn end(event: u32) -> BOOL {
        // SAFETY: ends the process.
        unsafe { ExitProcess(if event == CTRL_BREAK_EVENT { 10 } else { 9 }) }
    }
    // SAFETY: the function lives as long as the process.
    let set = unsafe { SetConsoleCtrlHandler(Some(end), 1) };
    assert_ne!(set, 0);
}
