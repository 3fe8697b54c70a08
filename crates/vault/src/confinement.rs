//! What a grant says of the sandbox beside the tier: by which means, what need not hold, what may be reached.
//!
//! Names only; what they mean is the sandbox's matter. A caller may be an agent, so only a grant widens any of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::grant::os_path;

/// What the owner said of the sandbox beside the tier. By default: the usual means, and nothing let go of or added.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// By which means the tier is held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engine: EngineName,
    /// The guarantees that need not hold.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub weaker: BTreeSet<GuaranteeName>,
    /// Files and trees that can be read in `Lockdown`; canonical.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "os_path::list")]
    pub reads: Vec<PathBuf>,
    /// Files and trees that can be read and changed in `Lockdown`; canonical.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "os_path::list")]
    pub writes: Vec<PathBuf>,
    /// Sockets that can be connected to from `Hardened` on, whoever listens there; canonical.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "os_path::list")]
    pub sockets: Vec<PathBuf>,
}

/// Whether it is the default, which is not stored.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// By which means a tier is held, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// Without a user namespace.
    #[default]
    Private,
    /// In namespaces of its own.
    Namespaces,
}

/// A guarantee by its id: `N1` to `N6`, `H1` to `H3`, `L1` to `L6`. In the order of the tiers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuaranteeName(u8);

/// A text that is no guarantee's id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no guarantee is called {0:?}: N1 to N6, H1 to H3, L1 to L6")]
pub struct InvalidGuarantee(pub String);

impl GuaranteeName {
    /// Every id, in the order of the tiers.
    pub const IDS: [&'static str; 15] =
        ["N1", "N2", "N3", "N4", "N5", "N6", "H1", "H2", "H3", "L1", "L2", "L3", "L4", "L5", "L6"];

    /// The id.
    pub const fn id(self) -> &'static str {
        Self::IDS[self.0 as usize]
    }
}

impl fmt::Display for GuaranteeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for GuaranteeName {
    type Err = InvalidGuarantee;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = (0..).zip(Self::IDS).find(|(_, id)| id.eq_ignore_ascii_case(text));
        known.map(|(at, _)| Self(at)).ok_or_else(|| InvalidGuarantee(text.into()))
    }
}

impl TryFrom<String> for GuaranteeName {
    type Error = InvalidGuarantee;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GuaranteeName> for String {
    fn from(name: GuaranteeName) -> Self {
        name.id().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarantee_is_known_by_its_id_and_nothing_else() {
        for id in GuaranteeName::IDS {
            assert_eq!(id.parse::<GuaranteeName>().unwrap().to_string(), id);
            assert_eq!(id.to_lowercase().parse::<GuaranteeName>().unwrap().id(), id);
        }
        for text in ["", "N0", "N7", "H4", "L7", "L", "all", "L6 ", "L6,N1"] {
            assert!(text.parse::<GuaranteeName>().is_err(), "{text:?}");
            assert!(serde_json::from_value::<GuaranteeName>(text.into()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_stored_and_what_is_unknown_is_refused() {
        assert_eq!(serde_json::to_string(&Confinement::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Confinement>("{}").unwrap(), Confinement::default());
        assert!(serde_json::from_str::<Confinement>(r#"{"weakest":["L6"]}"#).is_err());
        assert!(serde_json::from_str::<Confinement>(r#"{"weaker":["L9"]}"#).is_err());
    }
}
