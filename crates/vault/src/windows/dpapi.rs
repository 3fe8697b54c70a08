//! DPAPI: bytes that Windows encrypts for the user of this process (`CryptProtectData`).

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
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

/// Decrypts what [`protect`] gave; an error for another user, other entropy, or a changed bit.
pub(crate) fn unprotect(sealed: &[u8], entropy: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let (sealed, entropy) = (blob(sealed), blob(entropy));
    let mut secret = CRYPT_INTEGER_BLOB::default();
    // SAFETY: as in `protect`; no description is asked for.
    done(unsafe {
        CryptUnprotectData(
            &sealed,
            ptr::null_mut(),
            &entropy,
            ptr::null(),
            ptr::null(),
            CRYPTPROTECT_UI_FORBIDDEN,
            &mut secret,
        )
    })?;
    Ok(take(secret))
}
