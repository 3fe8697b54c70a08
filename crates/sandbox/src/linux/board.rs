//! What the watchers and the program read back of themselves, in memory that they share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::report::FACTS;
use crate::{Engine, Tier};

/// One thing that was read back; its number is its place on the board.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fact {
    /// The outer watcher is a subreaper, sees the end of the supervisor and its own children.
    Outer,
    /// The inner watcher is a subreaper, is told of the end of the outer one and sees its own children.
    Inner,
    /// The signal that the program gets when the inner watcher ends.
    DeathSignal,
    /// RLIMIT_CORE of the program.
    CoreSoft,
    /// The hard one.
    CoreHard,
    /// One more than the number of the first descriptor that would reach the program undeclared.
    Stray,
    /// `no_new_privs` is set.
    NoNewPrivileges,
    /// The program has capabilities in its effective, permitted or inheritable set.
    Capable,
    /// Device of the file behind the descriptor that is executed, when that is close-on-exec.
    ImageDevice,
    /// Inode of it.
    ImageInode,
    /// The lease that keeps writers from the image is whole at the last moment.
    Lease,
    /// A Landlock domain of the program's own.
    Domain,
    /// The seccomp filter was taken.
    Filter,
    /// The filter's listener was handed to the watchers.
    Listener,
    /// A bit for each attempt that was refused as it must be.
    Refused,
    /// Every limit is in force.
    Limits,
    /// Real, effective and saved group are the private one.
    PrivateGroup,
    /// The image is sealed and this process may not read it.
    Unreadable,
    /// A bit for each kind of namespace that is not the supervisor's.
    Namespaces,
    /// Every mount is as it was meant to be.
    Mounts,
    /// The dynamic loader is the one that nobody can read; [`OPEN_LOADER`] where it can be taken away.
    Loader,
}

/// The loader is in its place, but the kernel lets the user into the namespaces, who can take it away.
pub(super) const OPEN_LOADER: u64 = 2;

/// How the pinned files are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pins {
    /// There are none.
    None,
    /// By mounts on entries that the user cannot rename.
    Firm,
    /// At least one by a mount that goes away with the entry on which it is.
    Loose,
}

/// Where a start stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was executed yet.
    Preparing,
    /// A step failed.
    Failed,
    /// A guarantee that was not waived does not hold.
    Lacking,
    /// The kernel was asked to execute the program.
    Executing,
}

/// Shared by the watchers and the program until it is executed; each cell has one writer.
pub(super) struct Board {
    facts: [AtomicU64; FACTS],
    stage: AtomicU64,
    step: AtomicU64,
    errno: AtomicU64,
}

impl Board {
    pub(super) fn new() -> Board {
        let zero = || AtomicU64::new(0);
        Board { facts: std::array::from_fn(|_| zero()), stage: zero(), step: zero(), errno: zero() }
    }

    pub(super) fn set(&self, fact: Fact, value: u64) {
        self.facts[fact as usize].store(value, Ordering::SeqCst);
    }

    pub(super) fn facts(&self) -> Facts {
        Facts(std::array::from_fn(|place| self.facts[place].load(Ordering::SeqCst)))
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u64, Ordering::SeqCst);
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            1 => Stage::Failed,
            2 => Stage::Lacking,
            3 => Stage::Executing,
            _ => Stage::Preparing,
        }
    }

    pub(super) fn fail(&self, step: u32, errno: i32) {
        self.step.store(step.into(), Ordering::SeqCst);
        self.errno.store(errno.unsigned_abs().into(), Ordering::SeqCst);
        self.enter(Stage::Failed);
    }

    /// The step that failed and its errno.
    pub(super) fn failure(&self) -> (u64, u64) {
        (self.step.load(Ordering::SeqCst), self.errno.load(Ordering::SeqCst))
    }
}

/// What the facts are held against: known to the supervisor before the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) tier: Tier,
    pub(super) engine: Engine,
    /// A core limit of 0 does not stop dumps here (core(5)).
    pub(super) core_is_piped: bool,
    /// Device and inode of the image.
    pub(super) image: (u64, u64),
    /// A lease guards the bytes of what is executed.
    pub(super) leased: bool,
    /// The version of Landlock; 0 where the kernel has none.
    pub(super) landlock: u32,
    /// Why nobody could answer for the calls that the filter asks about.
    pub(super) unanswered: Option<&'static str>,
    /// Why a process of this user can read every process of its own.
    pub(super) readable: Option<&'static str>,
    /// There is to be a private group, and so L6 in every tier.
    pub(super) private_group: bool,
    /// Why a private group is none.
    pub(super) shared_group: Option<&'static str>,
    /// Programs that may be executed but not read are dumpable all the same (fs.suid_dumpable is 1).
    pub(super) dumpable: bool,
    /// A dynamically linked program is started with a loader that nobody can read.
    pub(super) loader: bool,
    pub(super) pins: Pins,
}

/// A copy of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts(pub(super) [u64; FACTS]);

impl Facts {
    pub(super) fn of(&self, fact: Fact) -> u64 {
        self.0[fact as usize]
    }
}
