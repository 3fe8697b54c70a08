//! The floor of every tier, and what a private group adds to it.

use super::super::calls::{Call, list};
use super::*;

const SETGID: u64 = 0o2755;
const SETUID: u64 = 0o4755;
const PLAIN: u64 = 0o1777;
const O_CREAT: u64 = 0o100;
const TMPFILE: u64 = 0o20_000_000;

#[test]
fn no_tier_lets_a_program_take_another_group() {
    expect_always(EVERY, list![setgroups setfsgid], Action::REFUSE);
    expect_always(NONE, list![setuid setreuid setresuid setfsuid], Action::Allow);
    let (own, same) = (u64::from(GROUP), u64::from(u32::MAX));
    for (call, count) in [(Call::setgid, 1), (Call::setregid, 2), (Call::setresgid, 3)] {
        for unchanged in [[own; 3], [same; 3], [same, own, same], [HIGH | own; 3], [u64::MAX; 3]] {
            expect(NONE, call, &unchanged, Action::Allow);
            expect(HARDENED, call, &unchanged, Action::Allow);
            expect(LOCKDOWN, call, &unchanged, Action::REFUSE);
        }
        for place in 0..count {
            for other in [0, 1, own + 1, HIGH | (own + 1), HIGH] {
                let mut arguments = [own, same, own];
                arguments[place] = other;
                expect(EVERY, call, &arguments, Action::REFUSE);
            }
        }
    }
}

/// Each call with the place of its mode.
const WITH_MODE: [(Call, usize); 9] = [
    (Call::chmod, 1),
    (Call::fchmod, 1),
    (Call::fchmodat, 2),
    (Call::fchmodat2, 2),
    (Call::mkdir, 1),
    (Call::mkdirat, 2),
    (Call::mknod, 1),
    (Call::mknodat, 2),
    (Call::creat, 1),
];

fn with_mode(place: usize, mode: u64) -> [u64; 6] {
    // Bits in every other argument that would be a setgid mode.
    let mut arguments = [SETGID; 6];
    arguments[place] = mode;
    arguments
}

#[test]
fn no_tier_lets_a_program_make_anything_setgid() {
    for (call, place) in WITH_MODE {
        for mode in [SETGID, 0o2000, 0o6755, HIGH | SETGID, 0o102_755] {
            expect(EVERY, call, &with_mode(place, mode), Action::REFUSE);
        }
        for mode in [PLAIN, 0, HIGH | 0o755] {
            expect(NONE, call, &with_mode(place, mode), Action::Allow);
            expect(HARDENED, call, &with_mode(place, mode), Action::Allow);
        }
    }
}

#[test]
fn from_hardened_on_nothing_is_made_setuid() {
    for (call, place) in WITH_MODE {
        expect(NONE, call, &with_mode(place, SETUID), Action::Allow);
        expect(CLOSED, call, &with_mode(place, SETUID), Action::REFUSE);
        expect(CLOSED, call, &with_mode(place, HIGH | SETUID), Action::REFUSE);
    }
}

/// A program that opens a file for reading passes two or three arguments; what is in the next register is
/// left from something else.
#[test]
fn the_mode_of_open_counts_only_when_a_file_is_made() {
    for (call, first) in [(Call::open, 1), (Call::openat, 2)] {
        let arguments = |flags: u64, mode: u64| {
            let mut all = [SETGID; 6];
            (all[first], all[first + 1]) = (flags, mode);
            all
        };
        for flags in [O_CREAT, TMPFILE, O_CREAT | 0o1001, TMPFILE | 0o200_002, HIGH | O_CREAT, HIGH | TMPFILE]
        {
            expect(EVERY, call, &arguments(flags, SETGID), Action::REFUSE);
            expect(EVERY, call, &arguments(flags, HIGH | SETGID), Action::REFUSE);
            expect(EVERY, call, &arguments(flags, 0o666), Action::Allow);
            expect(EVERY, call, &arguments(flags, HIGH | 0o600), Action::Allow);
            expect(NONE, call, &arguments(flags, SETUID), Action::Allow);
            expect(CLOSED, call, &arguments(flags, SETUID), Action::REFUSE);
        }
        // Reading, appending, a directory and close-on-exec on each architecture; bits of the high half.
        for flags in [0, 0o2001, 0o2_200_000, 0o2_040_000, HIGH, O_CREAT << 32, TMPFILE << 32] {
            for mode in [SETGID, SETUID, 0o7777, u64::MAX] {
                expect(EVERY, call, &arguments(flags, mode), Action::Allow);
            }
        }
    }
}

#[test]
fn calls_whose_modes_lie_in_memory_do_not_exist() {
    expect_always(EVERY, &[Call::openat2], Action::ABSENT);
    let rings = list![io_uring_setup io_uring_enter io_uring_register];
    expect_always(NONE, rings, Action::ABSENT);
    expect_always(HARDENED, rings, Action::ABSENT);
    expect_always(LOCKDOWN, rings, Action::REFUSE);
}

#[test]
fn none_without_a_private_group_keeps_namespaces() {
    expect_always(OPEN, list![clone clone3 unshare setns], Action::Allow);
}

#[test]
fn a_private_group_keeps_a_program_out_of_user_namespaces() {
    const NEWUSER: u64 = 0x1000_0000;
    const NEWNET: u64 = 0x4000_0000;
    expect_always(PRIVATE, &[Call::clone3], Action::ABSENT);
    for call in [Call::clone, Call::unshare] {
        for flags in [NEWUSER, NEWUSER | NEWNET, NEWUSER | 17, HIGH | NEWUSER] {
            expect(PRIVATE, call, &[flags], Action::REFUSE);
            expect(CLOSED, call, &[flags], Action::REFUSE);
        }
        for flags in [0, 17, NEWNET, NEWUSER << 32] {
            expect(PRIVATE, call, &[flags, NEWUSER, NEWUSER], Action::Allow);
        }
    }
    for kind in [0, NEWUSER, NEWUSER | NEWNET, HIGH, HIGH | NEWUSER] {
        expect(PRIVATE, Call::setns, &[3, kind], Action::REFUSE);
    }
    expect(PRIVATE, Call::setns, &[3, NEWNET], Action::Allow);
}

#[test]
fn none_refuses_nothing_else() {
    let calls = list![
        ptrace mount bpf socket socketpair connect sendto execve execveat fork vfork kill prctl ioctl
        personality prlimit64 seccomp shmget mq_open keyctl memfd_create userfaultfd setuid reboot
    ];
    expect_always(NONE, calls, Action::Allow);
    expect(NONE, Call::ioctl, &[0, 0x5412], Action::Allow);
    expect(NONE, Call::seccomp, &[1, 8], Action::Allow);
}

#[test]
fn the_private_group_is_given_to_no_file() {
    let own = u64::from(GROUP);
    for (call, place) in [(Call::chown, 2), (Call::lchown, 2), (Call::fchown, 2), (Call::fchownat, 3)] {
        let to = |group: u64| {
            let mut arguments = [0; 4];
            arguments[place] = group;
            arguments
        };
        for tier in [PRIVATE, &[(Tier::Hardened, true)]] {
            for group in [own, HIGH | own] {
                expect(tier, call, &to(group), Action::REFUSE);
            }
            for group in [own + 1, u64::from(u32::MAX), u64::MAX, 0] {
                expect(tier, call, &to(group), Action::Allow);
            }
        }
        expect(OPEN, call, &to(own), Action::Allow);
        expect(LOCKDOWN, call, &to(own), Action::REFUSE);
    }
}
