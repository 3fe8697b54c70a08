//! DPAPI: bytes that Windows encrypts for the user of this process (`CryptProtectData`).

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_FILE_NOT_FOUND, ERROR_INVALID_DATA, ERROR_INVALID_PARAMETER, ERROR_PATH_NOT_FOUND, LocalFree,
    NTE_BAD_DATA, NTE_BAD_KEY_STATE,
};
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData, CryptUnprotectData,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::done;

fn blob(bytes: &[u8]) -> CRYPT_INTEGER_BLOB {
    CRYPT_INTEGER_BLOB { cbData: bytes.len() as u32, pbData: bytes.as_ptr().cast_mut() }
}

/// Bytes that the system allocated: copied, zeroed and freed.
fn take(given: CRYPT_INTEGER_BLOB) -> Zeroizing<Vec<u8>> {
    if given.pbData.is_null() {
        return Zeroizing::default();
    }
    // SAFETY: the call that gave it succeeded: as many bytes are there, and they are ours alone.
    let bytes = unsafe { std::slice::from_raw_parts_mut(given.pbData, given.cbData as usize) };
    let copy = Zeroizing::new(bytes.to_vec());
    bytes.zeroize();
    // SAFETY: documented to be freed so; nothing points at it any more.
    unsafe { LocalFree(given.pbData.cast()) };
    copy
}

/// Encrypts for this user; `entropy` is needed again. Asks nobody anything.
pub(crate) fn protect(secret: &[u8], entropy: &[u8]) -> io::Result<Vec<u8>> {
    let (secret, entropy) = (blob(secret), blob(entropy));
    let mut sealed = CRYPT_INTEGER_BLOB::default();
    // SAFETY: the two blobs describe slices that live until the call returns and are only read; one is written.
    done(unsafe {
        CryptProtectData(
            &secret,
            ptr::null(),
            &entropy,
            ptr::null(),
            ptr::null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut sealed,
        )
    })?;
    Ok(take(sealed).to_vec())
}

/// Decrypts what [`protect`] gave; `None` for another user or machine, other entropy, or a changed bit, an error where
/// Windows could not tell.
pub(crate) fn unprotect(sealed: &[u8], entropy: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let (sealed, entropy) = (blob(sealed), blob(entropy));
    let mut secret = CRYPT_INTEGER_BLOB::default();
    // SAFETY: as in `protect`; no description is asked for.
    let result = done(unsafe {
        CryptUnprotectData(
            &sealed,
            ptr::null_mut(),
            &entropy,
            ptr::null(),
            ptr::null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut secret,
        )
    });
    match result {
        Ok(()) => Ok(Some(take(secret))),
        Err(error) if error.raw_os_error().is_some_and(is_not_ours) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a code says that the blob is not this user's, or not whole: there is no master key of its name, or it does
/// not fit. What the system says otherwise (no service, no memory, no network to a domain) tells nothing of the blob.
fn is_not_ours(code: i32) -> bool {
    let codes = [ERROR_INVALID_DATA, ERROR_INVALID_PARAMETER, ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND];
    codes.iter().any(|other| *other as i32 == code) || [NTE_BAD_KEY_STATE, NTE_BAD_DATA].contains(&code)
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Foundation::ERROR_NOT_ENOUGH_MEMORY;

    use super::*;

    #[test]
    fn a_service_that_does_not_answer_says_nothing_of_whose_a_blob_is() {
        // No server, and a server without this interface (RPC_S_SERVER_UNAVAILABLE, RPC_S_UNKNOWN_IF).
        for code in [1722, 1717, ERROR_NOT_ENOUGH_MEMORY] {
            assert!(!is_not_ours(code as i32), "{code}");
        }
        for code in [ERROR_INVALID_DATA as i32, NTE_BAD_KEY_STATE] {
            assert!(is_not_ours(code), "{code}");
        }
    }

    #[test]
    fn what_is_no_blob_is_nobodys() {
        for bytes in [&[] as &[u8], &[0; 300], b"not a blob"] {
            assert!(unprotect(bytes, b"").unwrap().is_none(), "{bytes:?}");
        }
    }
}
