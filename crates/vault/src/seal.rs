//! Sealing to the vault's public key: HPKE base mode, one message (RFC 9180).
//!
//! Whoever knows the public key can seal; only the unlocked vault opens. The suite's number is stored with each
//! sealed value, so that another can follow.

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use crate::encode::Transcript;
use crate::keys::{SubKey, VaultId};
use crate::memory::Locked;
use crate::{SecretBytes, VaultError};

type Kem = X25519HkdfSha256;

/// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305: the three registered numbers (RFC 9180, section 7),
/// 16 bits each.
pub(crate) const SUITE: i64 = 0x0020_0001_0003;
const TAG: usize = 16;

/// A value sealed to the vault.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) suite: i64,
    pub(crate) enc: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// A new key pair: private and public.
pub(crate) fn key_pair() -> Result<(SubKey, [u8; 32]), VaultError> {
    let mut seed = Zeroizing::new([0; 32]);
    crate::keys::fill(seed.as_mut())?;
    let (private, public) = Kem::derive_keypair(seed.as_slice());
    let mut bytes = Zeroizing::new([0; 32]);
    private.write_exact(bytes.as_mut_slice());
    Ok((bytes, public.to_bytes().into()))
}

/// The public key of a private one; `None` when the bytes are no key.
pub(crate) fn public_key(private: &SubKey) -> Option<[u8; 32]> {
    let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(private.as_slice()).ok()?;
    Some(Kem::sk_to_pk(&private).to_bytes().into())
}

fn info(id: VaultId) -> Transcript {
    Transcript::new("sealed value").bytes(&id.0)
}

/// Seals `value` to `public`, bound to the vault and to `bound`.
pub(crate) fn seal(
    id: VaultId,
    public: &[u8; 32],
    bound: &Transcript,
    value: &SecretBytes,
) -> Result<Sealed, VaultError> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(public).map_err(|_| VaultError::PublicKey)?;
    let (enc, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &public,
        info(id).as_bytes(),
        value.expose(),
        bound.as_bytes(),
    )
    .map_err(|_| VaultError::Sealing)?;
    Ok(Sealed { suite: SUITE, enc: enc.to_bytes().to_vec(), ciphertext })
}

/// Opens a sealed value straight into locked memory; `None` when anything does not fit.
pub(crate) fn open(
    id: VaultId,
    private: &SubKey,
    bound: &Transcript,
    sealed: &Sealed,
) -> Option<SecretBytes> {
    if sealed.suite != SUITE {
        return None;
    }
    let private = <Kem as hpke::Kem>::PrivateKey::from_bytes(private.as_slice()).ok()?;
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&sealed.enc).ok()?;
    let (body, tag) = sealed.ciphertext.split_at_checked(sealed.ciphertext.len().checked_sub(TAG)?)?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag).ok()?;
    let mut pages = Locked::copy_of(body).ok()?;
    hpke::single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &enc,
        info(id).as_bytes(),
        pages.as_mut().into(),
        bound.as_bytes(),
        &tag,
    )
    .ok()?;
    SecretBytes::from_pages(pages).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_vault_under_its_binding() {
        let (private, public) = key_pair().unwrap();
        let (id, bound) = (VaultId([1; 16]), Transcript::new("test").text("NAME"));
        assert_eq!(public_key(&private).unwrap(), public);
        for len in [1, 100, SecretBytes::MAX_LEN] {
            let value = SecretBytes::new(vec![0x5a; len]).unwrap();
            let sealed = seal(id, &public, &bound, &value).unwrap();
            assert_eq!(open(id, &private, &bound, &sealed).unwrap().expose(), value.expose());
            assert!(open(VaultId([2; 16]), &private, &bound, &sealed).is_none());
            assert!(open(id, &private, &Transcript::new("test").text("OTHER"), &sealed).is_none());
            assert!(open(id, &key_pair().unwrap().0, &bound, &sealed).is_none());
        }
    }

    #[test]
    fn no_bytes_make_the_opening_panic() {
        let (private, public) = key_pair().unwrap();
        let (id, bound) = (VaultId([1; 16]), Transcript::new("test"));
        let good = seal(id, &public, &bound, &SecretBytes::new(vec![1; 9]).unwrap()).unwrap();
        for len in 0..40 {
            let cut = |bytes: &[u8]| bytes[..len.min(bytes.len() - 1)].to_vec();
            assert!(open(id, &private, &bound, &Sealed { enc: cut(&good.enc), ..good.clone() }).is_none());
            assert!(
                open(id, &private, &bound, &Sealed { ciphertext: cut(&good.ciphertext), ..good.clone() })
                    .is_none()
            );
        }
        assert!(open(id, &private, &bound, &Sealed { suite: 0, ..good }).is_none());
    }
}
