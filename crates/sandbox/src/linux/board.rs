//! What the watchers and the program read back of themselves, in memory that they share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::report::FACTS;
use crate::{Given, Guarantee};

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
    /// The program has capabilities in its effective or permitted set.
    Capable,
    /// Device of the file behind the descriptor that is executed, when that is close-on-exec.
    ImageDevice,
    /// Inode of it.
    ImageInode,
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
    /// A core limit of 0 does not stop dumps here (core(5)).
    pub(super) core_is_piped: bool,
    /// Device and inode of the image.
    pub(super) image: (u64, u64),
}

/// A copy of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts(pub(super) [u64; FACTS]);

impl Facts {
    fn of(&self, fact: Fact) -> u64 {
        self.0[fact as usize]
    }

    /// Whether `guarantee` holds by these facts. Allocates nothing: the program asks before it is executed.
    pub(super) fn hold(&self, guarantee: Guarantee, expected: Expected) -> bool {
        match guarantee {
            Guarantee::N1 => {
                self.of(Fact::Outer) == 1
                    && self.of(Fact::Inner) == 1
                    && self.of(Fact::DeathSignal) == libc::SIGKILL as u64
            }
            Guarantee::N2 => self.of(Fact::Outer) == 1 && self.of(Fact::Inner) == 1,
            Guarantee::N3 => match (self.of(Fact::CoreSoft), self.of(Fact::CoreHard)) {
                (1, 1) => true,
                // A hard limit that is 0 already cannot be raised to the 1 that stops a pipe.
                (0, 0) => !expected.core_is_piped,
                _ => false,
            },
            Guarantee::N4 => self.of(Fact::Stray) == 0,
            Guarantee::N5 => self.of(Fact::NoNewPrivileges) == 1,
            // The kernel executes the file of a close-on-exec descriptor itself or answers ENOENT: no
            // script's interpreter and no binfmt_misc handler can take its place (execveat(2)).
            Guarantee::N6 => (self.of(Fact::ImageDevice), self.of(Fact::ImageInode)) == expected.image,
            _ => false,
        }
    }

    /// Every guarantee that this engine can give, with what the facts say of it.
    /// `image` is what guards the bytes of the image itself.
    pub(super) fn judge(&self, expected: Expected, image: &Given) -> Vec<(Guarantee, Given)> {
        let judge = |guarantee: Guarantee| {
            let given = match (self.hold(guarantee, expected), guarantee) {
                (true, Guarantee::N5) if self.of(Fact::Capable) != 0 => {
                    Given::Guarded("the program keeps the capabilities of its caller".into())
                }
                (true, Guarantee::N2) => Given::Guarded(
                    "a program that ends both watchers with SIGKILL at the same moment escapes".into(),
                ),
                (true, Guarantee::N6) => image.clone(),
                (true, _) => Given::Yes,
                (false, _) => Given::No(self.why_not(guarantee)),
            };
            (guarantee, given)
        };
        crate::Tier::None.guarantees().iter().copied().map(judge).collect()
    }

    fn why_not(&self, guarantee: Guarantee) -> String {
        match guarantee {
            Guarantee::N1 | Guarantee::N2 if self.of(Fact::Outer) != 1 => {
                "the outer watcher is no subreaper, or cannot see the supervisor or /proc/thread-self/children"
                    .into()
            }
            Guarantee::N1 | Guarantee::N2 if self.of(Fact::Inner) != 1 => {
                "the inner watcher is no subreaper, or cannot see the outer one or /proc/thread-self/children"
                    .into()
            }
            Guarantee::N1 | Guarantee::N2 => "the program has no parent death signal".into(),
            Guarantee::N3 => format!(
                "RLIMIT_CORE is {} soft and {} hard, and core dumps go to a pipe",
                self.of(Fact::CoreSoft),
                self.of(Fact::CoreHard)
            ),
            Guarantee::N4 => match self.of(Fact::Stray) {
                u64::MAX => "the descriptors of the program cannot be listed".into(),
                stray => format!("descriptor {} would be inherited", stray - 1),
            },
            Guarantee::N5 => "no_new_privs is not set".into(),
            Guarantee::N6 => "the descriptor that is executed is not the file that was opened".into(),
            _ => "not of this engine".into(),
        }
    }
}
