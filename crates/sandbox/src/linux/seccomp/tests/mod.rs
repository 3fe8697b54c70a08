//! Runs the filters of every tier on both architectures.

mod floor;
mod hardened;
mod head;
mod lockdown;
mod machine;
mod numbers;

use std::sync::LazyLock;

use super::calls::Call;
use super::decision::Action;
use super::{Architecture, Filter, Policy};
use crate::Tier;
use machine::{Data, Outcome, run};

const ARCHITECTURES: [Architecture; 2] = [Architecture::X86_64, Architecture::Aarch64];

/// A tier, and whether the program has the private group.
type Kind = (Tier, bool);

const OPEN: &[Kind] = &[(Tier::None, false)];
const PRIVATE: &[Kind] = &[(Tier::None, true)];
const NONE: &[Kind] = &[(Tier::None, false), (Tier::None, true)];
const HARDENED: &[Kind] = &[(Tier::Hardened, false), (Tier::Hardened, true)];
const LOCKDOWN: &[Kind] = &[(Tier::Lockdown, false), (Tier::Lockdown, true)];
/// Hardened and up.
const CLOSED: &[Kind] =
    &[(Tier::Hardened, false), (Tier::Hardened, true), (Tier::Lockdown, false), (Tier::Lockdown, true)];
const EVERY: &[Kind] = &[
    (Tier::None, false),
    (Tier::None, true),
    (Tier::Hardened, false),
    (Tier::Hardened, true),
    (Tier::Lockdown, false),
    (Tier::Lockdown, true),
];

/// The group of the program.
const GROUP: u32 = 1001;

/// Bits in the half of an argument that most rules must not look at.
const HIGH: u64 = 0xffff_ffff_0000_0000;

static FILTERS: LazyLock<Vec<(Policy, Filter)>> = LazyLock::new(|| {
    let policy = |&(tier, private_group): &Kind| {
        ARCHITECTURES.map(|architecture| Policy { tier, private_group, group: Some(GROUP), architecture })
    };
    EVERY.iter().flat_map(policy).map(|policy| (policy, Filter::new(policy))).collect()
});

fn filter((tier, private_group): Kind, architecture: Architecture) -> &'static Filter {
    let policy = Policy { tier, private_group, group: Some(GROUP), architecture };
    FILTERS.iter().find(|(made_for, _)| *made_for == policy).map(|(_, filter)| filter).expect("all are made")
}

fn outcome(kind: Kind, architecture: Architecture, number: u32, arguments: &[u64]) -> Outcome {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let data = Data { number, architecture: architecture.audit(), arguments: all };
    run(filter(kind, architecture).instructions(), &data)
}

/// Each kind of filter answers so, on every architecture that has the call.
#[track_caller]
fn expect(kinds: &[Kind], call: Call, arguments: &[u64], action: Action) {
    for &kind in kinds {
        for architecture in ARCHITECTURES {
            let Some(number) = call.number(architecture) else { continue };
            let answer = outcome(kind, architecture, number, arguments).action;
            assert_eq!(answer, action, "{call:?}({arguments:x?}) in {kind:?} on {architecture:?}");
        }
    }
}

/// The same for calls whose arguments do not matter.
#[track_caller]
fn expect_always(kinds: &[Kind], calls: &[Call], action: Action) {
    for &call in calls {
        for arguments in [[0; 6], [1; 6], [u64::MAX; 6]] {
            expect(kinds, call, &arguments, action);
        }
    }
}
