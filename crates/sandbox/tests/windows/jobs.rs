//! What the system itself says of jobs, on which the backend rests.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::System::JobObjects::{
    CreateJobObjectW, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_LIMIT_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS,
    JobObjectBasicLimitInformation, JobObjectExtendedLimitInformation, SetInformationJobObject,
};

fn set<T>(class: JOBOBJECTINFOCLASS, value: &T) -> io::Result<()> {
    // SAFETY: no attributes, no name.
    let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
    assert!(!job.is_null());
    // SAFETY: the call gave a new handle.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let size = size_of::<T>() as u32;
    // SAFETY: the handle is open; `value` is a whole structure of the class, and its size is passed.
    match unsafe { SetInformationJobObject(job.as_raw_handle(), class, (&raw const *value).cast(), size) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Why the extended class is used, and why nothing falls back to the basic one.
#[test]
fn the_basic_class_takes_no_kill_on_close() {
    let flags = [JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION];
    for flag in flags {
        let basic = JOBOBJECT_BASIC_LIMIT_INFORMATION { LimitFlags: flag, ..Default::default() };
        let refused = set(JobObjectBasicLimitInformation, &basic).expect_err("refused");
        assert_eq!(refused.raw_os_error(), Some(ERROR_INVALID_PARAMETER.cast_signed()));
        let extended =
            JOBOBJECT_EXTENDED_LIMIT_INFORMATION { BasicLimitInformation: basic, ..Default::default() };
        set(JobObjectExtendedLimitInformation, &extended).expect("taken");
    }
}
