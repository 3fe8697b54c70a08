//! What is decided of each call, before numbers come in.

use std::collections::BTreeMap;

use super::calls::Call;
use super::decision::{Action, Decision};
use super::{Policy, floor, hardened, lockdown};
use crate::Tier;

/// A decision for each call.
pub(super) struct Rules {
    decisions: BTreeMap<Call, Decision>,
    unknown: Decision,
}

impl Rules {
    /// Each tier starts from the rules of the one before and only narrows them.
    pub(super) fn of(policy: Policy) -> Rules {
        let mut rules = Rules { decisions: BTreeMap::new(), unknown: Action::Allow.into() };
        floor::add(&mut rules, policy.group);
        if policy.private_group || policy.tier >= Tier::Hardened {
            floor::keep_private(&mut rules);
        }
        if let Some(group) = policy.group.filter(|_| policy.private_group) {
            floor::keep_group(&mut rules, group);
        }
        if policy.tier >= Tier::Hardened {
            hardened::add(&mut rules);
        }
        if policy.tier == Tier::Lockdown {
            lockdown::add(&mut rules);
        }
        rules
    }

    /// Decides for `calls`, whatever was decided before.
    pub(super) fn set(&mut self, calls: &[Call], decision: impl Into<Decision>) {
        let decision = decision.into();
        self.decisions.extend(calls.iter().map(|&call| (call, decision.clone())));
    }

    /// Refuses every call that is not in `calls`; the others stay as they were decided.
    pub(super) fn refuse_all_but(&mut self, calls: &[Call]) {
        let others: Vec<Call> = Call::ALL.iter().copied().filter(|call| !calls.contains(call)).collect();
        self.set(&others, Action::REFUSE);
    }

    /// Decides for every number that the table does not have.
    pub(super) fn set_unknown(&mut self, decision: impl Into<Decision>) {
        self.unknown = decision.into();
    }

    /// What is decided of `call`; without a rule it is allowed.
    pub(super) fn of_call(&self, call: Call) -> &Decision {
        const ALLOW: &Decision = &Decision::Answer(Action::Allow);
        self.decisions.get(&call).unwrap_or(ALLOW)
    }

    /// What is decided of a call that nobody has judged.
    pub(super) fn unknown(&self) -> &Decision {
        &self.unknown
    }
}
