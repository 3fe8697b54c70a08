//! From a decision to instructions of classic BPF (bpf(4), linux/filter.h).
//!
//! Built from its end, because jumps lead forward only: what they lead to has its place already, and what
//! occurs twice is there once. A short filter matters: the kernel translates it anew at every start. Only
//! instructions are used that the kernel can follow without a call at hand (seccomp_is_const_allow): it then
//! remembers which calls are always allowed and no longer runs the filter for them.

use std::collections::HashMap;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, sock_filter,
};

use super::decision::{Action, Decision, Test, Word};

/// The instructions of a whole filter.
pub(super) fn assemble(decision: &Decision) -> Vec<sock_filter> {
    let mut program = Backward { code: Vec::new(), places: HashMap::new() };
    program.place(decision, None);
    program.code.reverse();
    program.code
}

/// The longest conditional jump is 255; one less leaves room for a jump that is put in between.
const REACH: usize = 254;

/// A program, its last instruction first. A place is counted from the end.
struct Backward<'d> {
    code: Vec<sock_filter>,
    /// Where a decision is, for who comes with that word in the accumulator.
    places: HashMap<(&'d Decision, Option<Word>), usize>,
}

impl<'d> Backward<'d> {
    fn place(&mut self, decision: &'d Decision, held: Option<Word>) -> usize {
        let held = held.filter(|held| decision.word() == Some(*held));
        if let Some(&place) = self.places.get(&(decision, held)) {
            return place;
        }
        match decision {
            Decision::Answer(action) => self.code.push(plain(BPF_RET | BPF_K, returned(*action))),
            Decision::Ask { word, test, yes, no } => {
                let (jump, operand, mask) = match *test {
                    Test::Equals(value) => (BPF_JEQ, value, None),
                    Test::AtLeast(value) => (BPF_JGE, value, None),
                    Test::HasAny(bits) => (BPF_JSET, bits, None),
                    Test::Masked { mask, value } => (BPF_JEQ, value, Some(mask)),
                };
                let kept = mask.is_none().then_some(*word);
                let mut ways = [self.place(yes, kept), self.place(no, kept)];
                for way in &mut ways {
                    let distance = self.code.len() - *way;
                    if distance > REACH {
                        self.code.push(plain(BPF_JMP | BPF_JA, distance as u32));
                        *way = self.code.len();
                    }
                }
                // At most 255: nothing but one further jump was put in between.
                let [jt, jf] = ways.map(|way| (self.code.len() - way) as u8);
                self.code.push(sock_filter { code: (BPF_JMP | jump | BPF_K) as u16, jt, jf, k: operand });
                if let Some(mask) = mask {
                    self.code.push(plain(BPF_ALU | BPF_AND | BPF_K, mask));
                }
                if held.is_none() {
                    self.code.push(plain(BPF_LD | BPF_W | BPF_ABS, offset(*word)));
                }
            }
        }
        self.places.insert((decision, held), self.code.len());
        self.code.len()
    }
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
