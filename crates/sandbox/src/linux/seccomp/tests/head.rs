//! What holds for every filter: its form, foreign conventions, numbers that nobody knows.

use super::super::arguments::one_of;
use super::super::assemble::assemble;
use super::super::calls::{Call, list};
use super::super::decision::{Action, Test, Word, ask};
use super::machine::{Data, check, run};
use super::*;

#[test]
fn every_filter_is_one_that_the_kernel_takes() {
    for (policy, filter) in FILTERS.iter() {
        check(filter.instructions());
        assert!(filter.instructions().len() < 1000, "{policy:?}: {}", filter.instructions().len());
    }
}

#[test]
fn a_decision_longer_than_a_short_jump_is_answered_alike() {
    for length in [1, 2, 127, 128, 129, 254, 255, 256, 257, 900] {
        let values: Vec<u32> = (0..length).collect();
        let chain = |found: Action| one_of(0, &values, found, Action::Allow);
        // Both ways on from the question are chains.
        let question = Test::Equals(7);
        let decision = ask(Word::Low(1), question, chain(Action::Notify), chain(Action::REFUSE));
        let program = assemble(&decision);
        check(&program);
        let answer = |first: u32, second: u64| {
            let arguments = [first.into(), second, 0, 0, 0, 0];
            run(&program, &Data { number: 0, architecture: 0, arguments }).action
        };
        for (second, found) in [(7, Action::Notify), (0, Action::REFUSE)] {
            assert_eq!(answer(0, second), found);
            assert_eq!(answer(length / 2, second), found);
            assert_eq!(answer(length - 1, second), found);
            assert_eq!(answer(length, second), Action::Allow);
        }
    }
}

#[test]
fn calls_of_a_foreign_convention_do_not_exist() {
    // AUDIT_ARCH_I386, _ARM, _X86_64, _AARCH64, _RISCV64, and none.
    let conventions = [0x4000_0003, 0x4000_0028, 0xc000_003e, 0xc000_00b7, 0xc000_00f3, 0];
    for (policy, filter) in FILTERS.iter() {
        for convention in conventions.into_iter().filter(|&other| other != policy.architecture.audit()) {
            for number in [0, 1, 2, 102, 120, 359, 9999] {
                let data = Data { number, architecture: convention, arguments: [0; 6] };
                assert_eq!(run(filter.instructions(), &data).action, Action::ABSENT, "{policy:?}");
            }
        }
    }
}

#[test]
fn calls_of_the_x32_convention_do_not_exist() {
    for &kind in EVERY {
        for number in [0, 1, 56, 106, 322, 512, 520, 545, 0x3fff_ffff, u32::MAX >> 2] {
            let answer = outcome(kind, Architecture::X86_64, 0x4000_0000 | number, &[]).action;
            assert_eq!(answer, Action::ABSENT, "{number} in {kind:?}");
        }
        assert_eq!(outcome(kind, Architecture::X86_64, u32::MAX, &[]).action, Action::ABSENT);
    }
}

#[test]
fn a_call_that_nobody_has_judged_does_not_exist_where_a_tree_is_private() {
    for architecture in ARCHITECTURES {
        let known = |number: &u32| Call::ALL.iter().any(|call| call.number(architecture) == Some(*number));
        let gaps = (0..471).filter(|number| !known(number));
        for number in gaps.chain([472, 500, 512, 547, 9999, 0x3fff_ffff]) {
            for &kind in CLOSED.iter().chain(PRIVATE) {
                let answer = outcome(kind, architecture, number, &[]).action;
                assert_eq!(answer, Action::ABSENT, "{number} in {kind:?} on {architecture:?}");
            }
            for &kind in OPEN {
                assert_eq!(outcome(kind, architecture, number, &[]).action, Action::Allow, "{number}");
            }
        }
    }
}

#[test]
fn a_listener_is_needed_from_hardened_on() {
    for (policy, filter) in FILTERS.iter() {
        assert_eq!(filter.notifies(), policy.tier == Tier::Hardened, "{policy:?}");
    }
}

#[test]
fn filters_of_this_machine_are_made_once() {
    for &(tier, private_group) in EVERY {
        let [first, again] = [0; 2].map(|_| super::super::filter(tier, private_group, Some(GROUP)));
        assert_eq!(first.is_some(), Architecture::NATIVE.is_some());
        assert_eq!(first.map(std::ptr::from_ref), again.map(std::ptr::from_ref));
        let Some(architecture) = Architecture::NATIVE else { continue };
        let same = first.is_some_and(|first| {
            let expected = filter((tier, private_group), architecture).instructions();
            let alike = |(one, other): (&libc::sock_filter, &libc::sock_filter)| {
                (one.code, one.jt, one.jf, one.k) == (other.code, other.jt, other.jf, other.k)
            };
            first.instructions().len() == expected.len()
                && first.instructions().iter().zip(expected).all(alike)
        });
        assert!(same, "{tier:?}, {private_group}");
    }
}

/// The kernel then remembers the answer and no longer runs the filter (Linux 5.11).
#[test]
fn the_calls_that_programs_make_most_are_allowed_without_a_look_at_their_arguments() {
    let calls = list![
        read write close fstat newfstatat lseek mmap munmap mprotect brk futex epoll_wait epoll_pwait poll
        ppoll readv writev pread64 recvmsg sendmsg recvfrom clock_gettime getpid rt_sigaction
        rt_sigprocmask statx
    ];
    for &kind in EVERY {
        for architecture in ARCHITECTURES {
            for number in calls.iter().filter_map(|call| call.number(architecture)) {
                let outcome = outcome(kind, architecture, number, &[]);
                assert_eq!(
                    (outcome.action, outcome.by_argument),
                    (Action::Allow, false),
                    "{number} in {kind:?}"
                );
                assert!(outcome.steps <= 16, "{} steps for {number} in {kind:?}", outcome.steps);
            }
        }
    }
}

/// Values at which some rule turns.
const TELLING: [u64; 22] = [
    0,
    1,
    2,
    4,
    5,
    8,
    10,
    16,
    35,
    0x40,
    0o600,
    0o2755,
    0o4755,
    0x5412,
    0x0001_0900,
    0x0040_0000,
    0x1001_0900,
    0x1000_0000,
    0x0400_0000,
    0xffff_ffff,
    1 << 32,
    u64::MAX,
];

#[test]
fn each_tier_allows_nothing_that_the_one_before_refuses() {
    let order = [(Tier::None, false), (Tier::None, true), (Tier::Hardened, true), (Tier::Lockdown, true)];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut telling = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        TELLING[(state >> 32) as usize % TELLING.len()]
    };
    for architecture in ARCHITECTURES {
        for &call in Call::ALL {
            let Some(number) = call.number(architecture) else { continue };
            for _ in 0..200 {
                let arguments: [u64; 6] = std::array::from_fn(|_| telling());
                let allows =
                    order.map(|kind| outcome(kind, architecture, number, &arguments).action == Action::Allow);
                let descending = allows.is_sorted_by(|before, next| before >= next);
                assert!(descending, "{call:?}({arguments:x?}) on {architecture:?}: {allows:?}");
            }
        }
    }
}

#[test]
fn from_hardened_on_a_private_group_changes_only_who_files_are_given_to() {
    let given = [Call::chown, Call::lchown, Call::fchown, Call::fchownat];
    for tier in [Tier::Hardened, Tier::Lockdown] {
        for architecture in ARCHITECTURES {
            for &call in Call::ALL.iter().filter(|call| !given.contains(call)) {
                let Some(number) = call.number(architecture) else { continue };
                for arguments in [[0; 6], [u64::from(GROUP); 6], [0o2755; 6], [u64::MAX; 6]] {
                    let [open, private] = [false, true]
                        .map(|private| outcome((tier, private), architecture, number, &arguments));
                    assert_eq!(open.action, private.action, "{call:?} in {tier:?}");
                }
            }
        }
    }
}
