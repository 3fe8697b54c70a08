//! Job objects and the port that tells of them.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE, WAIT_TIMEOUT};
use windows_sys::Win32::System::IO::{CreateIoCompletionPort, GetQueuedCompletionStatus, OVERLAPPED};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOBOBJECT_ASSOCIATE_COMPLETION_PORT,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_UI_RESTRICTIONS,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS, JobObjectAssociateCompletionPortInformation,
    JobObjectBasicAccountingInformation, JobObjectBasicUIRestrictions, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};

use super::pure::limits::JobLimits;
use super::sys::{check, own, raw};

/// A job without a name, whose handle nobody inherits. When the last handle is closed, the system ends
/// what is in it, where that was asked for.
#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    pub(super) fn new() -> io::Result<Job> {
        // SAFETY: no attributes, so not inheritable; no name.
        let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call gave a new handle.
        Ok(Job(unsafe { own(job) }))
    }

    pub(super) fn set_limits(&self, limits: &JobLimits) -> io::Result<()> {
        self.set(JobObjectExtendedLimitInformation, &extended(limits))
    }

    pub(super) fn limits(&self) -> io::Result<JobLimits> {
        let found = self.query::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>(JobObjectExtendedLimitInformation)?;
        Ok(plain(&found))
    }

    pub(super) fn set_ui(&self, restrictions: u32) -> io::Result<()> {
        let value = JOBOBJECT_BASIC_UI_RESTRICTIONS { UIRestrictionsClass: restrictions };
        self.set(JobObjectBasicUIRestrictions, &value)
    }

    pub(super) fn ui(&self) -> io::Result<u32> {
        let found = self.query::<JOBOBJECT_BASIC_UI_RESTRICTIONS>(JobObjectBasicUIRestrictions)?;
        Ok(found.UIRestrictionsClass)
    }

    /// What happens in the job is told at `port`.
    pub(super) fn tell(&self, port: &Port) -> io::Result<()> {
        let value = JOBOBJECT_ASSOCIATE_COMPLETION_PORT {
            CompletionKey: std::ptr::null_mut(),
            CompletionPort: raw(&port.0),
        };
        self.set(JobObjectAssociateCompletionPortInformation, &value)
    }

    pub(super) fn assign(&self, process: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: both handles are open.
        check(unsafe { AssignProcessToJobObject(raw(&self.0), raw(process)) })
    }

    pub(super) fn contains(&self, process: BorrowedHandle<'_>) -> io::Result<bool> {
        let mut answer = 0;
        // SAFETY: both handles are open, and `answer` takes one BOOL.
        check(unsafe { IsProcessInJob(raw(process), raw(&self.0), &mut answer) })?;
        Ok(answer != 0)
    }

    /// How many processes are in the job.
    pub(super) fn active(&self) -> io::Result<u32> {
        let class = JobObjectBasicAccountingInformation;
        Ok(self.query::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>(class)?.ActiveProcesses)
    }

    pub(super) fn terminate(&self, code: u32) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { TerminateJobObject(raw(&self.0), code) })
    }

    fn set<T: Copy>(&self, class: JOBOBJECTINFOCLASS, value: &T) -> io::Result<()> {
        let size = size_of::<T>() as u32;
        // SAFETY: the handle is open; `value` is a whole structure of the class, and its size is passed.
        check(unsafe { SetInformationJobObject(raw(&self.0), class, (&raw const *value).cast(), size) })
    }

    fn query<T: Default>(&self, class: JOBOBJECTINFOCLASS) -> io::Result<T> {
        let mut value = T::default();
        let (size, room) = (size_of::<T>() as u32, (&raw mut value).cast());
        // SAFETY: the handle is open; `value` is a structure of the class, plain numbers, of this size.
        check(unsafe { QueryInformationJobObject(raw(&self.0), class, room, size, std::ptr::null_mut()) })?;
        Ok(value)
    }
}

impl AsHandle for Job {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// The structure that the system takes, everything that is not asked for zero.
fn extended(limits: &JobLimits) -> JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    let mut value = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    let basic = &mut value.BasicLimitInformation;
    basic.LimitFlags = limits.flags;
    basic.PerProcessUserTimeLimit = i64::try_from(limits.process_time).unwrap_or(i64::MAX);
    basic.PerJobUserTimeLimit = i64::try_from(limits.job_time).unwrap_or(i64::MAX);
    basic.ActiveProcessLimit = limits.active;
    value.ProcessMemoryLimit = usize::try_from(limits.process_memory).unwrap_or(usize::MAX);
    value.JobMemoryLimit = usize::try_from(limits.job_memory).unwrap_or(usize::MAX);
    value
}

fn plain(value: &JOBOBJECT_EXTENDED_LIMIT_INFORMATION) -> JobLimits {
    let basic = &value.BasicLimitInformation;
    JobLimits {
        flags: basic.LimitFlags,
        process_time: u64::try_from(basic.PerProcessUserTimeLimit).unwrap_or(0),
        job_time: u64::try_from(basic.PerJobUserTimeLimit).unwrap_or(0),
        active: basic.ActiveProcessLimit,
        process_memory: value.ProcessMemoryLimit as u64,
        job_memory: value.JobMemoryLimit as u64,
    }
}

/// A completion port for the messages of one job.
#[derive(Debug)]
pub(super) struct Port(OwnedHandle);

impl Port {
    pub(super) fn new() -> io::Result<Port> {
        // SAFETY: no file and no port, which asks for a new port.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, std::ptr::null_mut(), 0, 1) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call gave a new handle.
        Ok(Port(unsafe { own(port) }))
    }

    /// The next message (`JOB_OBJECT_MSG_*`) and the process that it is about, 0 for the job; `None` when
    /// none came within so many milliseconds.
    pub(super) fn next(&self, milliseconds: u32) -> io::Result<Option<(u32, u32)>> {
        let (mut message, mut key) = (0, 0);
        let mut process: *mut OVERLAPPED = std::ptr::null_mut();
        let port: HANDLE = raw(&self.0);
        // SAFETY: the handle is open, and each pointer takes one value of its type.
        let answer =
            unsafe { GetQueuedCompletionStatus(port, &mut message, &mut key, &mut process, milliseconds) };
        if let Err(error) = check(answer) {
            let timed_out = error.raw_os_error() == Some(WAIT_TIMEOUT as i32);
            return if timed_out { Ok(None) } else { Err(error) };
        }
        // For a job the pointer is the number of a process.
        Ok(Some((message, process.addr() as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Tier};
    use windows_sys::Win32::System::JobObjects as win;

    #[test]
    fn the_numbers_are_those_of_the_system() {
        use super::super::pure::limits as ours;
        let pairs = [
            (ours::PROCESS_TIME, win::JOB_OBJECT_LIMIT_PROCESS_TIME),
            (ours::JOB_TIME, win::JOB_OBJECT_LIMIT_JOB_TIME),
            (ours::ACTIVE_PROCESS, win::JOB_OBJECT_LIMIT_ACTIVE_PROCESS),
            (ours::PROCESS_MEMORY, win::JOB_OBJECT_LIMIT_PROCESS_MEMORY),
            (ours::JOB_MEMORY, win::JOB_OBJECT_LIMIT_JOB_MEMORY),
            (ours::DIE_ON_UNHANDLED_EXCEPTION, win::JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION),
            (ours::BREAKAWAY_OK, win::JOB_OBJECT_LIMIT_BREAKAWAY_OK),
            (ours::SILENT_BREAKAWAY_OK, win::JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK),
            (ours::KILL_ON_JOB_CLOSE, win::JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE),
        ];
        assert!(pairs.iter().all(|(ours, theirs)| ours == theirs));
        let every = win::JOB_OBJECT_UILIMIT_HANDLES
            | win::JOB_OBJECT_UILIMIT_READCLIPBOARD
            | win::JOB_OBJECT_UILIMIT_WRITECLIPBOARD
            | win::JOB_OBJECT_UILIMIT_SYSTEMPARAMETERS
            | win::JOB_OBJECT_UILIMIT_DISPLAYSETTINGS
            | win::JOB_OBJECT_UILIMIT_GLOBALATOMS
            | win::JOB_OBJECT_UILIMIT_DESKTOP
            | win::JOB_OBJECT_UILIMIT_EXITWINDOWS;
        assert_eq!(ours::UI_ALL, every);
    }

    #[test]
    fn the_structure_that_is_passed_carries_each_limit_and_nothing_else() {
        let named = Limits { memory: Some(1 << 20), cpu: Some(3), ..Limits::default() };
        let asked = JobLimits::of(Tier::Lockdown, named).expect("a job");
        let value = extended(&asked);
        let basic = value.BasicLimitInformation;
        assert_eq!(basic.LimitFlags, 0x2400 | 0x2 | 0x4 | 0x8 | 0x100 | 0x200);
        assert_eq!((basic.PerProcessUserTimeLimit, basic.PerJobUserTimeLimit), (30_000_000, 30_000_000));
        assert_eq!(basic.ActiveProcessLimit, 1);
        assert_eq!((value.ProcessMemoryLimit, value.JobMemoryLimit), (1 << 20, 1 << 20));
        assert_eq!((basic.MinimumWorkingSetSize, basic.MaximumWorkingSetSize, basic.Affinity), (0, 0, 0));
        assert_eq!((basic.PriorityClass, basic.SchedulingClass), (0, 0));
        assert_eq!(plain(&value), asked);
    }

    #[test]
    fn the_system_takes_what_it_is_asked_for() {
        for tier in [Tier::Hardened, Tier::Lockdown] {
            let job = Job::new().expect("a job");
            let asked = JobLimits::of(tier, Limits::default()).expect("limits");
            job.set_limits(&asked).expect("set");
            job.limits().expect("asked back");
            assert_eq!(job.active().expect("counted"), 0);
        }
        Job::new().expect("a job").set_ui(0xff).expect("set");
    }
}
