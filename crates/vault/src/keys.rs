//! The vault key, the keys derived from it, and wrapping under them.
//!
//! Derivation is HKDF-SHA256 (RFC 5869) with the vault's id as salt and a label as info; wrapping is
//! XChaCha20-Poly1305 with a random 24-byte nonce in front of the ciphertext.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::VaultError;
use crate::encode::Transcript;
use crate::memory::Locked;

/// A derived key of 256 bits, zeroed when dropped.
pub(crate) type SubKey = Zeroizing<[u8; 32]>;

const NONCE: usize = 24;

/// Labels of the keys that are derived from the vault key. Each key has one purpose.
pub(crate) mod purpose {
    pub(crate) const ENTRY_MAC: &str = "entry mac";
    pub(crate) const GRANT_MAC: &str = "grant mac";
    pub(crate) const MANIFEST_MAC: &str = "manifest mac";
    pub(crate) const WITNESS_MAC: &str = "witness mac";
    pub(crate) const PRIVATE_KEY: &str = "private key wrap";
    pub(crate) const LOG_KEY: &str = "log key wrap";
    pub(crate) const BACKUP: &str = "backup";
}

/// A vault's identity: 128 random bits, in hexadecimal when shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VaultId(pub(crate) [u8; 16]);

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for VaultId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|error| VaultError::Random(error.to_string()))
}

/// An array of random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// The 256-bit key that everything in the vault hangs on, in locked memory.
pub(crate) struct VaultKey {
    pages: Locked,
    id: VaultId,
}

impl VaultKey {
    /// A new random key.
    pub(crate) fn generate(id: VaultId) -> Result<Self, VaultError> {
        let mut pages = Locked::zeroed(32).map_err(VaultError::Memory)?;
        fill(pages.as_mut())?;
        Ok(Self { pages, id })
    }

    /// A key that was wrapped.
    pub(crate) fn from_bytes(bytes: &[u8], id: VaultId) -> Result<Self, VaultError> {
        let pages = Locked::copy_of(bytes).map_err(VaultError::Memory)?;
        Ok(Self { pages, id })
    }

    /// Its bytes, to be wrapped.
    pub(crate) fn expose(&self) -> &[u8] {
        self.pages.as_ref()
    }

    /// Whether it can never be swapped out.
    pub(crate) const fn is_locked(&self) -> bool {
        self.pages.is_locked()
    }

    /// The vault that it belongs to.
    pub(crate) const fn id(&self) -> VaultId {
        self.id
    }

    /// The key of one purpose.
    pub(crate) fn sub(&self, purpose: &str) -> SubKey {
        derive(&self.id.0, self.pages.as_ref(), &Transcript::new(purpose))
    }

    /// The key of one purpose and one use, told apart by a random salt.
    pub(crate) fn sub_salted(&self, purpose: &str, salt: &[u8]) -> SubKey {
        derive(&self.id.0, self.pages.as_ref(), &Transcript::new(purpose).bytes(salt))
    }
}

/// HKDF-SHA256 to 32 bytes.
pub(crate) fn derive(salt: &[u8], key: &[u8], info: &Transcript) -> SubKey {
    let mut out = Zeroizing::new([0; 32]);
    let Ok(()) = Hkdf::<Sha256>::new(Some(salt), key).expand(info.as_bytes(), out.as_mut()) else {
        unreachable!("HKDF-SHA256 gives up to 8160 bytes")
    };
    out
}

/// Encrypts `plain` under `key`, bound to `bound`.
pub(crate) fn wrap(key: &SubKey, bound: &Transcript, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let nonce: [u8; NONCE] = random()?;
    let payload = Payload { msg: plain, aad: bound.as_bytes() };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Sealing)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`wrap`] made; `None` when the key, the binding or a bit is another.
pub(crate) fn unwrap(key: &SubKey, bound: &Transcript, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>()?;
    let payload = Payload { msg: sealed, aad: bound.as_bytes() };
    let cipher = XChaCha20Poly1305::new((&**key).into());
    cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

/// Opens what [`wrap`] made of a key.
pub(crate) fn unwrap_key(key: &SubKey, bound: &Transcript, wrapped: &[u8]) -> Option<SubKey> {
    let plain = unwrap(key, bound, wrapped)?;
    let mut out = Zeroizing::new([0; 32]);
    (plain.len() == 32).then(|| out.copy_from_slice(&plain))?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_opens_only_with_its_key_and_its_binding() {
        let (key, other) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let bound = Transcript::new("test").text("a");
        let wrapped = wrap(&key, &bound, b"plain").unwrap();
        assert_eq!(*unwrap(&key, &bound, &wrapped).unwrap(), b"plain");
        assert!(unwrap(&other, &bound, &wrapped).is_none());
        assert!(unwrap(&key, &Transcript::new("test").text("b"), &wrapped).is_none());
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(unwrap(&key, &bound, &changed).is_none(), "byte {at}");
            assert!(unwrap(&key, &bound, &wrapped[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let key = VaultKey::generate(VaultId([7; 16])).unwrap();
        assert_ne!(*key.sub(purpose::ENTRY_MAC), *key.sub(purpose::GRANT_MAC));
        let moved = VaultKey::from_bytes(key.expose(), VaultId([8; 16])).unwrap();
        assert_ne!(*key.sub(purpose::ENTRY_MAC), *moved.sub(purpose::ENTRY_MAC));
    }

    /// RFC 5869, test case 1, first 32 bytes: the derivation is HKDF-SHA256 and nothing else.
    #[test]
    fn derivation_is_hkdf_sha256() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut out = [0; 32];
        Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut out).unwrap();
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    }
}
