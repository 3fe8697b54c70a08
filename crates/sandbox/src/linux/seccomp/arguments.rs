//! Decisions that look at arguments, shared by the tiers.

use super::decision::{Action, Decision, Test, Word, ask};

pub(super) const S_ISGID: u32 = 0o2000;
pub(super) const S_ISUID: u32 = 0o4000;

/// `__O_TMPFILE` (asm-generic/fcntl.h): an unnamed file is made. O_TMPFILE is this and O_DIRECTORY, which
/// has another value on aarch64.
const O_TMPFILE: u32 = 0o20_000_000;

/// Every CLONE_NEW* that clone(2) knows; CLONE_NEWTIME is in the byte of the exit signal there.
pub(super) const CLONE_NEW: u32 = 0x7e02_0000;
pub(super) const CLONE_NEWUSER: u32 = 0x1000_0000;

/// Refuses a mode with one of `bits`. The kernel's `umode_t` has 16 bits: the low half.
pub(super) fn mode(argument: u8, bits: u32) -> Decision {
    ask(Word::Low(argument), Test::HasAny(bits), Action::REFUSE, Action::Allow)
}

/// The same for a call that has a mode only when its flags, an `int`, make a file: without O_CREAT or
/// O_TMPFILE the C library passes whatever was in the register (WILL_CREATE in Linux's fs/open.c).
pub(super) fn mode_if_made(flags: u8, argument: u8, bits: u32) -> Decision {
    let makes = Test::HasAny(libc::O_CREAT as u32 | O_TMPFILE);
    ask(Word::Low(flags), makes, mode(argument, bits), Action::Allow)
}

/// Refuses flags with one of `bits` in their low half.
pub(super) fn flags(argument: u8, bits: u32) -> Decision {
    ask(Word::Low(argument), Test::HasAny(bits), Action::REFUSE, Action::Allow)
}

/// Goes on with `yes` when the low half is one of `values`, else with `no`.
pub(super) fn one_of(argument: u8, values: &[u32], yes: Action, no: impl Into<Decision>) -> Decision {
    let one = |no: Decision, &value: &u32| ask(Word::Low(argument), Test::Equals(value), yes, no);
    values.iter().rev().fold(no.into(), one)
}

/// Goes on with `yes` when all 64 bits are zero, as a null pointer, else with `no`.
pub(super) fn zero(argument: u8, yes: impl Into<Decision>, no: Action) -> Decision {
    let high = ask(Word::High(argument), Test::Equals(0), yes, no);
    ask(Word::Low(argument), Test::Equals(0), high, no)
}

/// Allows a socket whose type, an `int` of which the low four bits are the type and the others flags
/// (SOCK_TYPE_MASK in linux/net.h), is one of `kinds`.
pub(super) fn socket_kind(kinds: &[i32]) -> Decision {
    let kind = |no: Decision, &kind: &i32| {
        let test = Test::Masked { mask: 0xf, value: kind as u32 };
        ask(Word::Low(1), test, Action::Allow, no)
    };
    kinds.iter().rev().fold(Action::REFUSE.into(), kind)
}
