//! What the inner watcher does as process 1 of its namespaces, before it makes the program.

use std::ffi::CStr;
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, accessat, open, readlinkat_raw, stat, statvfs,
};
use rustix::io::{Errno, write};
use rustix::process::{Signal, chdir, parent_process_death_signal, set_parent_process_death_signal, umask};
use std::sync::atomic::Ordering::SeqCst;

use rustix::thread::CapabilitySet;

use super::super::board::{Fact, OPEN_LOADER};
use super::super::confine::drop_capabilities;
use super::super::plan::Plan;
use super::super::step::Step;
use super::super::sys;
use super::super::sys_confine::landlock_allow;
use super::super::sys_namespaces::set_host_name;
use super::world::inodes;
use super::{Kind, World, reason};
use crate::Tier;

/// What the machine is called inside.
const NAME: &[u8] = b"envseal";
/// How many further user namespaces can be made (namespaces(7)).
const NESTED: &CStr = c"/proc/sys/user/max_user_namespaces";

/// Makes what the program sees, for good: afterwards this process has no capability left to change it.
pub(in super::super) fn enter(plan: &Plan, world: &World) -> Result<(), (Step, i32)> {
    let mask = umask(Mode::empty());
    let made = make(world);
    umask(mask);
    made?;
    if plan.tier >= Tier::Hardened {
        set_host_name(NAME).map_err(|error| (Step::Namespaces, error.raw_os_error().unwrap_or(0)))?;
    }
    // What cannot be set is held by seccomp, whose refusal is read back.
    if let Ok(limit) = open(NESTED, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = write(&limit, b"0");
    }
    if let Some(ruleset) = plan.ruleset {
        for (path, rights) in &world.grants {
            // What is not granted is not reached.
            if let Ok(beneath) = open(path.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                let _ = landlock_allow(sys::borrow(ruleset), beneath.as_fd(), *rights);
            }
        }
    }
    if let Some(way) = world.network {
        way.enter().map_err(|error| (Step::Namespaces, error.raw_os_error()))?;
    }
    drop_capabilities(CapabilitySet::empty());
    read_back(plan, world);
    Ok(())
}

fn make(world: &World) -> Result<(), (Step, i32)> {
    let failed = |number, error: Errno| (Step::World, reason::pack(number, error.raw_os_error()));
    let all = world.steps.len();
    chdir(c"/dev").map_err(|error| failed(all, error))?;
    for (number, step) in world.steps.iter().enumerate() {
        step.take().map_err(|error| failed(number, error))?;
    }
    // The caller's, or one that leads nowhere else than its path does.
    chdir(world.directory.as_c_str()).or_else(|_| chdir(c"/")).map_err(|error| failed(all, error))
}

fn read_back(plan: &Plan, world: &World) {
    let now = inodes();
    let own = Kind::ALL.into_iter().filter(|&kind| {
        let [before, now] = [world.before, now].map(|inodes| inodes[kind as usize]);
        before != 0 && now != 0 && before != now
    });
    plan.board.set(Fact::Namespaces, own.fold(0, |mask, kind| mask | kind.bit()));
    let moved = world.moved.iter().all(|(path, was)| match stat(path.as_c_str()) {
        Ok(found) => (found.st_dev, found.st_ino) != *was,
        Err(error) => error == Errno::NOENT || error == Errno::NOTDIR,
    });
    let is_read_only =
        |path: &CStr| statvfs(path).is_ok_and(|mounted| mounted.f_flag.contains(StatVfsMountFlags::RDONLY));
    let read_only = world.read_only.iter().all(|path| is_read_only(path));
    plan.board.set(Fact::Mounts, (moved && read_only && has_own_processes()).into());
    if let Some(loader) = &world.loader {
        let may = |access| accessat(CWD, loader.as_c_str(), access, AtFlags::EACCESS);
        let shielded = may(Access::READ_OK) == Err(Errno::ACCESS) && may(Access::EXEC_OK).is_ok();
        let handed_out = world.handed_out.load(SeqCst);
        plan.board.set(Fact::Loader, if shielded && handed_out { OPEN_LOADER } else { shielded.into() });
    }
}

/// Whether /proc shows this PID namespace: this process is number 1 there.
fn has_own_processes() -> bool {
    let mut room = [0_u8; 16];
    let own = readlinkat_raw(CWD, c"/proc/self", &mut room[..]);
    own.is_ok_and(|length| length == 1) && room[0] == b'1'
}

/// Ends this process, and so the tree, when the outer watcher ends; whether that is certain. A signal from
/// outside of the namespace cannot be ignored, not even by a stopped process 1.
pub(in super::super) fn end_with_outer(world: &World) -> bool {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // Its number is 0 here, before as after its end, so that getppid(2) tells nothing.
    let outer = sys::borrow(world.outer.load(SeqCst));
    let mut ends = [PollFd::from_borrowed_fd(outer, PollFlags::IN)];
    ends_with_outer() && poll(&mut ends, Some(&Timespec::default())) == Ok(0)
}

/// Whether that is still so: the kernel forgets it when a process gains rights (prctl(2)).
pub(in super::super) fn ends_with_outer() -> bool {
    parent_process_death_signal() == Ok(Some(Signal::KILL))
}
