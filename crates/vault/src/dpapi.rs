//! The part of a key slot that Windows keeps for one of its users: 32 random bytes under DPAPI.
//!
//! The blob lies in the slot's parameters. The slot's context goes in as the entropy that DPAPI asks for again, so that
//! a blob opens in its own slot only. On other systems a slot of this kind is read and listed, and opens for nobody.

use zeroize::Zeroizing;

use crate::VaultError;
use crate::encode::Transcript;
use crate::keys::{self, SubKey, VaultId};

/// The longest blob that is read, in bytes. DPAPI's of 32 bytes has some 250.
pub(crate) const LONGEST_BLOB: usize = 4096;

/// Draws the bytes, and gives the blob that holds them for this user. It is opened once before it is called good.
pub(crate) fn seal(vault: VaultId, salt: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut secret = SubKey::default();
    keys::fill(secret.as_mut())?;
    let blob = system::protect(secret.as_slice(), &entropy(vault, salt))?;
    match open(vault, salt, &blob)? {
        Some(opened) if opened == secret && blob.len() <= LONGEST_BLOB => Ok(blob),
        _ => Err(VaultError::Dpapi("what it gave does not open again".into())),
    }
}

/// How a blob is opened: by vault, salt and blob.
pub(crate) type Open = fn(VaultId, &[u8], &[u8]) -> Result<Option<SubKey>, VaultError>;

/// Opens a blob; `None` when it is another user's, another machine's, another slot's, or changed. An error when Windows
/// says something else, as it may of a changed one too.
pub(crate) fn open(vault: VaultId, salt: &[u8], blob: &[u8]) -> Result<Option<SubKey>, VaultError> {
    let opened = system::unprotect(blob, &entropy(vault, salt))?;
    Ok(opened.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()).map(Zeroizing::new))
}

fn entropy(vault: VaultId, salt: &[u8]) -> [u8; 32] {
    Transcript::new("dpapi entropy").bytes(&vault.0).bytes(salt).sha256()
}

#[cfg(windows)]
mod system {
    use zeroize::Zeroizing;

    use crate::VaultError;
    use crate::windows::dpapi;

    pub(super) fn protect(secret: &[u8], entropy: &[u8]) -> Result<Vec<u8>, VaultError> {
        dpapi::protect(secret, entropy).map_err(|error| VaultError::Dpapi(error.to_string()))
    }

    pub(super) fn unprotect(blob: &[u8], entropy: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        dpapi::unprotect(blob, entropy).map_err(|error| VaultError::Dpapi(error.to_string()))
    }
}

#[cfg(not(windows))]
mod system {
    use zeroize::Zeroizing;

    use crate::VaultError;

    pub(super) fn protect(_secret: &[u8], _entropy: &[u8]) -> Result<Vec<u8>, VaultError> {
        Err(VaultError::OnlyOnWindows)
    }

    pub(super) fn unprotect(_: &[u8], _: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Err(VaultError::OnlyOnWindows)
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    const VAULT: VaultId = VaultId([3; 16]);
    const SALT: [u8; 32] = [4; 32];

    #[test]
    fn a_blob_opens_with_its_own_context_only() {
        let blob = seal(VAULT, &SALT).unwrap();
        assert!(open(VAULT, &SALT, &blob).unwrap().is_some());
        assert!(open(VaultId([5; 16]), &SALT, &blob).unwrap().is_none());
        assert!(open(VAULT, &[5; 32], &blob).unwrap().is_none());
    }

    #[test]
    fn two_blobs_hold_different_bytes() {
        let (a, b) = (seal(VAULT, &SALT).unwrap(), seal(VAULT, &SALT).unwrap());
        assert_ne!(open(VAULT, &SALT, &a).unwrap(), open(VAULT, &SALT, &b).unwrap());
    }

    #[test]
    fn a_cut_blob_opens_nothing_and_a_changed_one_not_the_secret() {
        let blob = seal(VAULT, &SALT).unwrap();
        let secret = open(VAULT, &SALT, &blob).unwrap();
        for at in 0..blob.len() {
            assert!(!matches!(open(VAULT, &SALT, &blob[..at]), Ok(Some(_))), "cut at {at}");
            let mut changed = blob.clone();
            changed[at] ^= 1;
            // Some bytes are a text for a person, which nobody authenticates; what counts is that nothing else opens.
            match open(VAULT, &SALT, &changed) {
                Ok(opened) => assert!(opened.is_none() || opened == secret, "byte {at}"),
                Err(error) => assert!(matches!(error, VaultError::Dpapi(_)), "byte {at}: {error}"),
            }
        }
    }
}
