//! Attempts: what others may do to the program, and what its token may do to others.

use std::fs::OpenOptions;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsHandle;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Security::Authorization::SE_FILE_OBJECT;
use windows_sys::Win32::Security::{
    GENERIC_MAPPING, TOKEN_ADJUST_DEFAULT, TOKEN_ADJUST_GROUPS, TOKEN_ADJUST_PRIVILEGES,
    TOKEN_ADJUST_SESSIONID, TOKEN_ASSIGN_PRIMARY, TOKEN_DUPLICATE, TOKEN_IMPERSONATE,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_ALL_ACCESS, FILE_FLAG_BACKUP_SEMANTICS, FILE_GENERIC_EXECUTE,
    FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_READ_DATA, READ_CONTROL, SYNCHRONIZE, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Threading::{
    PROCESS_ALL_ACCESS, PROCESS_CREATE_PROCESS, PROCESS_CREATE_THREAD, PROCESS_DUP_HANDLE,
    PROCESS_QUERY_INFORMATION, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_INFORMATION, PROCESS_SET_QUOTA,
    PROCESS_SET_SESSIONID, PROCESS_SUSPEND_RESUME, PROCESS_TERMINATE, PROCESS_VM_OPERATION, PROCESS_VM_READ,
    PROCESS_VM_WRITE, THREAD_DIRECT_IMPERSONATION, THREAD_GET_CONTEXT, THREAD_IMPERSONATE,
    THREAD_SET_CONTEXT, THREAD_SET_INFORMATION, THREAD_SET_THREAD_TOKEN, THREAD_SUSPEND_RESUME,
};

use super::sys_process::{opens_process, opens_thread, opens_token};
use super::sys_security::Descriptor;
use super::sys_token::Token;

/// Each right with which memory can be read or control be taken.
const OVER_PROCESS: [(u32, &str); 12] = [
    (PROCESS_VM_READ, "PROCESS_VM_READ"),
    (PROCESS_VM_WRITE, "PROCESS_VM_WRITE"),
    (PROCESS_VM_OPERATION, "PROCESS_VM_OPERATION"),
    (PROCESS_DUP_HANDLE, "PROCESS_DUP_HANDLE"),
    (PROCESS_CREATE_THREAD, "PROCESS_CREATE_THREAD"),
    (PROCESS_CREATE_PROCESS, "PROCESS_CREATE_PROCESS"),
    (PROCESS_QUERY_INFORMATION, "PROCESS_QUERY_INFORMATION"),
    (PROCESS_SET_INFORMATION, "PROCESS_SET_INFORMATION"),
    (PROCESS_SET_QUOTA, "PROCESS_SET_QUOTA"),
    (PROCESS_SUSPEND_RESUME, "PROCESS_SUSPEND_RESUME"),
    (WRITE_DAC, "WRITE_DAC"),
    (WRITE_OWNER, "WRITE_OWNER"),
];

const OVER_THREAD: [(u32, &str); 9] = [
    (THREAD_GET_CONTEXT, "THREAD_GET_CONTEXT"),
    (THREAD_SET_CONTEXT, "THREAD_SET_CONTEXT"),
    (THREAD_SET_INFORMATION, "THREAD_SET_INFORMATION"),
    (THREAD_SUSPEND_RESUME, "THREAD_SUSPEND_RESUME"),
    (THREAD_SET_THREAD_TOKEN, "THREAD_SET_THREAD_TOKEN"),
    (THREAD_IMPERSONATE, "THREAD_IMPERSONATE"),
    (THREAD_DIRECT_IMPERSONATION, "THREAD_DIRECT_IMPERSONATION"),
    (WRITE_DAC, "WRITE_DAC on a thread"),
    (WRITE_OWNER, "WRITE_OWNER on a thread"),
];

const OVER_TOKEN: [(u32, &str); 9] = [
    (TOKEN_ASSIGN_PRIMARY, "TOKEN_ASSIGN_PRIMARY"),
    (TOKEN_IMPERSONATE, "TOKEN_IMPERSONATE"),
    (TOKEN_ADJUST_PRIVILEGES, "TOKEN_ADJUST_PRIVILEGES"),
    (TOKEN_ADJUST_GROUPS, "TOKEN_ADJUST_GROUPS"),
    (TOKEN_ADJUST_SESSIONID, "TOKEN_ADJUST_SESSIONID"),
    (TOKEN_ADJUST_DEFAULT, "TOKEN_ADJUST_DEFAULT"),
    (TOKEN_DUPLICATE, "TOKEN_DUPLICATE"),
    (WRITE_DAC, "WRITE_DAC on its token"),
    (WRITE_OWNER, "WRITE_OWNER on its token"),
];

/// The rights that this user's processes, of which the caller is one, get over a process, any of these threads of
/// it, and its token, by their numbers; but for what is `left` to them of the token.
pub(super) fn open_to_user(pid: u32, threads: &[u32], left: u32) -> Vec<&'static str> {
    let of_any = |right: u32| threads.iter().any(|thread| opens_thread(*thread, right));
    let process = OVER_PROCESS.iter().filter(|(right, _)| opens_process(pid, *right));
    let thread = OVER_THREAD.iter().filter(|(right, _)| of_any(*right));
    let closed = OVER_TOKEN.iter().filter(|(right, _)| right & left == 0);
    let token = closed.filter(|(right, _)| opens_token(pid, *right));
    process.chain(thread).chain(token).map(|(_, name)| *name).collect()
}

/// The rights that the program's token would get over the supervisor.
pub(super) fn reaches_supervisor(token: &Token) -> Result<Vec<&'static str>, String> {
    let described = Descriptor::of_this_process();
    let described = described.map_err(|error| format!("GetSecurityInfo, the supervisor: {error}"))?;
    let mut rights = Vec::new();
    for (right, name) in OVER_PROCESS.into_iter().chain([(PROCESS_TERMINATE, "PROCESS_TERMINATE")]) {
        if granted(&described, token, right, &OF_PROCESS)? {
            rights.push(name);
        }
    }
    Ok(rights)
}

/// Those of `paths`, and of what lies directly in them, that the program's token could read or change.
pub(super) fn reaches(token: &Token, paths: &[PathBuf]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for path in paths {
        let mut all = vec![path.clone()];
        match path.read_dir() {
            Ok(entries) => {
                for entry in entries {
                    all.push(entry.map_err(|error| format!("{}: {error}", path.display()))?.path());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
        for path in all {
            let Some(described) = described(&path)? else { continue };
            for right in [FILE_READ_DATA, FILE_ADD_FILE, DELETE, WRITE_DAC, WRITE_OWNER] {
                if granted(&described, token, right, &OF_FILE)? {
                    found.push(path.display().to_string());
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// What the program's token needs of a file or directory that it is to read, or to change.
pub(super) fn opens(token: &Token, path: &Path, writes: bool) -> Result<bool, String> {
    let rights = if writes { FILE_GENERIC_READ | FILE_GENERIC_WRITE } else { FILE_GENERIC_READ };
    let described = described(path)?.ok_or_else(|| format!("{}: not found", path.display()))?;
    granted(&described, token, rights, &OF_FILE)
}

/// What the generic rights mean of a file (winnt.h).
const OF_FILE: GENERIC_MAPPING = GENERIC_MAPPING {
    GenericRead: FILE_GENERIC_READ,
    GenericWrite: FILE_GENERIC_WRITE,
    GenericExecute: FILE_GENERIC_EXECUTE,
    GenericAll: FILE_ALL_ACCESS,
};

/// And of a process, as the system's own process type has them.
const OF_PROCESS: GENERIC_MAPPING = GENERIC_MAPPING {
    GenericRead: READ_CONTROL | PROCESS_QUERY_INFORMATION | PROCESS_VM_READ,
    GenericWrite: READ_CONTROL
        | PROCESS_CREATE_THREAD
        | PROCESS_SET_SESSIONID
        | PROCESS_VM_OPERATION
        | PROCESS_VM_WRITE
        | PROCESS_DUP_HANDLE
        | PROCESS_CREATE_PROCESS
        | PROCESS_SET_QUOTA
        | PROCESS_SET_INFORMATION
        | PROCESS_SUSPEND_RESUME,
    GenericExecute: READ_CONTROL | SYNCHRONIZE | PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION,
    GenericAll: PROCESS_ALL_ACCESS,
};

fn granted(
    described: &Descriptor,
    token: &Token,
    rights: u32,
    mapping: &GENERIC_MAPPING,
) -> Result<bool, String> {
    let questions = token.for_questions().map_err(|error| format!("DuplicateTokenEx: {error}"))?;
    described.grants(questions.as_handle(), rights, mapping).map_err(|error| format!("AccessCheck: {error}"))
}

/// Who may open the file at `path`; `None` where there is none.
fn described(path: &Path) -> Result<Option<Descriptor>, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let opened =
        OpenOptions::new().access_mode(READ_CONTROL).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path);
    match opened {
        Ok(file) => Descriptor::of(file.as_handle(), SE_FILE_OBJECT).map(Some).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}
