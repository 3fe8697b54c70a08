//! Files and directories that are made with a descriptor, and what the system says of an open one.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStringExt as _;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _};
use std::path::{Path, PathBuf};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_INSUFFICIENT_BUFFER, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetKernelObjectSecurity, LABEL_SECURITY_INFORMATION,
    OWNER_SECURITY_INFORMATION, SECURITY_ATTRIBUTES,
};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_FLAG_OPEN_REPARSE_POINT, FILE_ID_INFO, FILE_SHARE_DELETE,
    FILE_SHARE_READ, FILE_SHARE_WRITE, FileIdInfo, GetFileInformationByHandleEx, GetFinalPathNameByHandleW,
    MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW,
};

use super::{done, wide};
use crate::files::Descriptor;

/// The longest path that Windows has, in 16-bit units.
const LONGEST_PATH: usize = 0x8000;

fn attributes(security: &Descriptor) -> SECURITY_ATTRIBUTES {
    SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: security.as_ptr().cast_mut().cast(),
        bInheritHandle: 0,
    }
}

/// Makes a file for reading and writing, with the descriptor from its first moment on; there must be none.
pub(crate) fn create_file(path: &Path, security: &Descriptor) -> io::Result<File> {
    let (path, attributes) = (wide(path.as_os_str())?, attributes(security));
    // SAFETY: the path ends with a zero; `attributes` points at a whole self-relative descriptor, aligned to four
    // bytes; all three live until the call returns, and the system only reads them.
    let handle = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            &attributes,
            CREATE_NEW,
            FILE_FLAG_OPEN_REPARSE_POINT,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just given this handle to us, and nobody else closes it.
    Ok(unsafe { File::from_raw_handle(handle) })
}

/// Makes a directory, with the descriptor from its first moment on.
pub(crate) fn create_directory(path: &Path, security: &Descriptor) -> io::Result<()> {
    let (path, attributes) = (wide(path.as_os_str())?, attributes(security));
    // SAFETY: as in `create_file`.
    done(unsafe { CreateDirectoryW(path.as_ptr(), &attributes) })
}

/// Renames a file; on disk when it returns. With `replace`, over what has the name.
pub(crate) fn rename(old: &Path, new: &Path, replace: bool) -> io::Result<()> {
    let (old, new) = (wide(old.as_os_str())?, wide(new.as_os_str())?);
    let flags = MOVEFILE_WRITE_THROUGH | if replace { MOVEFILE_REPLACE_EXISTING } else { 0 };
    // SAFETY: both paths end with a zero and live until the call returns.
    done(unsafe { MoveFileExW(old.as_ptr(), new.as_ptr(), flags) })
}

/// Owner and list of access of an open file, as the system gives them: a self-relative descriptor.
pub(crate) fn security(file: &File) -> io::Result<Vec<u8>> {
    descriptor(file, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION)
}

/// The integrity label of an open file, in a descriptor of the same form.
pub(crate) fn label(file: &File) -> io::Result<Vec<u8>> {
    descriptor(file, LABEL_SECURITY_INFORMATION)
}

fn descriptor(file: &File, what: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; 512];
    loop {
        let mut needed = 0;
        // SAFETY: the handle is open; at most the given length is written to `bytes`, and a number to `needed`.
        let result = done(unsafe {
            GetKernelObjectSecurity(
                file.as_raw_handle(),
                what,
                bytes.as_mut_ptr().cast(),
                bytes.len() as u32,
                &mut needed,
            )
        });
        match result {
            Ok(()) => return Ok(bytes),
            Err(error) if error.raw_os_error() == Some(ERROR_INSUFFICIENT_BUFFER as i32) => {
                // A list of access has at most 64 KiB.
                if needed as usize <= bytes.len() || needed > 1 << 17 {
                    return Err(error);
                }
                bytes.resize(needed as usize, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The path of an open file without links in it, in the form `\\?\C:\..`.
pub(crate) fn path(file: &File) -> io::Result<PathBuf> {
    let mut path = vec![0u16; LONGEST_PATH];
    // SAFETY: the handle is open, and at most the given number of units is written. No flag: a drive letter's path.
    let length =
        unsafe { GetFinalPathNameByHandleW(file.as_raw_handle(), path.as_mut_ptr(), LONGEST_PATH as u32, 0) };
    match path.get(..length as usize) {
        Some(path @ [_, ..]) => Ok(OsString::from_wide(path).into()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The volume, and the file's number on it.
pub(crate) fn identity(file: &File) -> io::Result<(u64, u128)> {
    let mut info = FILE_ID_INFO::default();
    // SAFETY: the handle is open, and `info` is what this class writes, of the size that is passed.
    done(unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileIdInfo,
            (&raw mut info).cast(),
            size_of::<FILE_ID_INFO>() as u32,
        )
    })?;
    Ok((info.VolumeSerialNumber, u128::from_le_bytes(info.FileId.Identifier)))
}

/// Gives a file another list of access.
#[cfg(test)]
pub(crate) fn set_security(path: &Path, security: &Descriptor) -> io::Result<()> {
    use windows_sys::Win32::Security::SetFileSecurityW;

    let path = wide(path.as_os_str())?;
    // SAFETY: the path ends with a zero; the descriptor is whole, aligned, and only read.
    done(unsafe {
        SetFileSecurityW(path.as_ptr(), DACL_SECURITY_INFORMATION, security.as_ptr().cast_mut().cast())
    })
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::LocalFree;
    use windows_sys::Win32::Security::Authorization::{
        ConvertSecurityDescriptorToStringSecurityDescriptorW,
        ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
    };

    use super::*;
    use crate::windows::user;

    /// How the system itself reads a descriptor, in its own language (SDDL).
    fn in_sddl(security: &Descriptor) -> String {
        let (mut text, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the descriptor is whole and aligned; a pointer and a number are written.
        done(unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                security.as_ptr().cast_mut().cast(),
                SDDL_REVISION_1,
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                &mut text,
                &mut length,
            )
        })
        .unwrap();
        // SAFETY: the call succeeded: as many units are there.
        let units = unsafe { std::slice::from_raw_parts(text, length as usize) };
        let read = OsString::from_wide(units).into_string().unwrap();
        // SAFETY: documented to be freed so; nothing points at it any more.
        unsafe { LocalFree(text.cast()) };
        read.trim_end_matches('\0').to_owned()
    }

    #[test]
    fn what_is_asked_for_is_the_user_alone_and_nothing_inherited() {
        let me = user::sid().unwrap();
        assert_eq!(in_sddl(&Descriptor::private(&me, false)), format!("O:{me}D:P(A;;FA;;;{me})"));
        for made in [Descriptor::private(&me, true), Descriptor::labelled(&me)] {
            assert_eq!(in_sddl(&made), format!("O:{me}D:P(A;OICI;FA;;;{me})"));
        }
    }

    /// What is said in its language, as the system itself writes it down.
    fn of_sddl(text: &str) -> Vec<u8> {
        let text = wide(std::ffi::OsStr::new(text)).unwrap();
        let (mut made, mut length) = (ptr::null_mut(), 0);
        // SAFETY: the text ends with a zero; a pointer and a number are written.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut made,
                &mut length,
            )
        })
        .unwrap();
        // SAFETY: the call succeeded: as many bytes are there.
        let bytes = unsafe { std::slice::from_raw_parts(made.cast::<u8>(), length as usize) }.to_vec();
        // SAFETY: documented to be freed so; nothing points at it any more.
        unsafe { LocalFree(made.cast()) };
        bytes
    }

    #[test]
    fn the_label_that_is_asked_for_is_the_one_of_the_documents() {
        let made = Descriptor::labelled(&user::sid().unwrap()).bytes();
        // Where the list is, how long it is.
        let list = |bytes: &[u8]| {
            let at = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
            let length = usize::from(u16::from_le_bytes([bytes[at + 2], bytes[at + 3]]));
            bytes[at..at + length].to_vec()
        };
        assert_eq!(list(&made), list(&of_sddl("S:(ML;OICI;NRNW;;;ME)")));
        assert_ne!(list(&made), list(&of_sddl("S:(ML;OICI;NW;;;ME)")));
    }

    #[test]
    fn what_an_open_file_is_can_be_read() {
        let top = tempfile::tempdir().unwrap();
        let (a, b) = (top.path().join("a"), top.path().join("b"));
        let security = Descriptor::private(&user::sid().unwrap(), false);
        let first = create_file(&a, &security).unwrap();
        let second = create_file(&b, &security).unwrap();
        assert_eq!(create_file(&a, &security).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(path(&first).unwrap(), a.canonicalize().unwrap());
        assert_eq!(identity(&first).unwrap(), identity(&File::open(&a).unwrap()).unwrap());
        assert_ne!(identity(&first).unwrap(), identity(&second).unwrap());
        assert!(wide(OsString::from_wide(&[97, 0, 97]).as_os_str()).is_err());
    }
}
