//! Pages of Windows: `VirtualAlloc`, held in memory by `VirtualLock`, which never writes them to the page file.
//!
//! How much may be locked depends on the least working set of the process (about 200 KiB at first), which is raised by
//! what is asked for. Dumps that Windows Error Reporting makes leave the pages out where it knows how
//! (`WerRegisterExcludedMemoryBlock`, Windows 10 1703; at most 512 of them); a full dump by a debugger has them, and so
//! has the file that Windows hibernates to.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, OnceLock, PoisonError};

use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_READWRITE, VirtualAlloc, VirtualFree, VirtualLock,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessWorkingSetSize, SetProcessWorkingSetSize,
};
use windows_sys::{s, w};

/// What a raised working set has beyond what is asked for, in bytes: other pages of the process need room too.
const ROOM: usize = 256 << 10;

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let mut info = MaybeUninit::<SYSTEM_INFO>::zeroed();
        // SAFETY: the structure is written, whole.
        unsafe { GetSystemInfo(info.as_mut_ptr()) };
        // SAFETY: it was written, and zeros would be a value of it too.
        unsafe { info.assume_init() }.dwPageSize.max(4096) as usize
    })
}

/// New zero pages, and whether they can never be swapped out. `mapped` is a multiple of a page.
pub(super) fn pages(mapped: usize) -> io::Result<(NonNull<u8>, bool)> {
    // SAFETY: new pages at an address of the system's choice alias nothing.
    let start = unsafe { VirtualAlloc(ptr::null(), mapped, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) };
    let start = NonNull::new(start.cast::<u8>()).ok_or_else(io::Error::last_os_error)?;
    let locked = lock(start, mapped) || (raise_working_set(mapped) && lock(start, mapped));
    if let Some(exclude) = excluding().exclude {
        // SAFETY: the range is the pages made above; only its place is written down.
        let _ = unsafe { exclude(start.as_ptr().cast(), mapped as u32) };
    }
    Ok((start, locked))
}

/// Gives pages back.
///
/// # Safety
///
/// They are what [`pages`] gave for `mapped`, and nothing refers to them any more.
pub(super) unsafe fn give_back(start: NonNull<u8>, _mapped: usize) {
    if let Some(include) = excluding().include {
        // SAFETY: only the note of the place is taken back.
        let _ = unsafe { include(start.as_ptr().cast()) };
    }
    // SAFETY: the caller's word is what VirtualFree asks for; with MEM_RELEASE the length is that of the allocation.
    unsafe { VirtualFree(start.as_ptr().cast(), 0, MEM_RELEASE) };
}

fn lock(start: NonNull<u8>, mapped: usize) -> bool {
    // SAFETY: the range is committed pages of ours, and locking does not change them.
    unsafe { VirtualLock(start.as_ptr().cast(), mapped) != 0 }
}

/// Raises the least and the most pages that the process may have in memory; says whether that was granted.
fn raise_working_set(by: usize) -> bool {
    // Two threads at once would both add to the same number.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: this needs no closing and has no condition.
    let process = unsafe { GetCurrentProcess() };
    let (mut least, mut most) = (0, 0);
    // SAFETY: the handle is this process's, and two numbers are written.
    let known = unsafe { GetProcessWorkingSetSize(process, &mut least, &mut most) } != 0;
    let more = by.saturating_add(ROOM);
    let (least, most) = (least.saturating_add(more), most.saturating_add(more));
    // SAFETY: the handle is this process's; the rest is numbers.
    known && unsafe { SetProcessWorkingSetSize(process, least, most) } != 0
}

/// `WerRegisterExcludedMemoryBlock`: address and length; gives an HRESULT.
type Exclude = unsafe extern "system" fn(*const std::ffi::c_void, u32) -> i32;
/// `WerUnregisterExcludedMemoryBlock`: address; gives an HRESULT.
type Include = unsafe extern "system" fn(*const std::ffi::c_void) -> i32;

#[derive(Clone, Copy)]
struct Excluding {
    exclude: Option<Exclude>,
    include: Option<Include>,
}

/// The two functions, where this Windows has them.
fn excluding() -> Excluding {
    static FOUND: OnceLock<Excluding> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: a name that ends with a zero; kernel32 is in every process and stays.
        let library = unsafe { GetModuleHandleW(w!("kernel32.dll")) };
        // SAFETY: a module of this process, and a name that ends with a zero.
        let exclude = unsafe { GetProcAddress(library, s!("WerRegisterExcludedMemoryBlock")) };
        // SAFETY: as above.
        let include = unsafe { GetProcAddress(library, s!("WerUnregisterExcludedMemoryBlock")) };
        Excluding {
            // SAFETY: the documented signature of the function of that name (werapi.h).
            exclude: exclude.map(|found| unsafe { std::mem::transmute::<_, Exclude>(found) }),
            // SAFETY: as above.
            include: include.map(|found| unsafe { std::mem::transmute::<_, Include>(found) }),
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::memory::Locked;

    #[test]
    fn more_than_the_first_working_set_can_be_locked() {
        // Two MiB: Wine asks Unix, which lets an ordinary user lock some eight.
        let pages: Vec<_> = (0..32).map(|_| Locked::zeroed(64 << 10).unwrap()).collect();
        assert!(pages.iter().all(Locked::is_locked));
    }
}
