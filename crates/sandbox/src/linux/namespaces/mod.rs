//! The namespace engine: what a program sees of the system is made for it, beside Landlock and seccomp.
//!
//! ```text
//! supervisor   World::new: every path, mount and number that is needed, since nothing allocates later
//! outer        identity: a user namespace with the caller's own user and group, and nobody else's
//! inner        process 1 of the other namespaces; enter: mounts, limits, what is read back
//! program      keeps no capability, so that it can change none of it
//! ```
//!
//! A user namespace belongs to the user who made it, and its owner may read what runs in it: H1 and H2
//! keep the program from others, never others from the program (L6 says what does).

mod enter;
mod identity;
mod loader;
mod mounts;
mod network;
mod pins;
mod reason;
mod view;
mod world;

use std::ffi::CStr;

use rustix::process::Pid;
use rustix::thread::CapabilitySet;

use super::confine::drop_capabilities;
use crate::Tier;

pub(super) use enter::{end_with_outer, ends_with_outer, enter};
pub(super) use identity::become_owner;
pub(super) use reason::refusal;
pub(super) use world::{World, terminal_path};

/// A kind of namespace; its number is its bit in `Fact::Namespaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Pid,
    Mount,
    Ipc,
    Uts,
    Cgroup,
    Network,
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::User, Kind::Pid, Kind::Mount, Kind::Ipc, Kind::Uts, Kind::Cgroup, Kind::Network];

    /// Its file (namespaces(7)).
    fn file(self) -> &'static CStr {
        match self {
            Kind::User => c"/proc/self/ns/user",
            Kind::Pid => c"/proc/self/ns/pid",
            Kind::Mount => c"/proc/self/ns/mnt",
            Kind::Ipc => c"/proc/self/ns/ipc",
            Kind::Uts => c"/proc/self/ns/uts",
            Kind::Cgroup => c"/proc/self/ns/cgroup",
            Kind::Network => c"/proc/self/ns/net",
        }
    }

    /// Its clone(2) flag.
    fn flag(self) -> i32 {
        match self {
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Uts => libc::CLONE_NEWUTS,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Network => libc::CLONE_NEWNET,
        }
    }

    fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// The kinds that a tier has of its own. In `None` what is needed to end the tree for certain; the network
/// stays in `Hardened`.
fn kinds(tier: Tier) -> &'static [Kind] {
    match tier {
        Tier::None => &Kind::ALL[..3],
        Tier::Hardened => &Kind::ALL[..6],
        Tier::Lockdown => &Kind::ALL,
    }
}

/// A bit for each kind of namespace that a tier has of its own.
pub(super) fn wanted(tier: Tier) -> u64 {
    kinds(tier).iter().fold(0, |mask, kind| mask | kind.bit())
}

/// Whether the facts have a PID namespace of the program's own.
pub(super) fn has_own_processes(namespaces: u64) -> bool {
    namespaces & Kind::Pid.bit() != 0
}

/// The clone(2) flags of the inner watcher, which is in the user namespace already and enters that of the
/// network later.
pub(super) fn flags(tier: Tier) -> i32 {
    let made = kinds(tier).iter().filter(|&&kind| kind != Kind::User && kind != Kind::Network);
    made.fold(0, |flags, kind| flags | kind.flag())
}

/// What the outer watcher still does for the namespaces once the inner one was made, or could not be.
pub(super) fn finish(world: &World, keeper: Option<Pid>) {
    if let Some(way) = world.network {
        way.lend();
    }
    identity::reap(keeper);
    drop_capabilities(CapabilitySet::empty());
}
