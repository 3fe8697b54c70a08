//! From a decision to instructions of classic BPF (bpf(4), linux/filter.h).
//!
//! Each part of the tree becomes a block in which every way ends with an answer, so that blocks are put one
//! after another and the only jump is over one of them. Only instructions are used that the kernel can
//! follow without a call at hand (seccomp_is_const_allow): it then remembers which calls are always allowed
//! and no longer runs the filter for them.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, sock_filter,
};

use super::decision::{Action, Decision, Test, Word};

/// The instructions of a whole filter.
pub(super) fn assemble(decision: &Decision) -> Vec<sock_filter> {
    block(decision, None)
}

/// `held` is the word that the accumulator has when the block is entered.
fn block(decision: &Decision, held: Option<Word>) -> Vec<sock_filter> {
    let (word, test, yes, no) = match decision {
        Decision::Answer(action) => return vec![plain(BPF_RET | BPF_K, returned(*action))],
        Decision::Ask { word, test, yes, no } => (*word, *test, yes, no),
    };
    let mut code = Vec::new();
    if held != Some(word) {
        code.push(plain(BPF_LD | BPF_W | BPF_ABS, offset(word)));
    }
    let (jump, operand, held) = match test {
        Test::Equals(value) => (BPF_JEQ, value, Some(word)),
        Test::AtLeast(value) => (BPF_JGE, value, Some(word)),
        Test::HasAny(bits) => (BPF_JSET, bits, Some(word)),
        Test::Masked { mask, value } => {
            code.push(plain(BPF_ALU | BPF_AND | BPF_K, mask));
            (BPF_JEQ, value, None)
        }
    };
    // The shorter way comes first, so that the jump over it is rarely long.
    let (yes, no) = (block(yes, held), block(no, held));
    let yes_first = yes.len() <= no.len();
    let (first, second) = if yes_first { (yes, no) } else { (no, yes) };
    let branch = |to_first, to_second| {
        let (jt, jf) = if yes_first { (to_first, to_second) } else { (to_second, to_first) };
        sock_filter { code: (BPF_JMP | jump | BPF_K) as u16, jt, jf, k: operand }
    };
    // Conditional jumps have 8 bits for the distance, unconditional ones 32.
    match u8::try_from(first.len()) {
        Ok(distance) => code.push(branch(0, distance)),
        Err(_) => code.extend([branch(1, 0), plain(BPF_JMP | BPF_JA, first.len() as u32)]),
    }
    code.extend(first);
    code.extend(second);
    code
}

/// What the kernel reads from the filter's result (SECCOMP_RET_DATA is the low 16 bits).
fn returned(action: Action) -> u32 {
    match action {
        Action::Allow => SECCOMP_RET_ALLOW,
        Action::Fail(errno) => SECCOMP_RET_ERRNO | u32::from(errno),
        Action::Notify => SECCOMP_RET_USER_NOTIF,
    }
}

/// Where a word lies in `struct seccomp_data`. Both architectures are little-endian.
fn offset(word: Word) -> u32 {
    match word {
        Word::Number => 0,
        Word::Architecture => 4,
        Word::Low(argument) => 16 + 8 * u32::from(argument),
        Word::High(argument) => 20 + 8 * u32::from(argument),
    }
}

/// An instruction that does not branch.
fn plain(code: u32, operand: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: operand }
}
