//! The seccomp filters of the tiers: which system calls a program may make.
//!
//! ```text
//! Policy → rules (what each call may do) → search (from a number to its rule) → assemble (instructions)
//! ```
//!
//! Makes instructions only. `sys_confine` installs them, and whoever holds the listener answers for the
//! calls that a filter asks about. A filter closes what Landlock and the private group cannot: calls that
//! take another group, make a setgid file, a namespace or a second program, and those that reach into other
//! processes or far into the kernel.
//!
//! What is judged is numbers and arguments in registers. What lies in memory can be changed by another
//! thread after the judgement (seccomp_unotify(2)), so a call whose danger lies there is refused whole.

mod arguments;
mod assemble;
mod calls;
mod decision;
mod floor;
mod hardened;
mod lockdown;
mod rules;
mod search;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use crate::Tier;
use rules::Rules;

/// The machine whose system calls are judged: numbers and calling convention differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// The one that this crate was compiled for, when filters are known for it.
    pub(super) const NATIVE: Option<Architecture> =
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Architecture::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_pointer_width = "64", target_endian = "little")) {
            Some(Architecture::Aarch64)
        } else {
            None
        };

    /// Its name in `struct seccomp_data`: AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64 (linux/audit.h).
    const fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 => 0xc000_003e,
            Architecture::Aarch64 => 0xc000_00b7,
        }
    }
}

/// What a filter is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    pub(super) tier: Tier,
    /// The program runs with the group that keeps its memory from the user's other processes; what would
    /// open it again is refused in `None` too.
    pub(super) private_group: bool,
    /// The program's real, effective and saved group, where these are one: it may take this again, as make
    /// and cc do for each process.
    pub(super) group: Option<u32>,
    pub(super) architecture: Architecture,
}

/// A program in classic BPF, ready for seccomp(2).
pub(super) struct Filter {
    instructions: Vec<libc::sock_filter>,
    notifies: bool,
}

impl Filter {
    pub(super) fn new(policy: Policy) -> Filter {
        let decision = search::decide(&Rules::of(policy), policy.architecture);
        Filter { instructions: assemble::assemble(&decision), notifies: decision.notifies() }
    }

    #[cfg(test)]
    pub(super) fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    /// The instructions, with a key of its own for the one execution that Lockdown lets through.
    pub(super) fn keyed(&self, key: [u32; 2]) -> Vec<libc::sock_filter> {
        let mut instructions = self.instructions.clone();
        for (lock, key) in lockdown::LOCK.into_iter().zip(key) {
            instructions.iter_mut().filter(|one| one.k == lock).for_each(|one| one.k = key);
        }
        instructions
    }

    /// Whether some calls wait for an answer, so that the filter must be installed with a listener. Without
    /// one the kernel answers ENOSYS.
    pub(super) fn notifies(&self) -> bool {
        self.notifies
    }
}

/// The filter for this machine, made once in a process; `None` where no filters are known for it.
pub(super) fn filter(tier: Tier, private_group: bool, group: Option<u32>) -> Option<&'static Filter> {
    // One entry for each tier that is used, and for each group, of which a process has one.
    static MADE: Mutex<Vec<(Policy, &'static Filter)>> = Mutex::new(Vec::new());
    let policy = Policy { tier, private_group, group, architecture: Architecture::NATIVE? };
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, filter)) = made.iter().find(|(made_for, _)| *made_for == policy) {
        return Some(filter);
    }
    let filter = Box::leak(Box::new(Filter::new(policy)));
    made.push((policy, filter));
    Some(filter)
}
