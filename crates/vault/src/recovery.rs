//! The recovery code: 160 random bits that a person writes on paper and types in years later.
//!
//! Crockford's base 32 (<https://www.crockford.com/base32.html>) in groups of four, with his check symbol
//! (modulo 37), which finds every single wrong character and every swap of two neighbours.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::VaultError;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECKS: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
const BYTES: usize = 20;
const SYMBOLS: usize = 32;

/// A recovery code. It opens the vault as the passphrase does.
pub struct RecoveryCode {
    bytes: Zeroizing<[u8; BYTES]>,
    text: Zeroizing<String>,
}

/// Why a text is not a recovery code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecoveryCode {
    /// Too few or too many characters.
    #[error("a recovery code has 33 letters and digits besides its dashes, this one has {found}")]
    Length {
        /// Characters found, dashes and spaces not counted.
        found: usize,
    },
    /// A character that no code has.
    #[error("the character at place {place} cannot be in a recovery code")]
    Character {
        /// Its place, counted from 1, dashes and spaces not counted.
        place: usize,
    },
    /// The check symbol does not fit: something was mistyped.
    #[error("the recovery code's last character does not fit the others: one was mistyped")]
    Check,
}

impl RecoveryCode {
    /// A new random code.
    pub(crate) fn generate() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        crate::keys::fill(bytes.as_mut())?;
        Ok(Self::from_bytes(bytes))
    }

    fn from_bytes(bytes: Zeroizing<[u8; BYTES]>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(42));
        for place in 0..SYMBOLS {
            text.push(char::from(ALPHABET[usize::from(symbol(&bytes, place))]));
            if place % 4 == 3 {
                text.push('-');
            }
        }
        text.push(char::from(CHECKS[check(&bytes)]));
        Self { bytes, text }
    }

    /// The code as it is shown, once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// The five bits at a place.
fn symbol(bytes: &[u8; BYTES], place: usize) -> u8 {
    let bit = place * 5;
    let pair = u16::from(bytes[bit / 8]) << 8 | u16::from(bytes.get(bit / 8 + 1).copied().unwrap_or(0));
    (pair >> (11 - bit % 8) & 31) as u8
}

/// The whole number modulo 37.
fn check(bytes: &[u8; BYTES]) -> usize {
    bytes.iter().fold(0, |so_far, byte| (so_far * 256 + usize::from(*byte)) % 37)
}

/// What a typed character stands for: letters that look like digits are those digits.
fn meant(character: char) -> u8 {
    match character.to_ascii_uppercase() {
        'O' => b'0',
        'I' | 'L' => b'1',
        other if other.is_ascii() => other as u8,
        _ => 0,
    }
}

impl FromStr for RecoveryCode {
    type Err = InvalidRecoveryCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut typed = Zeroizing::new(Vec::with_capacity(text.len()));
        typed.extend(text.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(meant));
        if typed.len() != SYMBOLS + 1 {
            return Err(InvalidRecoveryCode::Length { found: typed.len() });
        }
        let mut bytes = Zeroizing::new([0u8; BYTES]);
        for (place, character) in typed[..SYMBOLS].iter().enumerate() {
            let value = ALPHABET.iter().position(|known| known == character);
            let value = value.ok_or(InvalidRecoveryCode::Character { place: place + 1 })?;
            for bit in (0..5).filter(|bit| value >> (4 - bit) & 1 == 1) {
                let at = place * 5 + bit;
                bytes[at / 8] |= 0x80 >> (at % 8);
            }
        }
        if CHECKS[check(&bytes)] != typed[SYMBOLS] {
            return Err(InvalidRecoveryCode::Check);
        }
        Ok(Self::from_bytes(bytes))
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_is_read_however_it_is_typed(bytes: [u8; BYTES]) {
            let code = RecoveryCode::from_bytes(Zeroizing::new(bytes));
            let shown = code.expose();
            prop_assert_eq!(shown.len(), 41);
            let bare = shown.replace('-', "").to_lowercase();
            let mistaken = shown.replace('0', "o").replace('1', "l").replace('-', " ");
            for text in [shown, &bare, &mistaken] {
                let read: RecoveryCode = text.parse().unwrap();
                prop_assert_eq!(read.as_bytes(), bytes);
            }
        }

        #[test]
        fn one_wrong_character_is_noticed(bytes: [u8; BYTES], place in 0usize..32, other in 0usize..32) {
            let shown = RecoveryCode::from_bytes(Zeroizing::new(bytes)).expose().replace('-', "");
            let mut typed = shown.clone().into_bytes();
            typed[place] = ALPHABET[other];
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(typed.parse::<RecoveryCode>().is_ok(), typed == shown);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<RecoveryCode>();
        }
    }

    #[test]
    fn a_code_is_not_in_its_debug_text() {
        assert_eq!(format!("{:?}", RecoveryCode::generate().unwrap()), "RecoveryCode(..)");
    }
}
