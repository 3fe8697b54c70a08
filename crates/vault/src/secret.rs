//! Values and passphrases: bytes that nobody prints.

use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

use crate::memory::Locked;

/// A secret's value: 1 byte to 1 MiB, in locked memory, zeroed when dropped.
///
/// It has no textual form, is not cloned and not serialised; [`SecretBytes::expose`] is the one way to the bytes.
/// Its pages are not in a forked child (`MADV_DONTFORK`): what a child needs is copied before the fork.
pub struct SecretBytes(Locked);

/// Why bytes are not a secret's value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    /// Nothing.
    #[error("a secret's value cannot be empty")]
    Empty,
    /// More than [`SecretBytes::MAX_LEN`].
    #[error("a secret's value has at most 1 MiB (1048576 bytes), this one has {length}")]
    TooLong {
        /// Bytes of the refused value.
        length: usize,
    },
    /// No memory for it.
    #[error("no memory for a secret's value: {0}")]
    Memory(std::io::Error),
}

impl SecretBytes {
    /// The longest value, in bytes: 1 MiB.
    pub const MAX_LEN: usize = 1 << 20;

    /// Takes the bytes into locked memory and zeroes where they came from.
    pub fn new(bytes: Vec<u8>) -> Result<Self, InvalidValue> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            0 => Err(InvalidValue::Empty),
            1..=Self::MAX_LEN => Locked::copy_of(&bytes).map(Self).map_err(InvalidValue::Memory),
            length => Err(InvalidValue::TooLong { length }),
        }
    }

    /// Takes pages that hold a value already.
    pub(crate) fn from_pages(pages: Locked) -> Result<Self, InvalidValue> {
        match pages.as_ref().len() {
            0 => Err(InvalidValue::Empty),
            1..=Self::MAX_LEN => Ok(Self(pages)),
            length => Err(InvalidValue::TooLong { length }),
        }
    }

    /// The bytes, for the one who delivers them.
    pub fn expose(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// A passphrase, any bytes; zeroed when dropped.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the bytes of a passphrase.
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(bytes.into())
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Passphrase {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_byte_to_one_mebibyte() {
        assert!(matches!(SecretBytes::new(vec![]), Err(InvalidValue::Empty)));
        assert_eq!(SecretBytes::new(vec![7]).unwrap().expose(), [7]);
        assert_eq!(SecretBytes::new(vec![7; 1 << 20]).unwrap().expose().len(), 1 << 20);
        assert!(matches!(
            SecretBytes::new(vec![7; (1 << 20) + 1]),
            Err(InvalidValue::TooLong { length: 1_048_577 })
        ));
    }

    #[test]
    fn nothing_of_a_value_is_in_its_debug_text() {
        assert_eq!(format!("{:?}", SecretBytes::new(b"canary".to_vec()).unwrap()), "SecretBytes(..)");
        assert_eq!(format!("{:?}", Passphrase::from("canary")), "Passphrase(..)");
    }
}
