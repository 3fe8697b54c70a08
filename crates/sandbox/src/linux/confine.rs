//! What a program does to itself before it is executed, and the attempts by which that is read back.
//!
//! That a filter or a domain was installed proves little. So each restriction is tried: a call that does
//! nothing, and that the kernel answers differently without the restriction, must be refused.

use std::sync::atomic::Ordering::SeqCst;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, open, unlink};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities,
};

use super::board::Fact;
use super::gate;
use super::plan::{PRIVATE, Plan, Try};
use super::proc_file::ProcPath;
use super::sys;
use super::sys_confine::{install_filter, is_refused, landlock_restrict};
use crate::Tier;

/// An attempt that must have been refused; the number is its bit in [`Fact::Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Take a group (setgid(2)); make a setgid file.
    Floor,
    /// Make a user namespace; enter one.
    Namespace,
    /// Trace, use io_uring, read another process's memory.
    Calls,
    /// System V shared memory; POSIX message queues.
    Ipc,
    /// Ask for a key.
    Keyring,
    /// Make a datagram socket of the Unix domain, whose every message can have an address of its own.
    Datagram,
    /// Signal the outer watcher, or the inner one where the outer one has no number.
    Signal,
    /// Make a file in each hidden directory; open each hidden file.
    Files,
    /// Make a process.
    Fork,
    /// Execute by a path; by a descriptor, without the key.
    Execute,
    /// Make a socket for the network.
    Network,
    /// List the root directory, which every user can.
    Root,
}

impl Attempt {
    pub(super) fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// Restricts this process for good. What cannot be set is not given: it is read back later.
pub(super) fn confine(plan: &Plan) {
    for &(resource, limit) in plan.limits() {
        let _ = setrlimit(resource, lowered(resource, limit));
    }
    if plan.tier >= Tier::Hardened || plan.world.is_some() {
        drop_capabilities(plan.spared());
    }
    if let Some(ruleset) = plan.ruleset {
        let restricted = landlock_restrict(sys::borrow(ruleset)).is_ok();
        plan.board.set(Fact::Domain, restricted.into());
    }
    let Some(filter) = &plan.filter else { return };
    if let Ok(listener) = install_filter(filter, plan.listens) {
        plan.board.set(Fact::Filter, 1);
        if let (Some(listener), Some(gate)) = (listener, plan.gate) {
            plan.board.set(Fact::Listener, gate::send(gate.program, &listener).into());
        }
    }
}

/// Gives up every capability but `spared` for good: no_new_privs keeps an execution from bringing one back, for
/// root too (capabilities(7)).
pub(super) fn drop_capabilities(spared: CapabilitySet) {
    if has_more_than(spared) {
        let sets =
            CapabilitySets { effective: CapabilitySet::empty(), permitted: spared, inheritable: spared };
        let _ = set_capabilities(None, sets);
    }
}

/// Whether this process has a capability beside `spared` in its effective, permitted or inheritable set.
pub(super) fn has_more_than(spared: CapabilitySet) -> bool {
    let more = |sets: CapabilitySets| {
        !(sets.effective | sets.permitted | sets.inheritable).difference(spared).is_empty()
    };
    capabilities(None).map_or(true, more)
}

/// The limit that is asked for, or what the process has when that is less.
fn lowered(resource: Resource, limit: u64) -> Rlimit {
    let has = getrlimit(resource);
    let least = |has: Option<u64>| Some(has.map_or(limit, |has| has.min(limit)));
    let maximum = least(has.maximum);
    Rlimit { current: least(has.current), maximum }
}

/// Tries what must be refused, and looks at what cannot be tried.
pub(super) fn read_back(plan: &Plan) {
    let board = &plan.board;
    let mut refused = 0;
    for attempt in ATTEMPTS {
        if plan.tier >= attempt.from(plan) && attempt.is_refused(plan) {
            refused |= attempt.bit();
        }
    }
    board.set(Fact::Refused, refused);
    let limited = |&(resource, limit): &(Resource, u64)| {
        let has = getrlimit(resource);
        has.current.is_some_and(|has| has <= limit) && has.maximum.is_some_and(|has| has <= limit)
    };
    board.set(Fact::Limits, plan.limits().iter().all(limited).into());
    let ours = plan.private_group.is_some_and(|group| sys::groups() == Some([group; 3]))
        && capability_is_in_ambient_set(PRIVATE) == Ok(true);
    board.set(Fact::PrivateGroup, ours.into());
    // What the kernel asks when it decides whether the new program may be dumped (execve(2)).
    let image = sys::borrow(plan.image);
    let path = ProcPath::of_descriptor(image);
    let readable = accessat(CWD, path.as_c_str(), Access::READ_OK, AtFlags::EACCESS);
    let unreadable = matches!(readable, Err(Errno::ACCESS)) && super::seal::is_sealed(image);
    board.set(Fact::Unreadable, unreadable.into());
}

const ATTEMPTS: [Attempt; 12] = [
    Attempt::Floor,
    Attempt::Namespace,
    Attempt::Calls,
    Attempt::Ipc,
    Attempt::Keyring,
    Attempt::Datagram,
    Attempt::Signal,
    Attempt::Files,
    Attempt::Fork,
    Attempt::Execute,
    Attempt::Network,
    Attempt::Root,
];

impl Attempt {
    /// The least tier in which it must be refused, and so may be tried.
    fn from(self, plan: &Plan) -> Tier {
        match self {
            Attempt::Floor => Tier::None,
            Attempt::Namespace if plan.private_group.is_some() => Tier::None,
            Attempt::Fork | Attempt::Execute | Attempt::Network | Attempt::Root => Tier::Lockdown,
            _ => Tier::Hardened,
        }
    }

    fn is_refused(self, plan: &Plan) -> bool {
        const PERM: i32 = libc::EPERM;
        const NOWHERE: usize = usize::MAX;
        let nothing = [0; 4];
        match self {
            // -1 is no group: where it is let through, only the present one is told. No such descriptor.
            Attempt::Floor => {
                is_refused(libc::SYS_setfsgid, [u32::MAX as usize, 0, 0, 0], PERM)
                    && is_refused(libc::SYS_fchmod, [NOWHERE, 0o2711, 0, 0], PERM)
            }
            // Flags that no kernel takes together, a descriptor that is none.
            Attempt::Namespace => {
                is_refused(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize | 1, 0, 0, 0], PERM)
                    && (plan.tier < Tier::Hardened || is_refused(libc::SYS_setns, [NOWHERE, 0, 0, 0], PERM))
            }
            // No such request, no such process, no entries.
            Attempt::Calls => {
                is_refused(libc::SYS_ptrace, [0xffff, 0, 0, 0], PERM)
                    && is_refused(libc::SYS_io_uring_setup, nothing, self.io_uring(plan))
                    && is_refused(libc::SYS_process_vm_readv, [0, 0, 0, 0], PERM)
                    && is_refused(libc::SYS_pidfd_getfd, [NOWHERE, NOWHERE, 0, 0], PERM)
            }
            // Size 0 and no key; no name.
            Attempt::Ipc => {
                is_refused(libc::SYS_shmget, nothing, PERM) && is_refused(libc::SYS_mq_open, nothing, PERM)
            }
            Attempt::Keyring => is_refused(libc::SYS_keyctl, [NOWHERE, 0, 0, 0], PERM),
            Attempt::Datagram => {
                let [family, kind] = [libc::AF_UNIX, libc::SOCK_DGRAM].map(|number| number as usize);
                // A protocol that this family does not have.
                is_refused(libc::SYS_socket, [family, kind, 0xff, 0], PERM)
            }
            // Nothing is sent: only whether it may be is asked (kill(2)).
            Attempt::Signal => {
                let watcher = if plan.world.is_some() { &plan.inner } else { &plan.outer };
                let watcher = watcher.load(SeqCst);
                watcher > 0 && is_refused(libc::SYS_kill, [watcher as usize, 0, 0, 0], PERM)
            }
            Attempt::Files => plan.tries.iter().all(|(path, kind)| match kind {
                Try::Open => matches!(
                    open(path.as_c_str(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()),
                    Err(Errno::ACCESS)
                ),
                Try::Make => {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    let made = open(path.as_c_str(), flags, Mode::RUSR);
                    // Covered, or in a directory that is not there any more.
                    let hidden = plan.world.is_some() && matches!(made, Err(Errno::ROFS | Errno::NOENT));
                    let refused = hidden || matches!(made, Err(Errno::ACCESS));
                    if made.is_ok() {
                        let _ = unlink(path.as_c_str());
                    }
                    refused
                }
            }),
            // Shared handlers without shared memory: EINVAL where it is let through.
            Attempt::Fork => {
                is_refused(libc::SYS_clone, [libc::CLONE_SIGHAND as usize, 0, 0, 0], PERM)
                    && is_refused(libc::SYS_clone3, nothing, libc::ENOSYS)
            }
            Attempt::Execute => {
                is_refused(libc::SYS_execve, nothing, PERM)
                    && is_refused(libc::SYS_execveat, [u32::MAX as usize, 0, 0, 0], PERM)
            }
            Attempt::Network => [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK]
                .into_iter()
                .all(|family| is_refused(libc::SYS_socket, [family as usize, 0xf, 0, 0], PERM)),
            Attempt::Root => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                matches!(open(c"/", flags, Mode::empty()), Err(Errno::ACCESS))
            }
        }
    }

    /// libuv falls back when this call is not there, so Hardened says so; the closed list knows one answer.
    fn io_uring(self, plan: &Plan) -> i32 {
        if plan.tier == Tier::Lockdown { libc::EPERM } else { libc::ENOSYS }
    }
}
