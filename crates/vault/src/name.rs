//! The two names a person gives: a secret's, and the variable that carries it into a program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret's name: 1 to 128 of `A-Z a-z 0-9 _ - . /`, no leading `-`, no `..` segment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

/// Why a text is not a secret's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Nothing between the quotes.
    #[error("a secret's name cannot be empty")]
    Empty,
    /// More than [`SecretName::MAX_LEN`] bytes.
    #[error("a secret's name has at most 128 characters, this one has {length}")]
    TooLong {
        /// Bytes of the refused text.
        length: usize,
    },
    /// A character outside the alphabet.
    #[error("{character:?} at place {place} cannot be in a secret's name (allowed: A-Z a-z 0-9 _ - . /)")]
    Character {
        /// The character.
        character: char,
        /// Its place, counted from 1.
        place: usize,
    },
    /// It would read as an option.
    #[error("a secret's name cannot begin with '-'")]
    LeadingDash,
    /// It would read as a way out of a directory.
    #[error("a secret's name cannot have '..' or an empty part between its slashes")]
    Segment,
}

impl SecretName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The variable that carries this secret when none was named: upper case, every other character `_`,
    /// with a `_` in front of a leading digit (`db/pass-word` becomes `DB_PASS_WORD`).
    pub fn variable(&self) -> Variable {
        let mut text: String = self
            .0
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            text.insert(0, '_');
        }
        Variable(text.into())
    }
}

impl FromStr for SecretName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        if let Some((place, character)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(InvalidName::Character { character, place: place + 1 });
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidName::TooLong { length: text.len() });
        }
        if text.starts_with('-') {
            return Err(InvalidName::LeadingDash);
        }
        if text.split('/').any(|segment| segment.is_empty() || segment == "..") {
            return Err(InvalidName::Segment);
        }
        Ok(Self(text.into()))
    }
}

/// The name of an environment variable: a letter or `_`, then letters, digits and `_`; at most 128 bytes
/// (IEEE Std 1003.1, "Environment Variables").
///
/// Whether it may carry a secret is the engine's question: `PATH` is a valid variable and a refused target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable(Box<str>);

/// The text is not the name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a variable's name (a letter or _, then letters, digits and _, at most 128)")]
pub struct InvalidVariable {
    text: String,
}

impl Variable {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Variable {
    type Err = InvalidVariable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let good = text.starts_with(first)
            && text.len() <= 128
            && text.chars().all(|c| first(c) || c.is_ascii_digit());
        if !good {
            return Err(InvalidVariable { text: text.chars().take(200).collect() });
        }
        Ok(Self(text.into()))
    }
}

/// Text and serde forms of a name that is checked whenever it is made.
macro_rules! checked_text {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_text!(SecretName);
checked_text!(Variable);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_alphabet_are_taken_up_to_their_limit() {
        for name in ["A", "aws/prod/key.id", "a-b_c.d", "...", ".a", &"x".repeat(128)] {
            assert_eq!(name.parse::<SecretName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_bad_name_is_told_which_character_stands_where() {
        let parse = |text: &str| text.parse::<SecretName>().unwrap_err();
        assert_eq!(parse(""), InvalidName::Empty);
        assert_eq!(parse("a b"), InvalidName::Character { character: ' ', place: 2 });
        assert_eq!(parse("né"), InvalidName::Character { character: 'é', place: 2 });
        assert_eq!(parse("a\u{202e}"), InvalidName::Character { character: '\u{202e}', place: 2 });
        assert_eq!(parse("-a"), InvalidName::LeadingDash);
        for text in ["..", "a/../b", "/a", "a/", "a//b"] {
            assert_eq!(parse(text), InvalidName::Segment, "{text}");
        }
        assert_eq!(parse(&"x".repeat(129)), InvalidName::TooLong { length: 129 });
    }

    #[test]
    fn the_default_variable_is_always_valid() {
        for (name, variable) in [("db/pass-word", "DB_PASS_WORD"), ("2fa.key", "_2FA_KEY"), ("...", "___")] {
            let made = name.parse::<SecretName>().unwrap().variable();
            assert_eq!(made.as_str(), variable);
            assert!(made.as_str().parse::<Variable>().is_ok());
        }
    }

    #[test]
    fn a_variable_with_an_equals_sign_or_a_nul_is_refused() {
        for text in ["", "1A", "A=B", "A\0", "A B", "Ä", &"A".repeat(129)] {
            assert!(text.parse::<Variable>().is_err(), "{text:?}");
        }
    }
}
