//! What every tier refuses: to take another group and to make a program that gives one; and what would
//! open a tree that a private group closes.

use super::arguments::{CLONE_NEWUSER, S_ISGID, flags, mode, mode_if_made};
use super::calls::{Call, list};
use super::decision::{Action, Decision, Test, Word, ask};
use super::rules::Rules;

pub(super) fn add(rules: &mut Rules, group: Option<u32>) {
    rules.set(list![setgroups setfsgid], Action::REFUSE);
    rules.set(list![setgid], own_group(group, 1));
    rules.set(list![setregid], own_group(group, 2));
    rules.set(list![setresgid], own_group(group, 3));
    special_modes(rules, S_ISGID);
    // Their modes and flags lie in memory. ENOSYS, because programs fall back on openat(2) and epoll(7).
    rules.set(list![openat2 io_uring_setup io_uring_enter io_uring_register], Action::ABSENT);
}

/// Refuses every group but the one that the program has in all places, with which nothing changes, and -1,
/// which is "as it is". A `gid_t` has 32 bits.
fn own_group(group: Option<u32>, arguments: u8) -> Decision {
    let Some(group) = group else { return Action::REFUSE.into() };
    (0..arguments).fold(Action::Allow.into(), |rest: Decision, argument| {
        let other = ask(Word::Low(argument), Test::Equals(u32::MAX), rest.clone(), Action::REFUSE);
        ask(Word::Low(argument), Test::Equals(group), rest, other)
    })
}

/// Refuses files and directories with one of `bits` in their mode, as systemd's RestrictSUIDSGID= does.
pub(super) fn special_modes(rules: &mut Rules, bits: u32) {
    rules.set(list![chmod fchmod mkdir mknod creat], mode(1, bits));
    rules.set(list![fchmodat fchmodat2 mkdirat mknodat], mode(2, bits));
    rules.set(list![open], mode_if_made(1, 2, bits));
    rules.set(list![openat], mode_if_made(2, 3, bits));
}

/// Keeps a program out of user namespaces, whose owner may read whatever is in them.
///
/// clone's flags are a `long` of which the kernel takes the low half (lower_32_bits in kernel/fork.c), setns'
/// kind is an `int`, and unshare(2) has no such flag in the high half.
pub(super) fn keep_private(rules: &mut Rules) {
    rules.set(list![clone unshare], flags(0, CLONE_NEWUSER));
    // The flags of clone3 lie in memory; the C libraries fall back on clone.
    rules.set(list![clone3], Action::ABSENT);
    // 0 is whatever kind of namespace the descriptor is of.
    rules.set(list![setns], ask(Word::Low(1), Test::Equals(0), Action::REFUSE, flags(1, CLONE_NEWUSER)));
    // A new call could have a mode or flags as well (openat2, fchmodat2 and clone3 were new once).
    rules.set_unknown(Action::ABSENT);
}

/// Keeps the private group from files: one that is setgid already, and not executable by its group, would
/// stay setgid when it is given to the group, and an access control list makes it executable.
pub(super) fn keep_group(rules: &mut Rules, group: u32) {
    let own = |argument| ask(Word::Low(argument), Test::Equals(group), Action::REFUSE, Action::Allow);
    rules.set(list![chown lchown fchown], own(2));
    rules.set(list![fchownat], own(3));
}
