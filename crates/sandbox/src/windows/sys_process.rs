//! Processes: made suspended with a list of attributes, looked at, let run, ended.

#![allow(unsafe_code)]

use std::ffi::{OsString, c_void};
use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{DuplicateHandle, HANDLE, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::Security::{SECURITY_ATTRIBUTES, SECURITY_CAPABILITIES};
use windows_sys::Win32::System::Threading::{
    CreateProcessAsUserW, CreateProcessW, DeleteProcThreadAttributeList, GetExitCodeProcess, GetProcessId,
    GetProcessMitigationPolicy, INFINITE, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    OpenProcess, OpenThread, PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
    PROC_THREAD_ATTRIBUTE_JOB_LIST, PROC_THREAD_ATTRIBUTE_MITIGATION_POLICY,
    PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, PROC_THREAD_ATTRIBUTE_SECURITY_CAPABILITIES, PROCESS_INFORMATION,
    PROCESS_MITIGATION_POLICY, PROCESS_NAME_NATIVE, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    PROCESS_TERMINATE, QueryFullProcessImageNameW, ResumeThread, STARTF_USESTDHANDLES, STARTUPINFOEXW,
    THREAD_SUSPEND_RESUME, TerminateProcess, UpdateProcThreadAttribute, WaitForSingleObject,
};

use super::sys::{check, own, raw, this_process};
use super::sys_security::Descriptor;
use super::sys_token::Token;

/// A list of attributes for one creation; what it points to lives as long as it.
pub(super) struct Attributes<'a> {
    // Words, so that the list is aligned.
    list: Vec<usize>,
    values: PhantomData<&'a ()>,
}

impl<'a> Attributes<'a> {
    /// Room for `count` attributes.
    pub(super) fn new(count: u32) -> io::Result<Attributes<'a>> {
        let mut size = 0;
        // SAFETY: without a list the call gives the size that it needs, and says that it failed.
        unsafe { InitializeProcThreadAttributeList(std::ptr::null_mut(), count, 0, &mut size) };
        let mut list = vec![0_usize; size.div_ceil(size_of::<usize>()).max(1)];
        // SAFETY: `list` has the size that was asked for.
        check(unsafe { InitializeProcThreadAttributeList(list.as_mut_ptr().cast(), count, 0, &mut size) })?;
        Ok(Attributes { list, values: PhantomData })
    }

    /// The only handles that are inherited; each of them inheritable, none twice.
    pub(super) fn handles(&mut self, handles: &'a [HANDLE]) -> io::Result<()> {
        self.set(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, handles.as_ptr().cast(), size_of_val(handles))
    }

    /// The jobs into which the process is born.
    pub(super) fn jobs(&mut self, jobs: &'a [HANDLE; 1]) -> io::Result<()> {
        self.set(PROC_THREAD_ATTRIBUTE_JOB_LIST, jobs.as_ptr().cast(), size_of_val(jobs))
    }

    /// `PROCESS_CREATION_MITIGATION_POLICY_*`.
    pub(super) fn mitigations(&mut self, policy: &'a u64) -> io::Result<()> {
        self.set(PROC_THREAD_ATTRIBUTE_MITIGATION_POLICY, (&raw const *policy).cast(), size_of::<u64>())
    }

    /// `PROCESS_CREATION_CHILD_PROCESS_*`.
    pub(super) fn children(&mut self, policy: &'a u32) -> io::Result<()> {
        self.set(PROC_THREAD_ATTRIBUTE_CHILD_PROCESS_POLICY, (&raw const *policy).cast(), size_of::<u32>())
    }

    /// The AppContainer and its capabilities.
    pub(super) fn container(&mut self, container: &'a SECURITY_CAPABILITIES) -> io::Result<()> {
        let size = size_of::<SECURITY_CAPABILITIES>();
        self.set(PROC_THREAD_ATTRIBUTE_SECURITY_CAPABILITIES, (&raw const *container).cast(), size)
    }

    /// The pseudoconsole `console`, which outlives the creation.
    pub(super) fn console(&mut self, console: isize) -> io::Result<()> {
        let value = std::ptr::with_exposed_provenance(console as usize);
        self.set(PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, value, size_of::<isize>())
    }

    fn set(&mut self, attribute: u32, value: *const c_void, size: usize) -> io::Result<()> {
        let (list, name) = (self.pointer(), attribute as usize);
        let (no_previous, no_size) = (std::ptr::null_mut(), std::ptr::null());
        // SAFETY: the list was initialised with room for it; `value` is of this size and lives for 'a, or is
        // itself the value.
        check(unsafe { UpdateProcThreadAttribute(list, 0, name, value, size, no_previous, no_size) })
    }

    fn pointer(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.list.as_mut_ptr().cast()
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: the list was initialised and is not used any more.
        unsafe { DeleteProcThreadAttributeList(self.list.as_mut_ptr().cast()) };
    }
}

/// What a process is made from. Texts are NUL-ended, the environment is a whole block.
pub(super) struct Creation<'a, 'b> {
    pub(super) program: &'a [u16],
    pub(super) line: &'a mut [u16],
    pub(super) token: Option<BorrowedHandle<'a>>,
    /// Who may open the process, and its first thread.
    pub(super) process: Option<&'a Descriptor>,
    pub(super) thread: Option<&'a Descriptor>,
    pub(super) flags: u32,
    pub(super) environment: &'a [u16],
    pub(super) directory: Option<&'a [u16]>,
    /// The standard streams, each on the list of handles.
    pub(super) streams: [HANDLE; 3],
    pub(super) inherits: bool,
    pub(super) attributes: &'a mut Attributes<'b>,
}

/// A process and its first thread. Dropped, it ends the process and waits until that is done.
#[derive(Debug)]
pub(super) struct Child {
    process: Option<OwnedHandle>,
    pub(super) thread: OwnedHandle,
    pub(super) pid: u32,
    pub(super) tid: u32,
}

impl Creation<'_, '_> {
    /// CreateProcessW, or CreateProcessAsUserW with a token.
    pub(super) fn create(self) -> io::Result<Child> {
        let ends = |text: &[u16]| text.last() == Some(&0);
        let block_ends = self.environment.ends_with(&[0, 0]);
        assert!(ends(self.program) && ends(self.line) && self.directory.is_none_or(ends) && block_ends);
        let mut info = STARTUPINFOEXW::default();
        info.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
        info.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        [info.StartupInfo.hStdInput, info.StartupInfo.hStdOutput, info.StartupInfo.hStdError] = self.streams;
        info.lpAttributeList = self.attributes.pointer();
        let closed = |descriptor: &Descriptor| SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor.pointer(),
            bInheritHandle: 0,
        };
        let [process, thread] = [self.process.map(closed), self.thread.map(closed)];
        let [of_process, of_thread] =
            [&process, &thread].map(|closed| closed.as_ref().map_or(std::ptr::null(), std::ptr::from_ref));
        let directory = self.directory.map_or(std::ptr::null(), <[u16]>::as_ptr);
        let (program, line) = (self.program.as_ptr(), self.line.as_mut_ptr());
        let (inherits, environment) = (i32::from(self.inherits), self.environment.as_ptr().cast());
        let startup = (&raw const info).cast();
        let mut made = PROCESS_INFORMATION::default();
        let out = &raw mut made;
        // The two calls differ in the token alone.
        macro_rules! call {
            ($function:ident $(, $token:expr)?) => {
                // SAFETY: every text is NUL-ended and the block ends twice (asserted), the command line can
                // be written to, `info` is a STARTUPINFOEXW and says so in its size and in the flags, the
                // attributes and the descriptors outlive the call, `out` takes the answer, and a token is an
                // open handle of a primary one.
                unsafe {
                    $function(
                        $($token,)? program, line, of_process, of_thread, inherits, self.flags, environment,
                        directory, startup, out,
                    )
                }
            };
        }
        check(match self.token.map(raw) {
            None => call!(CreateProcessW),
            Some(token) => call!(CreateProcessAsUserW, token),
        })?;
        // SAFETY: the call gave this handle.
        let process = unsafe { own(made.hProcess) };
        // SAFETY: and this one.
        let thread = unsafe { own(made.hThread) };
        Ok(Child { process: Some(process), thread, pid: made.dwProcessId, tid: made.dwThreadId })
    }
}

impl Child {
    pub(super) fn process(&self) -> BorrowedHandle<'_> {
        self.process.as_ref().expect("taken with the whole").as_handle()
    }

    /// Lets the first thread run.
    pub(super) fn resume(&self) -> io::Result<()> {
        resume(self.thread.as_handle())
    }

    /// Lets go of the process without ending it: a handle that waits, looks and ends, and can neither
    /// read nor write, and one that lets the first thread run, where it waits still.
    pub(super) fn release(mut self, waits: bool) -> io::Result<(OwnedHandle, Option<OwnedHandle>)> {
        let process = lesser(self.process())?;
        let thread = self.thread.as_handle();
        let thread = waits.then(|| with_rights(thread, THREAD_SUSPEND_RESUME)).transpose()?;
        self.process = None;
        Ok((process, thread))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = self.process.take()
            && terminate(process.as_handle(), 1).is_ok()
        {
            let _ = wait(process.as_handle(), None);
        }
    }
}

/// A handle of the same process that reads no memory: whoever gets hold of it can end the program at most.
pub(super) fn lesser(process: BorrowedHandle<'_>) -> io::Result<OwnedHandle> {
    with_rights(process, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE)
}

fn with_rights(handle: BorrowedHandle<'_>, rights: u32) -> io::Result<OwnedHandle> {
    let mut copy: HANDLE = std::ptr::null_mut();
    let this = this_process();
    // SAFETY: `handle` is open, both processes are this one, and `copy` takes one handle.
    check(unsafe { DuplicateHandle(this, raw(handle), this, &mut copy, rights, 0, 0) })?;
    // SAFETY: the call gave a new handle.
    Ok(unsafe { own(copy) })
}

pub(super) fn resume(thread: BorrowedHandle<'_>) -> io::Result<()> {
    // SAFETY: the handle is open.
    match unsafe { ResumeThread(raw(thread)) } {
        u32::MAX => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Ends one process. No error when it has ended already.
pub(super) fn terminate(process: BorrowedHandle<'_>, code: u32) -> io::Result<()> {
    // SAFETY: the handle is open.
    match check(unsafe { TerminateProcess(raw(process), code) }) {
        Err(_) if matches!(wait(process, Some(0)), Ok(true)) => Ok(()),
        answer => answer,
    }
}

/// Whether the process has ended, after at most so many milliseconds; `None` waits until it has.
pub(super) fn wait(process: BorrowedHandle<'_>, milliseconds: Option<u32>) -> io::Result<bool> {
    // SAFETY: the handle is open.
    match unsafe { WaitForSingleObject(raw(process), milliseconds.unwrap_or(INFINITE)) } {
        WAIT_OBJECT_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The exit code of a process that has ended.
pub(super) fn exit_code(process: BorrowedHandle<'_>) -> io::Result<u32> {
    let mut code = 0;
    // SAFETY: the handle is open, and `code` takes one number.
    check(unsafe { GetExitCodeProcess(raw(process), &mut code) })?;
    Ok(code)
}

pub(super) fn id(process: BorrowedHandle<'_>) -> io::Result<u32> {
    // SAFETY: the handle is open.
    match unsafe { GetProcessId(raw(process)) } {
        0 => Err(io::Error::last_os_error()),
        id => Ok(id),
    }
}

/// The file that the process runs, as the kernel names it (`\Device\...`).
pub(super) fn image(process: BorrowedHandle<'_>) -> io::Result<OsString> {
    let mut buffer = vec![0_u16; 32_768];
    let mut length = buffer.len() as u32;
    let (handle, native) = (raw(process), PROCESS_NAME_NATIVE);
    // SAFETY: the handle is open, and `buffer` has room for `length` units.
    check(unsafe { QueryFullProcessImageNameW(handle, native, buffer.as_mut_ptr(), &mut length) })?;
    Ok(OsString::from_wide(&buffer[..length as usize]))
}

/// The flags of a mitigation policy whose structure is one `DWORD`, which most are.
pub(super) fn policy(process: BorrowedHandle<'_>, which: PROCESS_MITIGATION_POLICY) -> io::Result<u32> {
    let mut flags = 0_u32;
    let (room, size) = ((&raw mut flags).cast(), size_of::<u32>());
    // SAFETY: the handle is open, and `flags` has the size that is passed.
    check(unsafe { GetProcessMitigationPolicy(raw(process), which, room, size) })?;
    Ok(flags)
}

/// Whether another process of this user is given these rights to process `pid`.
pub(super) fn opens_process(pid: u32, rights: u32) -> bool {
    // SAFETY: takes numbers and gives a handle or none.
    opens(unsafe { OpenProcess(rights, 0, pid) })
}

/// Likewise of thread `tid`.
pub(super) fn opens_thread(tid: u32, rights: u32) -> bool {
    // SAFETY: takes numbers and gives a handle or none.
    opens(unsafe { OpenThread(rights, 0, tid) })
}

/// Likewise to its token.
pub(super) fn opens_token(pid: u32, rights: u32) -> bool {
    // SAFETY: takes numbers and gives a handle or none.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return false;
    }
    // SAFETY: the call gave a new handle.
    let process = unsafe { own(process) };
    Token::of(process.as_handle(), rights).is_ok()
}

fn opens(handle: HANDLE) -> bool {
    if handle.is_null() {
        return false;
    }
    // SAFETY: the call gave a new handle.
    drop(unsafe { own(handle) });
    true
}
