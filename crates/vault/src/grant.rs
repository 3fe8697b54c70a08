//! A grant: these secrets, to this program, in this way, until then.
//!
//! Plain data. The engine decides with it; the vault stores it as JSON under a MAC.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::confinement::is_default;
use crate::{Confinement, Digest, EngineName, InvalidName, SecretName, Variable};

/// A grant's number within its vault, as `grants list` shows it. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(pub u64);

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for GrantId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim_start_matches('#').parse().map(Self)
    }
}

/// What a person allowed or denied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Allow, or deny (a deny that matches always wins).
    pub effect: Effect,
    /// The secrets, each with the variable that carries it.
    pub secrets: Vec<SecretRule>,
    /// The executed file: canonical path and digest.
    pub program: FileRule,
    /// The path it was called by, its directory canonical: what a multi-call program does, and where an interpreter
    /// looks for its own files, goes by this. `None` is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<OsText>,
    /// The script was called, and its `#!` line named the program.
    #[serde(default)]
    pub shebang: bool,
    /// For an interpreter, the script it runs. `None` with an interpreter means arbitrary code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<FileRule>,
    /// The path by which the interpreter is given the script, its directory canonical: scripts look for their own files
    /// beside it, and some act by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_as: Option<OsText>,
    /// Further files whose digests must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<FileRule>,
    /// The arguments after the program's name.
    pub args: ArgsRule,
    /// The working directory that is asked for, any when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "os_path::option")]
    pub cwd: Option<PathBuf>,
    /// Who may ask.
    #[serde(default)]
    pub caller: CallerRule,
    /// The least tier; a run asks for the same or more.
    pub tier: TierName,
    /// What it says of the sandbox beside the tier.
    #[serde(default, skip_serializing_if = "is_default")]
    pub confinement: Confinement,
    /// How the secrets reach the program.
    pub deliver: Delivery,
    /// Output goes out unmasked.
    #[serde(default)]
    pub raw: bool,
    /// Further variables that may pass from the caller's environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass: Vec<Variable>,
    /// Variables whose values were fixed when the owner approved (`PATH`, `HOME`): a caller cannot move them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<Variable, OsText>,
    /// When it was given, seconds since 1970.
    pub created: u64,
    /// When it ends, seconds since 1970; `None` is forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Runs still allowed; `None` is any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// Allow or deny.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The program may have the secrets.
    Allow,
    /// The program must not have the secrets, whatever else allows it.
    Deny,
}

/// One secret (or all under a prefix) and the variable that carries it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// A name, or `prefix/*`.
    pub name: NamePattern,
    /// The variable; `None` is the secret's default one ([`SecretName::variable`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<Variable>,
}

/// A secret's name, or every name under a prefix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamePattern {
    /// This name.
    Exact(SecretName),
    /// Every name that begins with this one and a slash.
    Under(SecretName),
}

impl NamePattern {
    /// Whether the pattern covers `name`.
    pub fn matches(&self, name: &SecretName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Under(prefix) => {
                name.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Under(prefix) => write!(f, "{prefix}/*"),
        }
    }
}

impl FromStr for NamePattern {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix("/*") {
            Some(prefix) => prefix.parse().map(Self::Under),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

/// A file known by its canonical path and its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRule {
    /// Canonical path.
    #[serde(with = "os_path")]
    pub path: PathBuf,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// Which arguments a grant covers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArgsRule {
    /// Exactly these, in this order.
    Exact(Vec<OsText>),
    /// These first, then any.
    Prefix(Vec<OsText>),
    /// Any.
    Any,
}

/// Who may ask for the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerRule {
    /// Any process of the user.
    #[default]
    Any,
    /// A process with a controlling terminal.
    Terminal,
    /// A process inside a shield.
    Shielded,
}

/// A sandbox tier by name; what it enforces is the sandbox's matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TierName {
    /// A plain process with the base guarantees.
    None,
    /// Cannot reach other processes, the vault, or agents.
    Hardened,
    /// One process, no network, reads and writes only what it needs.
    Lockdown,
}

/// How a secret reaches the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// An environment variable holds the value.
    Env,
    /// The value is the program's standard input.
    Stdin,
    /// A sealed memory file; its descriptor's number is in `NAME_FD`.
    Fd,
    /// A file on a private path; the path is in `NAME_FILE`.
    File,
}

/// Shown and parsed by the same lower-case word that is stored.
macro_rules! worded {
    ($type:ident { $($variant:ident => $word:literal),+ }) => {
        impl $type {
            /// Every word, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", Self::WORDS.join(", "))),
                }
            }
        }
    };
}

worded!(Effect { Allow => "allow", Deny => "deny" });
worded!(CallerRule { Any => "any", Terminal => "terminal", Shielded => "shielded" });
worded!(TierName { None => "none", Hardened => "hardened", Lockdown => "lockdown" });
worded!(EngineName { Private => "private", Namespaces => "namespaces" });
worded!(Delivery { Env => "env", Stdin => "stdin", Fd => "fd", File => "file" });

pub use os_text::OsText;

/// Operating-system text that survives JSON: UTF-8 as a string, anything else as its bytes.
mod os_text {
    use std::ffi::{OsStr, OsString};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// An argument or value from the operating system, any bytes.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct OsText(pub OsString);

    impl OsText {
        /// The text for the operating system.
        pub fn as_os_str(&self) -> &OsStr {
            &self.0
        }
    }

    impl<T: Into<OsString>> From<T> for OsText {
        fn from(text: T) -> Self {
            Self(text.into())
        }
    }

    /// UTF-8 where it is; else the bytes of Unix, or the 16-bit units of Windows.
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Encoded(Vec<u8>),
        Wide { wide: Vec<u16> },
    }

    #[cfg(unix)]
    fn encode(text: &OsStr) -> Form {
        Form::Encoded(std::os::unix::ffi::OsStrExt::as_bytes(text).to_vec())
    }

    #[cfg(windows)]
    fn encode(text: &OsStr) -> Form {
        Form::Wide { wide: std::os::windows::ffi::OsStrExt::encode_wide(text).collect() }
    }

    /// The text of a form of this system's.
    fn decode(form: Form) -> Option<OsString> {
        match form {
            Form::Text(text) => Some(text.into()),
            #[cfg(unix)]
            Form::Encoded(bytes) => Some(std::os::unix::ffi::OsStringExt::from_vec(bytes)),
            #[cfg(windows)]
            Form::Wide { wide } => Some(std::os::windows::ffi::OsStringExt::from_wide(&wide)),
            _ => None,
        }
    }

    impl Serialize for OsText {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0.to_str() {
                Some(text) => Form::Text(text.to_owned()),
                None => encode(&self.0),
            }
            .serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for OsText {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = decode(Form::deserialize(deserializer)?);
            text.map(Self).ok_or_else(|| serde::de::Error::custom("a text of another operating system"))
        }
    }
}

/// Paths in JSON, by way of [`OsText`].
pub(crate) mod os_path {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::OsText;

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        OsText::from(path).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        OsText::deserialize(deserializer).map(|text| PathBuf::from(text.0))
    }

    pub mod option {
        use super::*;

        pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
            path.as_ref().map(OsText::from).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
            Ok(Option::<OsText>::deserialize(deserializer)?.map(|text| PathBuf::from(text.0)))
        }
    }

    pub mod list {
        use super::*;

        pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(paths.iter().map(OsText::from))
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
            Ok(Vec::<OsText>::deserialize(deserializer)?
                .into_iter()
                .map(|text| PathBuf::from(text.0))
                .collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_is_under_it_and_nothing_beside_it() {
        let pattern: NamePattern = "aws/*".parse().unwrap();
        let covers = |name: &str| pattern.matches(&name.parse().unwrap());
        assert!(covers("aws/key") && covers("aws/prod/key"));
        assert!(!covers("aws") && !covers("awsx/key"));
        assert!("/*".parse::<NamePattern>().is_err() && "*".parse::<NamePattern>().is_err());
    }

    #[cfg(unix)]
    #[test]
    fn arguments_that_are_not_utf8_survive_json() {
        use std::os::unix::ffi::OsStringExt;
        for bytes in [b"plain".to_vec(), vec![0xff, b'a', 0xc3], vec![]] {
            let text = OsText(std::ffi::OsString::from_vec(bytes));
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<OsText>(&json).unwrap(), text);
        }
    }

    #[cfg(windows)]
    #[test]
    fn arguments_that_are_not_unicode_survive_json() {
        use std::os::windows::ffi::OsStringExt;
        for units in [vec![0x61], vec![0xd800, 0x61], vec![0xdc00], vec![]] {
            let text = OsText(std::ffi::OsString::from_wide(&units));
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(serde_json::from_str::<OsText>(&json).unwrap(), text);
        }
    }

    #[test]
    fn a_text_of_another_operating_system_is_refused() {
        let foreign = if cfg!(windows) { "[255,97]" } else { r#"{"wide":[55296]}"# };
        assert!(serde_json::from_str::<OsText>(foreign).is_err());
    }
}
