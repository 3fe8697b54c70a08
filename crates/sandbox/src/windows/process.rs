//! Processes that were not started here: by their number, and who started this one.
//!
//! A number is given again when its process has ended, so what is to be done with a process that was written down
//! is done after its time of creation was compared ([`Process::created`]).

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsHandle as _, BorrowedHandle, OwnedHandle};
use std::time::Duration;

use windows_sys::Win32::Storage::FileSystem::VOLUME_NAME_NT;
use windows_sys::Win32::System::Threading::{
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE,
};

use super::sys::final_path;
pub use super::sys_others::Listed;
use super::{closed, sys_others as sys, sys_process};

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

    /// The file that it runs, as the kernel names it (`\Device\...`): no drive letter can be moved under it.
    pub fn image(&self) -> io::Result<OsString> {
        sys_process::image(self.handle())
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

/// The kernel's name of an open file, as [`Process::image`] gives it.
pub fn kernel_name(file: &File) -> io::Result<OsString> {
    final_path(file, VOLUME_NAME_NT)
}

/// Every process, as the system lists them now: also those that this user may not open.
pub fn list() -> io::Result<Vec<Listed>> {
    sys::list()
}

/// The process that started this one and those before it, nearest first: number, and name of the executed file.
///
/// A parent may have ended and its number may be another's by now: what is younger than its child is not its parent.
pub fn ancestry(depth: usize) -> Vec<(u32, String)> {
    let Ok(all) = sys::list() else { return Vec::new() };
    let mut all: HashMap<u32, Listed> = all.into_iter().map(|listed| (listed.pid, listed)).collect();
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

/// Closes this process to other processes of the same user: they cannot open it, its threads or its token to read or
/// write its memory, run code in it, take its handles, or change that. They can still see it, wait for it and end it.
/// To be called first thing.
///
/// The error says what could not be set, or what others still get: each right is tried, on every thread and on one
/// that is made for it. What this process is refused then, every process with this user's token is.
///
/// Whoever started this process, or opened it before, keeps a handle that can do anything. A process with the debug
/// privilege, which an administrator's elevated one has, is not held by this. A thread that another process makes in
/// this one, as the system does for Ctrl-C, has that one's access list.
///
/// What this process makes from then on without an access list of its own (threads, events, files where the directory
/// hands none down) is closed like it. A program that would find its own token closed does not work:
/// [`start`](crate::start) sees to that, and for other ways to make one there is [`as_before`].
pub fn close_to_others() -> io::Result<()> {
    closed::close().map_err(io::Error::other)
}

/// What `make` makes, threads of this process that begin meanwhile too, is as open as it was before
/// [`close_to_others`]; those threads are closed when it returns.
pub fn as_before<T>(make: impl FnOnce() -> T) -> io::Result<T> {
    let _making = closed::Making::new()?;
    Ok(make())
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
        let program = File::open(std::env::current_exe().expect("this program")).expect("opened");
        assert_eq!(own.image().expect("asked"), kernel_name(&program).expect("asked"));
        let all = list().expect("listed");
        let listed = all.iter().find(|one| one.pid == std::process::id()).expect("this process");
        assert!(own.image().expect("asked").to_string_lossy().ends_with(&listed.name), "{listed:?}");
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
    fn who_started_this_is_told_and_has_an_identity() {
        assert!(ancestry(1).len() <= 1);
        assert!(ancestry(64).iter().all(|(pid, name)| *pid != std::process::id() && !name.is_empty()));
        assert_ne!(user_id().expect("asked"), 0);
    }
}
