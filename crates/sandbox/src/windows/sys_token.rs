//! Access tokens: a lesser one for the program, and what the program's own says.

#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Security::{
    CreateRestrictedToken, DuplicateTokenEx, GetTokenInformation, LUID_AND_ATTRIBUTES, SID_AND_ATTRIBUTES,
    SecurityIdentification, SetTokenInformation, TOKEN_ADJUST_DEFAULT, TOKEN_ASSIGN_PRIMARY,
    TOKEN_DEFAULT_DACL, TOKEN_DUPLICATE, TOKEN_GROUPS, TOKEN_INFORMATION_CLASS, TOKEN_MANDATORY_LABEL,
    TOKEN_PRIVILEGES, TOKEN_QUERY, TOKEN_USER, TokenCapabilities, TokenDefaultDacl, TokenGroups,
    TokenImpersonation, TokenIntegrityLevel, TokenIsAppContainer, TokenPrivileges, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::WRITE_DAC;
use windows_sys::Win32::System::SystemServices::{
    SE_GROUP_ENABLED, SE_GROUP_INTEGRITY, SE_GROUP_USE_FOR_DENY_ONLY,
};
use windows_sys::Win32::System::Threading::OpenProcessToken;

use super::sys::{check, own, raw, this_process};
use super::sys_security::{List, Sid};

/// The privilege that every token keeps: to pass through directories (SeChangeNotifyPrivilege).
const CHANGE_NOTIFY: u32 = 23;

/// What a start needs of this process's own token.
const START: u32 = TOKEN_DUPLICATE | TOKEN_QUERY | TOKEN_ASSIGN_PRIMARY | TOKEN_ADJUST_DEFAULT;

/// This process's own token, opened before it was closed.
static KEPT: OnceLock<Token> = OnceLock::new();

/// An access token.
#[derive(Debug)]
pub(super) struct Token(OwnedHandle);

impl AsHandle for Token {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

impl Token {
    /// This process's own, with what a start needs of it.
    pub(super) fn own() -> io::Result<Token> {
        KEPT.get().map_or_else(|| Token::opened(this_process(), START), |kept| kept.0.try_clone().map(Token))
    }

    /// The same, kept, with the right to close it: after that nobody opens it any more, this process included.
    pub(super) fn keep_own() -> io::Result<&'static Token> {
        match KEPT.get() {
            Some(kept) => Ok(kept),
            None => Token::opened(this_process(), START | WRITE_DAC).map(|token| KEPT.get_or_init(|| token)),
        }
    }

    /// That of another process, with these rights.
    pub(super) fn of(process: BorrowedHandle<'_>, rights: u32) -> io::Result<Token> {
        Token::opened(raw(process), rights)
    }

    fn opened(process: HANDLE, rights: u32) -> io::Result<Token> {
        let mut token: HANDLE = std::ptr::null_mut();
        // SAFETY: `process` is open or this process's own handle, and `token` takes one.
        check(unsafe { OpenProcessToken(process, rights, &mut token) })?;
        // SAFETY: the call gave a new handle.
        Ok(Token(unsafe { own(token) }))
    }

    /// A copy without any privilege but the one that every token keeps, in which `denied` only deny.
    pub(super) fn restricted(&self, denied: &[Sid]) -> io::Result<Token> {
        let privileges = self.privileges()?;
        let denied: Vec<_> =
            denied.iter().map(|sid| SID_AND_ATTRIBUTES { Sid: sid.pointer(), Attributes: 0 }).collect();
        let mut token: HANDLE = std::ptr::null_mut();
        let (count, list) = (denied.len() as u32, denied.as_ptr());
        let (lost, lost_list, no_sids) = (privileges.len() as u32, privileges.as_ptr(), std::ptr::null());
        let (own_token, out) = (raw(&self.0), &raw mut token);
        // SAFETY: the token is open, `list` has `count` valid identifiers and `lost_list` `lost` privileges,
        // and `out` takes one handle.
        check(unsafe { CreateRestrictedToken(own_token, 0, count, list, lost, lost_list, 0, no_sids, out) })?;
        // SAFETY: the call gave a new handle.
        Ok(Token(unsafe { own(token) }))
    }

    /// Lowers the mandatory level.
    pub(super) fn set_integrity(&self, level: &Sid) -> io::Result<()> {
        let attributes = SE_GROUP_INTEGRITY as u32;
        let label = TOKEN_MANDATORY_LABEL {
            Label: SID_AND_ATTRIBUTES { Sid: level.pointer(), Attributes: attributes },
        };
        self.set(TokenIntegrityLevel, &label)
    }

    /// The access list of what its processes make; without one, that is open to everybody.
    pub(super) fn set_default_list(&self, list: Option<&List>) -> io::Result<()> {
        let list = TOKEN_DEFAULT_DACL { DefaultDacl: list.map_or(std::ptr::null_mut(), List::pointer) };
        self.set(TokenDefaultDacl, &list)
    }

    pub(super) fn default_list(&self) -> io::Result<Option<List>> {
        let found = self.query(TokenDefaultDacl)?;
        let list = found.read::<TOKEN_DEFAULT_DACL>(0).ok_or(io::ErrorKind::InvalidData)?.DefaultDacl;
        // SAFETY: the system filled it in; the list is in `found`, which lives.
        Ok((!list.is_null()).then(|| unsafe { List::copied(list) }))
    }

    fn set<T>(&self, class: TOKEN_INFORMATION_CLASS, value: &T) -> io::Result<()> {
        let (value, size) = ((&raw const *value).cast(), size_of::<T>() as u32);
        // SAFETY: the token is open; `value` is a whole structure of the class, and what it points to lives.
        check(unsafe { SetTokenInformation(raw(&self.0), class, value, size) })
    }

    /// A copy with which access can be asked for, and nothing done.
    pub(super) fn for_questions(&self) -> io::Result<OwnedHandle> {
        let mut token: HANDLE = std::ptr::null_mut();
        let (level, kind) = (SecurityIdentification, TokenImpersonation);
        let (of, out) = (raw(&self.0), &raw mut token);
        // SAFETY: the token is open, no attributes, and `out` takes one handle.
        check(unsafe { DuplicateTokenEx(of, TOKEN_QUERY, std::ptr::null(), level, kind, out) })?;
        // SAFETY: the call gave a new handle.
        Ok(unsafe { own(token) })
    }

    pub(super) fn user(&self) -> io::Result<Sid> {
        let found = self.query(TokenUser)?;
        let user = found.read::<TOKEN_USER>(0).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: the system filled it in; the identifier is in `found`, which lives.
        Ok(unsafe { Sid::copied(user.User.Sid) })
    }

    /// The mandatory level: 0x1000 low, 0x2000 medium, 0x3000 high.
    pub(super) fn integrity(&self) -> io::Result<u32> {
        let found = self.query(TokenIntegrityLevel)?;
        let label = found.read::<TOKEN_MANDATORY_LABEL>(0).ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: as for the user.
        Ok(unsafe { Sid::copied(label.Label.Sid) }.last())
    }

    pub(super) fn is_container(&self) -> io::Result<bool> {
        let found = self.query(TokenIsAppContainer)?;
        Ok(found.read::<u32>(0).ok_or(io::ErrorKind::InvalidData)? != 0)
    }

    /// How many capabilities its container has.
    pub(super) fn capabilities(&self) -> io::Result<u32> {
        let found = self.query(TokenCapabilities)?;
        Ok(found.read::<u32>(0).ok_or(io::ErrorKind::InvalidData)?)
    }

    /// The privileges that it has beside the one that every token keeps, enabled or not.
    pub(super) fn privileges(&self) -> io::Result<Vec<LUID_AND_ATTRIBUTES>> {
        let found = self.query(TokenPrivileges)?;
        let mut each = found.list::<LUID_AND_ATTRIBUTES>(offset_of!(TOKEN_PRIVILEGES, Privileges))?;
        each.retain(|of| of.Luid.HighPart != 0 || of.Luid.LowPart != CHANGE_NOTIFY);
        Ok(each)
    }

    /// Whether it belongs to `group`, and not only to be denied something.
    pub(super) fn belongs_to(&self, group: &Sid) -> io::Result<bool> {
        let found = self.query(TokenGroups)?;
        let each = found.list::<SID_AND_ATTRIBUTES>(offset_of!(TOKEN_GROUPS, Groups))?;
        Ok(each.iter().any(|of| {
            // SAFETY: the system filled it in; the identifier is in `found`, which lives.
            let sid = unsafe { Sid::copied(of.Sid) };
            sid == *group
                && of.Attributes & SE_GROUP_ENABLED as u32 != 0
                && of.Attributes & SE_GROUP_USE_FOR_DENY_ONLY as u32 == 0
        }))
    }

    fn query(&self, class: TOKEN_INFORMATION_CLASS) -> io::Result<Found> {
        let mut size = 0;
        let token = raw(&self.0);
        // SAFETY: without room the call gives the size that it needs, and says that it failed.
        unsafe { GetTokenInformation(token, class, std::ptr::null_mut(), 0, &mut size) };
        let mut words = vec![0_u64; (size as usize).div_ceil(8).max(1)];
        let room = (words.len() * 8) as u32;
        // SAFETY: `words` has room for `room` bytes and is aligned for every structure of tokens.
        check(unsafe { GetTokenInformation(token, class, words.as_mut_ptr().cast(), room, &mut size) })?;
        Ok(Found { words, size: size as usize })
    }
}

/// What the system wrote about a token.
struct Found {
    words: Vec<u64>,
    size: usize,
}

impl Found {
    /// The structure at so many bytes; `None` beyond the end.
    fn read<T: Copy>(&self, at: usize) -> Option<T> {
        let end = at.checked_add(size_of::<T>())?;
        if end > self.size.min(self.words.len() * 8) {
            return None;
        }
        // SAFETY: within `words`, as was just checked.
        let place = unsafe { self.words.as_ptr().cast::<u8>().add(at) };
        // SAFETY: the place holds a `T` that the system wrote: numbers and pointers alone.
        Some(unsafe { place.cast::<T>().read_unaligned() })
    }

    /// The list at so many bytes, whose length is the first number of the whole.
    fn list<T: Copy>(&self, at: usize) -> io::Result<Vec<T>> {
        let count = self.read::<u32>(0).ok_or(io::ErrorKind::InvalidData)? as usize;
        let each = (0..count).map(|place| self.read::<T>(at + place * size_of::<T>()));
        each.collect::<Option<_>>().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}
