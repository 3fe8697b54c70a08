//! Processes that were not started here: by their number, and who started this one.
//!
//! A number is given again when its process has ended, so what is to be done with a process that was written down
//! is done after its time of creation was compared ([`Process::created`]).

use std::collections::HashMap;
use std::io;
use std::os::windows::io::{AsHandle as _, BorrowedHandle, OwnedHandle};
use std::time::Duration;

use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE,
};

use super::{sys_others as sys, sys_process};

/// What other processes of the user may still do with one that is closed to them: ask for its times and its end,
/// wait for it, end it. The entry for the owner's rights (OW) takes away what an owner has otherwise: to change this.
const CLOSED: &str = "D:P(A;;0x101001;;;OW)(A;;0x101001;;;BA)(A;;GA;;;SY)";

/// An open process.
#[derive(Debug)]
pub struct Process(OwnedHandle);

impl Process {
    /// Opens the process with this number, to ask for its times, wait for it and end it.
    pub fn open(pid: u32) -> io::Result<Process> {
        let access = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE | PROCESS_TERMINATE;
        sys::open(pid, access).map(Process)
    }

    /// When it was made: intervals of 100 ns since 1601 (FILETIME).
    pub fn created(&self) -> io::Result<u64> {
        sys::created(self.handle())
    }

    /// Ends it with this exit code, without asking it.
    pub fn terminate(&self, code: u32) -> io::Result<()> {
        sys_process::terminate(self.handle(), code)
    }

    /// Whether it has ended, after waiting for so long at most, or for its end.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<bool> {
        sys::wait(self.handle(), limit)
    }

    fn handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// When this process was made, as [`Process::created`] gives it.
pub fn created() -> io::Result<u64> {
    sys::this_created()
}

/// The process that started this one and those before it, nearest first: number, and name of the executed file.
///
/// A parent may have ended and its number may be another's by now: what is younger than its child is not its parent.
pub fn ancestry(depth: usize) -> Vec<(u32, String)> {
    let Ok(all) = sys::list() else { return Vec::new() };
    let mut all: HashMap<u32, sys::Listed> = all.into_iter().map(|listed| (listed.pid, listed)).collect();
    let (mut found, mut younger) = (Vec::new(), created().ok());
    let mut next = all.remove(&std::process::id()).map(|own| own.parent);
    while let Some(parent) = next.and_then(|pid| all.remove(&pid)).filter(|_| found.len() < depth) {
        // One that cannot be asked is another user's.
        let older = Process::open_to_ask(parent.pid).and_then(|process| process.created()).ok();
        if younger.zip(older).is_some_and(|(child, parent)| parent > child) {
            break;
        }
        younger = older.or(younger);
        next = Some(parent.parent);
        found.push((parent.pid, parent.name));
    }
    found
}

impl Process {
    fn open_to_ask(pid: u32) -> io::Result<Process> {
        sys::open(pid, PROCESS_QUERY_LIMITED_INFORMATION).map(Process)
    }
}

/// The relative identifier of this process's user: the last part of the SID.
pub fn user_id() -> io::Result<u32> {
    sys::user()
}

/// Closes this process to other processes of the same user: they cannot open it to read or write its memory, make
/// threads in it, take its handles, or change that. They can still end it.
///
/// Its threads are objects of their own, which this does not close: who opens one can have it run other code. The
/// process that started this one has a handle that can do anything. A process with the debug privilege, which an administrator's elevated one has, is not held by this.
pub fn close_to_others() -> io::Result<()> {
    sys::protect(CLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_time() {
        let own = Process::open(std::process::id()).expect("this process");
        assert_eq!(own.created().expect("asked"), created().expect("asked"));
        assert!(!own.wait(Some(Duration::ZERO)).expect("asked"), "it runs");
        assert!(created().expect("asked") > 130_000_000_000_000_000, "after 2012");
    }

    #[test]
    fn a_process_is_ended_with_its_code() {
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "backend::process::tests::waits", "--ignored"])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("started");
        let process = Process::open(child.id()).expect("the child");
        assert!(!process.wait(Some(Duration::ZERO)).expect("asked"));
        process.terminate(7).expect("ended");
        assert!(process.wait(Some(Duration::from_secs(30))).expect("asked"));
        assert_eq!(child.wait().expect("reaped").code(), Some(7));
    }

    #[test]
    #[ignore = "the child of another test"]
    fn waits() {
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    #[ignore = "the child of another test"]
    #[allow(clippy::print_stdout, reason = "the other test waits for it")]
    fn closes_itself_and_waits() {
        if std::env::var_os("ENVSEAL_TEST_CLOSED").is_some() {
            close_to_others().expect("closed");
        }
        println!("ready");
        waits();
    }

    #[test]
    fn a_closed_process_is_read_by_no_other_of_the_user() {
        use std::io::BufRead as _;
        use windows_sys::Win32::System::Threading::{
            PROCESS_CREATE_THREAD, PROCESS_DUP_HANDLE, PROCESS_VM_OPERATION, PROCESS_VM_READ,
            PROCESS_VM_WRITE,
        };
        const WRITE_DAC: u32 = 0x4_0000;
        let attacks = [
            PROCESS_VM_READ,
            PROCESS_VM_WRITE | PROCESS_VM_OPERATION,
            PROCESS_CREATE_THREAD,
            PROCESS_DUP_HANDLE,
            WRITE_DAC,
        ];
        // An owner can change every access list under Wine 8, which does not know the entry for the owner's rights.
        let ntdll: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
        let is_wine = crate::backend::sys::loaded(&ntdll, c"wine_get_version").is_some();
        for closed in [false, true] {
            let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
            command.args([
                "--exact",
                "backend::process::tests::closes_itself_and_waits",
                "--ignored",
                "--nocapture",
            ]);
            if closed {
                command.env("ENVSEAL_TEST_CLOSED", "1");
            }
            let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("started");
            let out = io::BufReader::new(child.stdout.take().expect("a pipe"));
            let ready = out.lines().map_while(Result::ok).any(|line| line.contains("ready"));
            assert!(ready);
            for access in attacks {
                // That it works on a process that is not closed shows that the attack is one.
                let refused = closed && !(is_wine && access == WRITE_DAC);
                assert_eq!(sys::open(child.id(), access).is_err(), refused, "{access:#x}, closed: {closed}");
            }
            let process = Process::open(child.id()).expect("what is left to others");
            process.terminate(0).expect("ended");
            child.wait().expect("reaped");
        }
    }

    #[test]
    fn who_started_this_is_told_and_has_an_identity() {
        assert!(ancestry(1).len() <= 1);
        assert!(ancestry(64).iter().all(|(pid, name)| *pid != std::process::id() && !name.is_empty()));
        assert_ne!(user_id().expect("asked"), 0);
    }
}
