//! Security descriptors and identifiers, and what a token may do to an object.

#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::windows::io::BorrowedHandle;

use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_KERNEL_OBJECT, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    ACL, AccessCheck, CreateWellKnownSid, DACL_SECURITY_INFORMATION, FreeSid, GENERIC_MAPPING,
    GROUP_SECURITY_INFORMATION, GetLengthSid, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner,
    LABEL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PRIVILEGE_SET, PSID, SECURITY_MAX_SID_SIZE,
    SetKernelObjectSecurity, WELL_KNOWN_SID_TYPE,
};

use super::sys::{check, raw, this_process};

/// A security identifier in memory of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sid(Vec<u32>);

impl Sid {
    pub(super) fn well_known(kind: WELL_KNOWN_SID_TYPE) -> io::Result<Sid> {
        let mut words = vec![0_u32; (SECURITY_MAX_SID_SIZE as usize).div_ceil(4)];
        let mut size = (words.len() * 4) as u32;
        let (room, no_domain) = (words.as_mut_ptr().cast(), std::ptr::null_mut());
        // SAFETY: `words` has room for `size` bytes.
        check(unsafe { CreateWellKnownSid(kind, no_domain, room, &mut size) })?;
        words.truncate((size as usize).div_ceil(4));
        Ok(Sid(words))
    }

    /// A copy of the identifier at `sid`.
    ///
    /// # Safety
    /// `sid` points to a valid identifier.
    pub(super) unsafe fn copied(sid: PSID) -> Sid {
        // SAFETY: what this function demands.
        let length = unsafe { GetLengthSid(sid) } as usize;
        let mut words = vec![0_u32; length.div_ceil(4)];
        // SAFETY: the identifier has `length` bytes, and `words` room for them.
        unsafe { std::ptr::copy_nonoverlapping(sid.cast::<u8>(), words.as_mut_ptr().cast(), length) };
        Sid(words)
    }

    /// The same of one that the system allocated and that is freed with FreeSid.
    ///
    /// # Safety
    /// As for [`Sid::copied`]; the identifier belongs to nobody else.
    pub(super) unsafe fn taken(sid: PSID) -> Sid {
        // SAFETY: what this function demands.
        let copy = unsafe { Sid::copied(sid) };
        // SAFETY: and it is used by nobody any more.
        unsafe { FreeSid(sid) };
        copy
    }

    pub(super) fn pointer(&self) -> PSID {
        self.0.as_ptr().cast_mut().cast()
    }

    /// Such as `S-1-5-18`.
    pub(super) fn text(&self) -> io::Result<String> {
        let mut text: *mut u16 = std::ptr::null_mut();
        // SAFETY: the identifier is valid, and `text` takes one pointer.
        check(unsafe { ConvertSidToStringSidW(self.pointer(), &mut text) })?;
        // SAFETY: the call gave a text that ends with a NUL, and it is nobody else's.
        Ok(unsafe { taken_text(text) })
    }

    /// The last part, which is the level for an integrity label.
    pub(super) fn last(&self) -> u32 {
        self.0.last().copied().unwrap_or(0)
    }
}

/// A copy of a text that the system allocated and that is freed with LocalFree.
///
/// # Safety
/// `text` ends with a NUL and belongs to nobody else.
unsafe fn taken_text(text: *mut u16) -> String {
    let mut units = Vec::new();
    for place in 0.. {
        // SAFETY: the text ends with a NUL, beyond which this does not come.
        let unit = unsafe { text.add(place) };
        // SAFETY: likewise.
        match unsafe { unit.read() } {
            0 => break,
            unit => units.push(unit),
        }
    }
    // SAFETY: the system allocated it, and it is not used any more.
    unsafe { LocalFree(text.cast()) };
    String::from_utf16_lossy(&units)
}

/// An access list in memory of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List(Vec<u32>);

impl List {
    /// A copy of the list at `list`.
    ///
    /// # Safety
    /// `list` points to a valid list.
    pub(super) unsafe fn copied(list: *const ACL) -> List {
        // SAFETY: what this function demands.
        let length = usize::from(unsafe { (*list).AclSize });
        let mut words = vec![0_u32; length.div_ceil(4)];
        // SAFETY: the list has `length` bytes, and `words` room for them.
        unsafe { std::ptr::copy_nonoverlapping(list.cast::<u8>(), words.as_mut_ptr().cast(), length) };
        List(words)
    }

    pub(super) fn pointer(&self) -> *mut ACL {
        self.0.as_ptr().cast_mut().cast()
    }
}

/// A security descriptor that the system allocated.
#[derive(Debug)]
pub(super) struct Descriptor(*mut core::ffi::c_void);

impl Descriptor {
    /// From its text (SDDL).
    pub(super) fn from_text(text: &str) -> io::Result<Descriptor> {
        let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut descriptor = std::ptr::null_mut();
        let (text, out, no_size) = (text.as_ptr(), &raw mut descriptor, std::ptr::null_mut());
        let revision = SDDL_REVISION_1;
        // SAFETY: the text is NUL-ended, and `out` takes one pointer.
        check(unsafe { ConvertStringSecurityDescriptorToSecurityDescriptorW(text, revision, out, no_size) })?;
        Ok(Descriptor(descriptor))
    }

    /// Owner, group, access list and label of an open object.
    pub(super) fn of(object: BorrowedHandle<'_>, kind: SE_OBJECT_TYPE) -> io::Result<Descriptor> {
        Descriptor::read(raw(object), kind)
    }

    /// Those of this process.
    pub(super) fn of_this_process() -> io::Result<Descriptor> {
        Descriptor::read(this_process(), SE_KERNEL_OBJECT)
    }

    fn read(object: HANDLE, kind: SE_OBJECT_TYPE) -> io::Result<Descriptor> {
        let what = OWNER_SECURITY_INFORMATION
            | GROUP_SECURITY_INFORMATION
            | DACL_SECURITY_INFORMATION
            | LABEL_SECURITY_INFORMATION;
        let mut descriptor = std::ptr::null_mut();
        let (no_sid, no_list) = (std::ptr::null_mut(), std::ptr::null_mut());
        let out = &raw mut descriptor;
        // SAFETY: the handle is open or this process's own, and `out` takes one pointer.
        match unsafe { GetSecurityInfo(object, kind, what, no_sid, no_sid, no_list, no_list, out) } {
            0 => Ok(Descriptor(descriptor)),
            code => Err(io::Error::from_raw_os_error(code as i32)),
        }
    }

    pub(super) fn pointer(&self) -> *mut core::ffi::c_void {
        self.0
    }

    /// Gives an open object this access list in place of its own.
    pub(super) fn apply(&self, object: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: the handle is open, and the descriptor is valid.
        check(unsafe { SetKernelObjectSecurity(raw(object), DACL_SECURITY_INFORMATION, self.0) })
    }

    /// Whose object it is.
    pub(super) fn owner(&self) -> io::Result<Sid> {
        let (mut owner, mut is_default): (PSID, _) = (std::ptr::null_mut(), 0);
        // SAFETY: the descriptor is valid, and each pointer takes one value.
        check(unsafe { GetSecurityDescriptorOwner(self.0, &mut owner, &mut is_default) })?;
        if owner.is_null() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the descriptor, which lives, has a valid identifier there.
        Ok(unsafe { Sid::copied(owner) })
    }

    /// A copy of its access list.
    pub(super) fn list(&self) -> io::Result<List> {
        let (mut is_there, mut is_default) = (0, 0);
        let mut list: *mut ACL = std::ptr::null_mut();
        // SAFETY: the descriptor is valid, and each pointer takes one value.
        check(unsafe { GetSecurityDescriptorDacl(self.0, &mut is_there, &mut list, &mut is_default) })?;
        if is_there == 0 || list.is_null() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the call says that there is one.
        Ok(unsafe { List::copied(list) })
    }

    /// Whether `token`, one for impersonation, is given all of `rights` to what this describes. `mapping` is that of its
    /// kind: what a label leaves to a token beneath it goes by that.
    pub(super) fn grants(
        &self,
        token: BorrowedHandle<'_>,
        rights: u32,
        mapping: &GENERIC_MAPPING,
    ) -> io::Result<bool> {
        let mut privileges = PRIVILEGE_SET::default();
        let mut size = size_of::<PRIVILEGE_SET>() as u32;
        let (mut granted, mut answer) = (0, 0);
        // SAFETY: descriptor and token are valid, and each pointer takes one value of its type and size.
        check(unsafe {
            AccessCheck(
                self.0,
                raw(token),
                rights,
                mapping,
                &mut privileges,
                &mut size,
                &mut granted,
                &mut answer,
            )
        })?;
        Ok(answer != 0)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it, and it is not used any more.
        unsafe { LocalFree(self.0) };
    }
}

/// Owner, access list and label as the system writes them (SDDL), for tests.
#[cfg(test)]
pub(super) fn text(of: &Descriptor) -> io::Result<String> {
    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorW;
    use windows_sys::Win32::Security::SACL_SECURITY_INFORMATION;
    // Wine counts a label among the rest of the audit list.
    let what = OWNER_SECURITY_INFORMATION
        | DACL_SECURITY_INFORMATION
        | LABEL_SECURITY_INFORMATION
        | SACL_SECURITY_INFORMATION;
    let mut written: *mut u16 = std::ptr::null_mut();
    let (from, out, no_size) = (of.pointer(), &raw mut written, std::ptr::null_mut());
    let revision = SDDL_REVISION_1;
    // SAFETY: the descriptor is valid, and `out` takes one pointer.
    check(unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(from, revision, what, out, no_size)
    })?;
    // SAFETY: the call gave a text that ends with a NUL, and it is nobody else's.
    Ok(unsafe { taken_text(written) })
}
