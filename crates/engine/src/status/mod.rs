//! What this machine gives, and what was read back of a start, as data to show.

use std::path::PathBuf;

use envseal_sandbox::{Enforced, Given, Guarantee, Image, Spec, Stdio};
use envseal_vault::{EngineName, TierName};
use serde::{Deserialize, Serialize};

use crate::held;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub use system::launcher;

/// Whether one guarantee holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its id, such as `N1`.
    pub id: String,
    /// What it promises.
    pub title: String,
    /// Whether it holds.
    pub given: Holds,
    /// The weakness with which it holds, or why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// It was read back and holds.
    Given,
    /// It holds, with a weakness.
    Guarded,
    /// It does not hold.
    No,
}

impl std::fmt::Display for Holds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Given => "given",
            Self::Guarded => "guarded",
            Self::No => "no",
        })
    }
}

/// What was read back of a start.
pub fn standings(enforced: &Enforced) -> Vec<Standing> {
    let one = |(guarantee, given): (Guarantee, &Given)| {
        let (given, why) = match given {
            Given::Yes => (Holds::Given, None),
            Given::Guarded(weakness) => (Holds::Guarded, Some(weakness.clone())),
            Given::No(why) => (Holds::No, Some(why.clone())),
            _ => (Holds::No, Some("unknown".into())),
        };
        Standing { id: guarantee.id().into(), title: guarantee.title().into(), given, why }
    };
    enforced.iter().map(one).collect()
}

/// What a tier and an engine give on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The tier.
    pub tier: TierName,
    /// The engine.
    pub engine: EngineName,
    /// Every guarantee of the tier, as it was read back of a program that was started for this. Empty when none could be.
    pub guarantees: Vec<Standing>,
    /// Why none could be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Starts a program that does nothing in each tier and engine, everything waived and `hidden` out of reach, and says
/// what was read back.
pub fn machine(hidden: &[PathBuf]) -> Vec<Machine> {
    let tiers = [TierName::Hardened, TierName::Lockdown];
    let each = tiers.into_iter().flat_map(|tier| system::ENGINES.iter().map(move |engine| (tier, *engine)));
    each.map(|(tier, engine)| match probe(tier, engine, hidden) {
        Ok(guarantees) => Machine { tier, engine, guarantees, error: None },
        Err(error) => Machine { tier, engine, guarantees: Vec::new(), error: Some(error.to_string()) },
    })
    .collect()
}

fn probe(
    tier: TierName,
    engine: EngineName,
    hidden: &[PathBuf],
) -> Result<Vec<Standing>, Box<dyn std::error::Error>> {
    let (nothing, name) = system::nothing();
    let spec = Spec::new(Image::open(&nothing)?)
        .arg0(name)
        .directory(system::root())
        .stdin(Stdio::Null)
        .stdout(Stdio::Null)
        .stderr(Stdio::Null)
        .tier(held::tier(tier))
        .engine(held::engine(engine))
        .allow_weaker(Guarantee::ALL);
    let spec = hidden.iter().fold(spec, |spec, path| spec.hide(path));
    let mut running = held::start(spec, engine, true)?;
    running.wait()?;
    Ok(standings(running.enforced()))
}

/// Whether the launcher that closes programs to the user's other processes is installed.
#[derive(Clone, Debug, Serialize)]
pub struct LauncherState {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// It is there.
    pub installed: bool,
    /// Why it cannot be used although it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_and_engine_is_tried_and_each_refusal_has_its_reason() {
        let all = machine(&[]);
        assert_eq!(all.len(), 2 * system::ENGINES.len());
        for one in &all {
            assert_eq!(one.error, None, "{} {}", one.tier, one.engine);
            let expected = held::tier(one.tier).guarantees().len();
            assert!(one.guarantees.len() >= expected, "{one:?}");
            for standing in &one.guarantees {
                assert_eq!(standing.why.is_none(), standing.given == Holds::Given, "{standing:?}");
            }
        }
    }
}
