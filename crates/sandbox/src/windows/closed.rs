//! Closes processes to the other processes of their user: the program in lockdown, and the supervisor itself.

use std::collections::BTreeSet;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;

use windows_sys::Win32::Storage::FileSystem::WRITE_DAC;

use super::look::open_to_user;
use super::sys::own_process;
use super::sys_others::{open_thread, threads};
use super::sys_security::{Descriptor, List, Sid};
use super::sys_token::Token;

/// Access lists with which nobody of the user reaches into a process, the user's own processes included.
pub(super) struct Lists {
    pub(super) process: Descriptor,
    pub(super) thread: Descriptor,
    pub(super) token: Descriptor,
    /// For the threads and other objects that the process makes.
    pub(super) object: Descriptor,
}

/// What the user keeps of a process: to see that it is there, to wait for it and to end it.
const PROCESS_RIGHTS: u32 = 0x0010_1001;
/// And of its threads: SYNCHRONIZE and THREAD_QUERY_LIMITED_INFORMATION.
const THREAD_RIGHTS: u32 = 0x0010_0800;
/// And of its token: READ_CONTROL and TOKEN_QUERY.
pub(super) const TOKEN_RIGHTS: u32 = 0x0002_0008;
/// The supervisor's own can be copied too (TOKEN_DUPLICATE, TOKEN_IMPERSONATE), since the system's libraries do that in
/// this process. A copy gives another process of the user nothing: it is that user's, at the same integrity.
const OWN_TOKEN_RIGHTS: u32 = TOKEN_RIGHTS | 0x6;
/// And of whatever else it makes: READ_CONTROL and SYNCHRONIZE.
const OBJECT_RIGHTS: u32 = 0x0012_0000;

impl Lists {
    /// For a program. `container` is the one that it runs in, whose access is what both its user and itself are given.
    pub(super) fn new(user: &Sid, container: Option<&Sid>) -> io::Result<Lists> {
        Self::keeping(TOKEN_RIGHTS, user, container)
    }

    /// For this process.
    fn of_own(user: &Sid) -> io::Result<Lists> {
        Self::keeping(OWN_TOKEN_RIGHTS, user, None)
    }

    fn keeping(of_token: u32, user: &Sid, container: Option<&Sid>) -> io::Result<Lists> {
        let user = user.text()?;
        let container = container.map(Sid::text).transpose()?;
        let container = container.map(|sid| format!("(A;;GA;;;{sid})")).unwrap_or_default();
        // An entry for the owner's rights takes away what an owner has without any: to change the list.
        let closed = |rights: u32| {
            let text = format!("D:P(A;;GA;;;SY)(A;;{rights:#x};;;OW)(A;;{rights:#x};;;{user}){container}");
            Descriptor::from_text(&text)
        };
        Ok(Lists {
            process: closed(PROCESS_RIGHTS)?,
            thread: closed(THREAD_RIGHTS)?,
            token: closed(of_token)?,
            object: closed(OBJECT_RIGHTS)?,
        })
    }
}

/// This process's token, opened before it was closed, and what it gave to what the process makes.
struct Own {
    token: &'static Token,
    user: Sid,
    before: Option<List>,
    /// How many starts are under way, for which that is given again.
    starts: Mutex<u32>,
}

static OWN: OnceLock<Own> = OnceLock::new();

impl Own {
    fn get() -> io::Result<&'static Own> {
        if let Some(own) = OWN.get() {
            return Ok(own);
        }
        let token = Token::keep_own()?;
        let (user, before) = (token.user()?, token.default_list()?);
        Ok(OWN.get_or_init(|| Own { token, user, before, starts: Mutex::new(0) }))
    }

    fn starts(&self) -> MutexGuard<'_, u32> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is made from now on, and the threads that are there, are closed.
    fn close_threads(&self, lists: &Lists) -> Result<(), String> {
        let failed = |error| format!("SetTokenInformation, this process's default access list: {error}");
        let object = lists.object.list().map_err(failed)?;
        self.token.set_default_list(Some(&object)).map_err(failed)?;
        let failed = |error| format!("CreateToolhelp32Snapshot, this process's threads: {error}");
        let mut known = BTreeSet::new();
        // One that cannot be closed keeps no other one open.
        let mut outcome = Ok(());
        loop {
            let all = threads().map_err(failed)?;
            let new: Vec<u32> = all.into_iter().filter(|thread| known.insert(*thread)).collect();
            if new.is_empty() {
                return outcome;
            }
            // One that is not opened has ended or is closed already, and else is found by trying.
            for thread in new.iter().filter_map(|thread| open_thread(*thread, WRITE_DAC).ok()) {
                let applied = lists.thread.apply(thread.as_handle());
                outcome =
                    outcome.and(applied.map_err(|error| {
                        format!("SetKernelObjectSecurity, a thread of this process: {error}")
                    }));
            }
        }
    }
}

/// Closes this process: first what it will make, then itself, the threads that it has, and its token. Then it is
/// tried what other processes of the user get; the error tells what.
pub(super) fn close() -> Result<(), String> {
    let own = Own::get().map_err(|error| format!("OpenProcessToken, this process: {error}"))?;
    let lists = Lists::of_own(&own.user);
    let lists = lists.map_err(|error| format!("an access list that closes this process: {error}"))?;
    let said = |what: &str, error: io::Error| format!("SetKernelObjectSecurity, {what}: {error}");
    // Each is tried, whatever came of the others.
    let tried = [
        own.close_threads(&lists),
        lists.process.apply(own_process()).map_err(|error| said("this process", error)),
        // Those that began before the process was closed, from outside.
        own.close_threads(&lists),
        lists.token.apply(own.token.as_handle()).map_err(|error| said("this process's token", error)),
        open_still().and_then(|open| match open.as_slice() {
            [] => Ok(()),
            open => Err(format!("other processes of this user still get {}", open.join(", "))),
        }),
    ];
    let failures: Vec<String> = tried.into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// The rights that the user's processes get to this one, to its threads, one that is made now among them, and to
/// its token: each by trying, with the token that those have too.
pub(super) fn open_still() -> Result<Vec<&'static str>, String> {
    let failed = |error: io::Error| format!("the threads of this process: {error}");
    let (stop, stopped) = mpsc::channel::<()>();
    let later = thread::Builder::new().spawn(move || {
        // Nothing comes: it ends with the sender.
        let _ = stopped.recv();
    });
    let later = later.map_err(failed)?;
    let found = threads().map(|all| open_to_user(std::process::id(), &all, OWN_TOKEN_RIGHTS));
    drop(stop);
    let _ = later.join();
    found.map_err(failed)
}

/// While this lives, what the process makes is as open as before it was closed. A program and its token get their
/// access lists from there, and a program whose token opens nothing to itself is not the one that was asked for.
pub(super) struct Making(Option<&'static Own>);

impl Making {
    pub(super) fn new() -> io::Result<Making> {
        let Some(own) = OWN.get() else { return Ok(Making(None)) };
        let mut starts = own.starts();
        if *starts == 0 {
            own.token.set_default_list(own.before.as_ref())?;
        }
        *starts += 1;
        drop(starts);
        Ok(Making(Some(own)))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let Some(own) = self.0 else { return };
        let mut starts = own.starts();
        *starts -= 1;
        if *starts == 0 {
            // What fails here is found by trying, at this start and at each that follows.
            let _ = Lists::of_own(&own.user).map(|lists| own.close_threads(&lists));
        }
    }
}
