//! What the facts of a start say of each guarantee.

use super::board::{Expected, Fact, Facts, OPEN_LOADER, Pins};
use super::confine::Attempt;
use super::namespaces;
use crate::{Engine, Given, Guarantee, Tier};

/// From this version on, Landlock refuses to truncate what it hides (Linux 6.2).
const TRUNCATE: u32 = 3;
/// From this version on, Landlock scopes signals and abstract sockets (Linux 6.12).
const SCOPES: u32 = 6;

/// Whether a guarantee holds, or the first reason why it does not. Allocates nothing: the program asks this
/// of itself before it is executed.
pub(super) fn missing(facts: &Facts, guarantee: Guarantee, expected: &Expected) -> Result<(), Reason> {
    let is = |fact| facts.of(fact) == 1;
    let refused = |attempt: Attempt| facts.of(Fact::Refused) & attempt.bit() != 0;
    let must = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    let text = |holds: bool, text| must(holds, Reason::Text(text));
    let hidden = || {
        must(expected.landlock >= TRUNCATE, Reason::Landlock(TRUNCATE))?;
        text(is(Fact::Domain), "the program is in no Landlock domain of its own")?;
        text(refused(Attempt::Files), "a hidden path could be opened or changed")?;
        text(refused(Attempt::Keyring), "the kernel's keyring answers")?;
        if refused(Attempt::Network) {
            return Ok(());
        }
        text(refused(Attempt::Datagram), "datagram sockets of the Unix domain can be made")?;
        expected.unanswered.map_or(Ok(()), |why| Err(Reason::Text(why)))?;
        text(is(Fact::Listener), "the kernel gave no listener that decides on connect(2)")
    };
    match guarantee {
        Guarantee::N1 | Guarantee::N2 => {
            text(
                is(Fact::Outer),
                "the outer watcher is no subreaper, or cannot see the supervisor or /proc/thread-self/children",
            )?;
            text(
                is(Fact::Inner),
                "the inner watcher is no subreaper, or cannot see the outer one or /proc/thread-self/children",
            )?;
            let own = expected.engine == Engine::Private
                || namespaces::has_own_processes(facts.of(Fact::Namespaces));
            text(own, "the PID namespace is still the supervisor's")?;
            let signal = facts.of(Fact::DeathSignal) == libc::SIGKILL as u64;
            text(guarantee == Guarantee::N2 || signal, "the program has no parent death signal")
        }
        Guarantee::N3 => match (facts.of(Fact::CoreSoft), facts.of(Fact::CoreHard)) {
            (1, 1) => Ok(()),
            // A hard limit that is 0 already cannot be raised to the 1 that stops a pipe.
            (0, 0) => text(!expected.core_is_piped, "RLIMIT_CORE is 0, and core dumps go to a pipe"),
            (soft, hard) => Err(Reason::Core(soft, hard)),
        },
        Guarantee::N4 => match facts.of(Fact::Stray) {
            0 => Ok(()),
            u64::MAX => Err(Reason::Text("the descriptors of the program cannot be listed")),
            stray => Err(Reason::Stray(stray - 1)),
        },
        Guarantee::N5 => {
            text(is(Fact::NoNewPrivileges), "no_new_privs is not set")?;
            let capable = expected.tier >= Tier::Hardened && facts.of(Fact::Capable) != 0;
            text(!capable, "the program keeps capabilities")
        }
        // The kernel executes the file of a close-on-exec descriptor itself or answers ENOENT: no
        // script's interpreter and no binfmt_misc handler can take its place (execveat(2)).
        Guarantee::N6 => {
            text(
                (facts.of(Fact::ImageDevice), facts.of(Fact::ImageInode)) == expected.image,
                "the descriptor that is executed is not the file that was opened",
            )?;
            let whole = !expected.leased || is(Fact::Lease);
            text(whole, "the file was opened for writing after it was hashed")
        }
        Guarantee::H1 => {
            must(expected.landlock >= SCOPES, Reason::Landlock(SCOPES))?;
            text(is(Fact::Domain), "the program is in no Landlock domain of its own")?;
            text(refused(Attempt::Signal), "a process outside can be signalled")?;
            text(
                refused(Attempt::Calls),
                "ptrace(2), process_vm_readv(2) or pidfd_getfd(2) are let through",
            )?;
            text(refused(Attempt::Ipc), "System V or POSIX IPC is let through")?;
            namespaced(facts, expected)
        }
        Guarantee::H2 | Guarantee::L4 => {
            hidden()?;
            text(
                expected.engine == Engine::Private || is(Fact::Mounts),
                "the mounts are not as they were made",
            )
        }
        Guarantee::H3 => {
            text(is(Fact::Filter), "the kernel took no seccomp filter")?;
            text(refused(Attempt::Floor), "set*gid or a setgid mode is let through")?;
            text(refused(Attempt::Namespace), "new namespaces are let through")?;
            text(refused(Attempt::Calls), "ptrace(2), io_uring or process_vm_readv(2) are let through")
        }
        Guarantee::L1 => {
            text(refused(Attempt::Fork), "a second process can be made")?;
            text(refused(Attempt::Execute), "a second program can be executed")
        }
        Guarantee::L2 => text(refused(Attempt::Network), "sockets can be made"),
        Guarantee::L3 => {
            must(expected.landlock >= TRUNCATE, Reason::Landlock(TRUNCATE))?;
            text(is(Fact::Domain), "the program is in no Landlock domain of its own")?;
            text(refused(Attempt::Root), "directories can be listed that were not named")?;
            text(
                expected.engine == Engine::Private || is(Fact::Mounts),
                "the mounts are not as they were made",
            )
        }
        Guarantee::L5 => text(is(Fact::Limits), "a limit is not in force"),
        Guarantee::L6 => unreadable(facts, expected),
    }
}

fn namespaced(facts: &Facts, expected: &Expected) -> Result<(), Reason> {
    let wanted = namespaces::wanted(expected.tier);
    let has = facts.of(Fact::Namespaces) & wanted == wanted;
    if expected.engine == Engine::Private || has {
        Ok(())
    } else {
        Err(Reason::Text("a namespace is still the supervisor's"))
    }
}

/// A private group for the tree, a sealed image for one process; in a user namespace of this user only a
/// loader that nobody can read, since its owner may read everything else.
fn unreadable(facts: &Facts, expected: &Expected) -> Result<(), Reason> {
    let is = |fact| facts.of(fact) == 1;
    let refused = |attempt: Attempt| facts.of(Fact::Refused) & attempt.bit() != 0;
    if let Some(why) = expected.readable {
        return Err(Reason::Text(why));
    }
    if expected.engine == Engine::Namespaces {
        return match (expected.loader, is(Fact::Loader)) {
            (true, true) => Ok(()),
            (true, false) if facts.of(Fact::Loader) == OPEN_LOADER => Err(Reason::Text(
                "this kernel lets the user into the program's namespaces (NS_MNT_GET_NEXT, or handles of \
                 namespaces), and so take the loader away",
            )),
            (true, false) => Err(Reason::Text("the dynamic loader can be read")),
            (false, _) => Err(Reason::Text(
                "the user owns the program's user namespace and may read it (no execute-only loader is \
                 installed, or the program is statically linked)",
            )),
        };
    }
    if expected.private_group {
        return match expected.shared_group {
            Some(why) => Err(Reason::Text(why)),
            None if !is(Fact::PrivateGroup) => {
                Err(Reason::Text("the program has not the private group alone"))
            }
            None if !is(Fact::Domain) => Err(Reason::Text("the program is in no Landlock domain of its own")),
            None if refused(Attempt::Floor) && refused(Attempt::Namespace) => Ok(()),
            None => Err(Reason::Text("set*gid, a setgid mode or a user namespace is let through")),
        };
    }
    if !is(Fact::Unreadable) {
        return Err(Reason::Text("the program runs without a private group (`sudo envseal install`)"));
    }
    if expected.dumpable {
        return Err(Reason::Text("fs.suid_dumpable is 1: unreadable programs are dumpable"));
    }
    if refused(Attempt::Fork) && refused(Attempt::Execute) {
        Ok(())
    } else {
        Err(Reason::Text("a sealed image protects one process, and this one can make another"))
    }
}

/// Why a guarantee does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Text(&'static str),
    /// RLIMIT_CORE, soft and hard.
    Core(u64, u64),
    /// A descriptor that nobody declared.
    Stray(u64),
    /// The least version of Landlock.
    Landlock(u32),
}

/// Every guarantee that is promised, with what the facts say.
/// `image` is what guards the bytes of the image itself.
pub(super) fn judge(facts: &Facts, expected: &Expected, image: &Given) -> Vec<(Guarantee, Given)> {
    let judge = |&guarantee: &Guarantee| {
        let given = match missing(facts, guarantee, expected) {
            Err(reason) => Given::No(reason.text(expected)),
            Ok(()) => weakness(facts, guarantee, expected, image),
        };
        (guarantee, given)
    };
    promised(expected).map(judge).collect()
}

/// The guarantees of the tier, and L6 in every tier when there is to be a private group.
pub(super) fn promised(expected: &Expected) -> impl Iterator<Item = &'static Guarantee> {
    let beyond = expected.private_group && expected.tier < Tier::Lockdown;
    expected.tier.guarantees().iter().chain(beyond.then_some(&Guarantee::L6))
}

fn weakness(facts: &Facts, guarantee: Guarantee, expected: &Expected, image: &Given) -> Given {
    let refused = |attempt: Attempt| facts.of(Fact::Refused) & attempt.bit() != 0;
    match guarantee {
        Guarantee::N5 if facts.of(Fact::Capable) != 0 => {
            Given::Guarded("the program keeps the capabilities of its caller".into())
        }
        Guarantee::N2 if expected.engine == Engine::Private && !refused(Attempt::Signal) => {
            Given::Guarded("a program that ends both watchers with SIGKILL at the same moment escapes".into())
        }
        Guarantee::N6 => match (image, expected.pins, facts.of(Fact::Loader)) {
            (Given::Yes, Pins::Loose, _) => Given::Guarded(
                "a pinned file lies where the user can rename it, and what is put in its place is what the \
                 program finds"
                    .into(),
            ),
            (Given::Yes, Pins::Firm, loader) if loader != 1 => Given::Guarded(
                "the user owns the program's namespaces, and so can change what a pinned file is there".into(),
            ),
            _ => image.clone(),
        },
        Guarantee::H2 if expected.engine == Engine::Private => Given::Guarded(
            "names, sizes and modes of hidden files are within reach, not their contents; what is new in the \
             directories above them cannot be opened"
                .into(),
        ),
        _ => Given::Yes,
    }
}

impl Reason {
    fn text(self, expected: &Expected) -> String {
        match self {
            Reason::Text(text) => text.into(),
            Reason::Core(soft, hard) => {
                format!("RLIMIT_CORE is {soft} soft and {hard} hard, and core dumps go to a pipe")
            }
            Reason::Stray(number) => format!("descriptor {number} would be inherited"),
            Reason::Landlock(_) if expected.landlock == 0 => "the kernel has no Landlock".into(),
            Reason::Landlock(needed) => {
                format!("the kernel has version {} of Landlock, and {needed} is needed", expected.landlock)
            }
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
