//! The program's process, from its making to its execution.
//!
//! Runs in the memory of the inner watcher, which is suspended until then (CLONE_VFORK).

use std::io;

use rustix::fs::fstat;
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::process::{
    Resource, Signal, chdir, getppid, getrlimit, parent_process_death_signal,
    set_parent_process_death_signal, setpgid,
};
use rustix::termios::tcsetpgrp;
use rustix::thread::no_new_privs;

use super::board::{Fact, Stage};
use super::confine::{self, confine};
use super::judge;
use super::plan::{Plan, bit};
use super::step::Step;
use super::sys::{self, Role};
use crate::Guarantee;

/// Becomes the program.
pub(super) struct Program;

impl Role for Program {
    const STACK: usize = 2;

    fn flags(_: &Plan) -> i32 {
        libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD
    }

    fn run(plan: &Plan) -> i32 {
        if let Err((step, errno)) = prepare(plan) {
            plan.board.fail(step as u32, errno);
            return 1;
        }
        confine(plan);
        read_back(plan);
        if lacks(plan) {
            plan.board.enter(Stage::Lacking);
            return 1;
        }
        sys::unblock_signals();
        plan.board.enter(Stage::Executing);
        let error = sys::execute(plan.image, plan.argv.as_ptr(), plan.envp.as_ptr(), plan.key.get());
        plan.board.fail(Step::Execute as u32, error.raw_os_error().unwrap_or(0));
        1
    }
}

fn prepare(plan: &Plan) -> Result<(), (Step, i32)> {
    let at = |step| move |error: Errno| (step, error.raw_os_error());
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Process))?;
    let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent != plan.inner.load(std::sync::atomic::Ordering::SeqCst) {
        return Err((Step::Ended, 0));
    }
    if let Some(terminal) = plan.terminal {
        // A group of its own in the watcher's session: not an orphaned one, so that Ctrl-Z stops it.
        setpgid(None, None).map_err(at(Step::Group))?;
        tcsetpgrp(sys::borrow(terminal), rustix::process::getpid()).map_err(at(Step::Terminal))?;
    } else if plan.group != 0 && plan.world.is_none() {
        let group = rustix::process::Pid::from_raw(plan.group);
        setpgid(None, group).map_err(at(Step::Group))?;
    }
    match &plan.directory {
        Some(directory) => chdir(directory.as_c_str()).map_err(at(Step::Directory)),
        None => Ok(()),
    }
}

/// What execve keeps is read here, the last moment before the program's first instruction.
fn read_back(plan: &Plan) {
    confine::read_back(plan);
    let board = &plan.board;
    let core = getrlimit(Resource::Core);
    board.set(Fact::CoreSoft, core.current.unwrap_or(u64::MAX));
    board.set(Fact::CoreHard, core.maximum.unwrap_or(u64::MAX));
    board.set(Fact::NoNewPrivileges, no_new_privs().is_ok_and(|set| set).into());
    board.set(Fact::Stray, stray(plan).map_or(u64::MAX, |stray| stray.map_or(0, |number| number as u64 + 1)));
    let signal = parent_process_death_signal().ok().flatten();
    board.set(Fact::DeathSignal, signal.map_or(0, |signal| signal.as_raw() as u64));
    board.set(Fact::Capable, confine::has_more_than(plan.spared()).into());
    let image = sys::borrow(plan.image);
    if let (Ok(FdFlags::CLOEXEC), Ok(stat)) = (fcntl_getfd(image), fstat(image)) {
        board.set(Fact::ImageDevice, stat.st_dev);
        board.set(Fact::ImageInode, stat.st_ino);
        board.set(Fact::Lease, sys::has_lease(image).into());
    }
}

/// The first descriptor that execve would keep although nobody declared it: each number that the plan uses is
/// asked for, and the kernel is told to close all above.
fn stray(plan: &Plan) -> io::Result<Option<i32>> {
    let last = plan.targets.last().copied().unwrap_or(2);
    sys::close_on_exec_from(last + 1)?;
    for number in 0..=last {
        let declared = plan.moves.iter().any(|step| step.declared && step.target == number);
        match fcntl_getfd(sys::borrow(number)) {
            Ok(flags) if !declared && !flags.contains(FdFlags::CLOEXEC) => return Ok(Some(number)),
            Ok(_) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn lacks(plan: &Plan) -> bool {
    let facts = plan.board.facts();
    let must = |guarantee: Guarantee| plan.waived & bit(guarantee) == 0;
    judge::promised(&plan.expected)
        .any(|&guarantee| must(guarantee) && judge::missing(&facts, guarantee, &plan.expected).is_err())
}
