//! One injective encoding for everything that is hashed, MACed or bound as associated data.
//!
//! A transcript is a label and then fields; each is written as its length (8 bytes, big-endian) and its bytes.
//! Two different lists of fields never give the same bytes, and two purposes never share a label.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::keys::SubKey;

/// A label and its fields.
#[derive(Clone)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    /// Begins with a label that says what the bytes are for.
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::with_capacity(256)).text("envseal/1").text(label)
    }

    /// Adds a field of bytes.
    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Adds a field of text.
    pub(crate) fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a number.
    pub(crate) fn number(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// Adds a number that may be negative.
    pub(crate) fn signed(self, field: i64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// The encoded bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the encoded bytes.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// HMAC-SHA256 (RFC 2104) of the encoded bytes.
    pub(crate) fn mac(&self, key: &SubKey) -> [u8; 32] {
        self.hmac(key).finalize().into_bytes().into()
    }

    /// Whether `mac` is the one of these bytes, in constant time.
    pub(crate) fn has_mac(&self, key: &SubKey, mac: &[u8]) -> bool {
        self.hmac(key).verify_slice(mac).is_ok()
    }

    fn hmac(&self, key: &SubKey) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_slice()) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(&self.0);
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(fields: &[Vec<u8>]) -> Vec<u8> {
        fields.iter().fold(Transcript::new("test"), |so_far, field| so_far.bytes(field)).as_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn two_lists_of_fields_never_share_their_bytes(
            a in prop::collection::vec(prop::collection::vec(0u8..3, 0..9), 0..5),
            b in prop::collection::vec(prop::collection::vec(0u8..3, 0..9), 0..5),
        ) {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }

        #[test]
        fn moving_a_border_changes_the_bytes(field in prop::collection::vec(any::<u8>(), 1..40), at in 0usize..40) {
            let at = at.min(field.len());
            let (left, right) = field.split_at(at);
            prop_assert_ne!(encode(std::slice::from_ref(&field)), encode(&[left.to_vec(), right.to_vec()]));
        }
    }

    #[test]
    fn a_label_is_part_of_the_bytes() {
        assert_ne!(Transcript::new("a").text("b").sha256(), Transcript::new("b").text("a").sha256());
    }
}
