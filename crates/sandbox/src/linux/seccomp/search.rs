//! From the number of a call to its rule: a binary search over ranges of numbers with the same answer.
//!
//! The kernel goes through a new filter once for each of its system calls, at every start; a chain of
//! comparisons would cost it more than the rest of the start.

use std::collections::BTreeMap;

use super::Architecture;
use super::calls::Call;
use super::decision::{Action, Decision, Test, Word, ask};
use super::rules::Rules;

/// From here on x86_64 takes a number for a call of the x32 convention (__X32_SYSCALL_BIT), where the same
/// calls have other numbers and pointers.
const X32: u32 = 0x4000_0000;

/// The whole filter. Calls of a foreign convention (`int 0x80` on x86_64, 32 bit ARM) are not judged by
/// numbers that mean something else there: for the program they do not exist.
pub(super) fn decide(rules: &Rules, architecture: Architecture) -> Decision {
    let native = Test::Equals(architecture.audit());
    ask(Word::Architecture, native, search(&ranges(rules, architecture)), Action::ABSENT)
}

/// The first number of each range, with what is decided from there on.
fn ranges(rules: &Rules, architecture: Architecture) -> Vec<(u32, &Decision)> {
    const FOREIGN: &Decision = &Decision::Answer(Action::ABSENT);
    let numbered = |&call: &Call| Some((call.number(architecture)?, call));
    let calls: BTreeMap<u32, Call> = Call::ALL.iter().filter_map(numbered).collect();
    let end = calls.last_key_value().map_or(0, |(&highest, _)| highest + 1);
    let known = (0..end).map(|number| {
        let decision = calls.get(&number).map_or(rules.unknown(), |&call| rules.of_call(call));
        (number, decision)
    });
    let x32 = (architecture == Architecture::X86_64).then_some((X32, FOREIGN));
    let mut ranges: Vec<(u32, &Decision)> = known.chain([(end, rules.unknown())]).chain(x32).collect();
    ranges.dedup_by(|next, before| next.1 == before.1);
    ranges
}

fn search(ranges: &[(u32, &Decision)]) -> Decision {
    if let [(_, decision)] = ranges {
        return (*decision).clone();
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    ask(Word::Number, Test::AtLeast(upper[0].0), search(upper), search(lower))
}
