//! The kernel's machine for classic BPF, as far as seccomp(2) lets a filter use it.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    sock_filter,
};

use super::super::decision::Action;

/// `struct seccomp_data`, without the instruction pointer.
pub(super) struct Data {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        let argument = |place: u32| self.arguments[place as usize / 8];
        match offset {
            0 => self.number,
            4 => self.architecture,
            16..64 if offset.is_multiple_of(8) => argument(offset - 16) as u32,
            16..64 if offset % 8 == 4 => (argument(offset - 20) >> 32) as u32,
            _ => panic!("no word of the call is at {offset}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) action: Action,
    /// An argument was looked at, so that the kernel cannot remember the answer.
    pub(super) by_argument: bool,
    pub(super) steps: usize,
}

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const MASK: u32 = BPF_ALU | BPF_AND | BPF_K;
const RETURN: u32 = BPF_RET | BPF_K;
const ALWAYS: u32 = BPF_JMP | BPF_JA;
const EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
const ANY_BIT: u32 = BPF_JMP | BPF_JSET | BPF_K;

/// Runs a program. Jumps lead forward only, so it ends.
pub(super) fn run(program: &[sock_filter], data: &Data) -> Outcome {
    let (mut next, mut accumulator, mut by_argument) = (0, 0, false);
    for steps in 1.. {
        let instruction = &program[next];
        next += 1;
        let mut branch = |yes| next += usize::from(if yes { instruction.jt } else { instruction.jf });
        match u32::from(instruction.code) {
            LOAD => {
                accumulator = data.word(instruction.k);
                by_argument |= instruction.k >= 16;
            }
            MASK => accumulator &= instruction.k,
            EQUAL => branch(accumulator == instruction.k),
            AT_LEAST => branch(accumulator >= instruction.k),
            ANY_BIT => branch(accumulator & instruction.k != 0),
            ALWAYS => next += instruction.k as usize,
            RETURN => return Outcome { action: action(instruction.k), by_argument, steps },
            code => panic!("{code:#x} is no instruction that a filter needs"),
        }
    }
    unreachable!("a program ends with an answer")
}

fn action(returned: u32) -> Action {
    match returned {
        0x7fff_0000 => Action::Allow,
        0x7fc0_0000 => Action::Notify,
        0x0005_0000..=0x0005_ffff => Action::Fail(returned as u16),
        _ => panic!("{returned:#x} is no answer"),
    }
}

/// What bpf_check_classic and seccomp_check_filter (kernel/seccomp.c, net/core/filter.c) demand.
pub(super) fn check(program: &[sock_filter]) {
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    for (place, instruction) in program.iter().enumerate() {
        let left = program.len() - place - 1;
        match u32::from(instruction.code) {
            LOAD => assert!(instruction.k % 4 == 0 && instruction.k < 64, "a load from {}", instruction.k),
            EQUAL | AT_LEAST | ANY_BIT => {
                let farthest = instruction.jt.max(instruction.jf);
                assert!(usize::from(farthest) < left, "a jump out of the program at {place}");
            }
            ALWAYS => assert!((instruction.k as usize) < left, "a jump out of the program at {place}"),
            MASK | RETURN => {}
            code => panic!("{code:#x} is no instruction that a filter needs"),
        }
    }
    let last = program.last().map(|instruction| u32::from(instruction.code));
    assert_eq!(last, Some(RETURN), "the last instruction is an answer");
}
