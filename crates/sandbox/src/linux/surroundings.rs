//! What the supervisor looks up before a start: the machine, the user, and what the tier needs of them.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::stat;
use rustix::process::{Resource, geteuid, getgroups, getrlimit};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};

use super::hidden::{Hidden, bytes};
use super::plan::Try;
use super::seccomp::{self, Filter};
use super::sys;
use crate::{Limits, Spec, Tier};

/// The filter of the tier. In `None` a caller that may change groups at will keeps that right: it is no
/// ordinary user, and has nothing that a private group could protect from itself.
pub(super) fn filter(spec: &Spec) -> Option<&'static Filter> {
    let may_set_groups =
        || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETGID));
    if spec.tier == Tier::None && spec.private_group.is_none() && may_set_groups() {
        return None;
    }
    let group = sys::groups().filter(|[real, effective, saved]| real == effective && real == saved);
    seccomp::filter(spec.tier, spec.private_group.is_some(), group.map(|[group, ..]| group))
}

/// Why a watcher could not take another process's socket.
pub(super) fn unanswered(filter: Option<&Filter>) -> Option<&'static str> {
    if !filter.is_some_and(Filter::notifies) {
        return None;
    }
    // 2 and 3 forbid it to every process without CAP_SYS_PTRACE, to ancestors too. Absent: no Yama.
    let scope = std::fs::read("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    matches!(scope.first(), Some(b'2' | b'3'))
        .then_some("kernel.yama.ptrace_scope forbids pidfd_getfd(2), so that no connect(2) can be judged")
}

/// The user namespace that belongs to nobody: PROC_USER_INIT_INO of the kernel's linux/nsfs.h.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Why a process of this user can read all that the user runs.
pub(super) fn readable() -> Option<&'static str> {
    let initial = stat("/proc/self/ns/user").is_ok_and(|found| found.st_ino == INITIAL_USER_NAMESPACE);
    if !initial {
        return Some("it runs in a user namespace, whose owner may read all that is in it");
    }
    let traces = || capability_is_in_bounding_set(CapabilitySet::SYS_PTRACE).unwrap_or(true);
    (geteuid().is_root() && traces())
        .then_some("the user is root, and root's processes may read every process (CAP_SYS_PTRACE)")
}

/// Why `group` is not private.
pub(super) fn shared_group(group: u32) -> Option<&'static str> {
    let is = |of: rustix::process::Gid| of.as_raw() == group;
    let member = getgroups().map_or(true, |groups| groups.into_iter().any(is));
    member.then_some("the user is a member of the group, and so are all of the user's processes")
}

/// Whether a core limit of 0 would still feed a dump to a program (core(5)). Asked only where it matters.
pub(super) fn core_is_piped() -> bool {
    if getrlimit(Resource::Core).maximum != Some(0) {
        return false;
    }
    // Unreadable counts as the worse case.
    std::fs::read("/proc/sys/kernel/core_pattern").map_or(true, |pattern| pattern.starts_with(b"|"))
}

/// Programs that may not be read are dumpable all the same (proc_sys_fs(5)).
pub(super) fn suid_is_dumpable() -> bool {
    // Unreadable counts as the worse case.
    std::fs::read("/proc/sys/fs/suid_dumpable").map_or(true, |value| value.starts_with(b"1"))
}

/// How each hidden path that is there can be tried.
pub(super) fn tries(hidden: &Hidden) -> Vec<(CString, Try)> {
    let one = |path: &Path| {
        let found = path.symlink_metadata().ok()?;
        let (path, kind) = if found.is_dir() {
            (path.join(".envseal-attempt"), Try::Make)
        } else {
            (path.to_owned(), Try::Open)
        };
        // A socket cannot be opened in any case.
        let tells = found.is_dir() || found.is_file();
        tells.then(|| CString::new(bytes(&path)).ok().map(|path| (path, kind))).flatten()
    };
    hidden.iter().filter_map(one).collect()
}

/// The limits of the tier, and those that the caller named where they are there.
pub(super) fn limits(spec: &Spec) -> Vec<(Resource, u64)> {
    let tier = if spec.tier == Tier::Lockdown { Limits::LOCKDOWN } else { Limits::default() };
    let named = spec.limits;
    let each = [
        (Resource::Data, named.memory.or(tier.memory)),
        (Resource::Nproc, named.processes.or(tier.processes)),
        (Resource::Cpu, named.cpu.or(tier.cpu)),
        (Resource::Fsize, named.file.or(tier.file)),
    ];
    each.into_iter().filter_map(|(resource, limit)| limit.map(|limit| (resource, limit))).collect()
}
