//! The program's process, from its making to its execution.
//!
//! Runs in the memory of the inner watcher, which is suspended until then (CLONE_VFORK).

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, RawDir, fstat, open};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::process::{
    Resource, Signal, chdir, getppid, getrlimit, parent_process_death_signal,
    set_parent_process_death_signal, setpgid,
};
use rustix::termios::tcsetpgrp;
use rustix::thread::{capabilities, no_new_privs};

use super::board::{Fact, Stage};
use super::plan::{Plan, bit};
use super::step::Step;
use super::sys::{self, Role};
use crate::Guarantee;

/// Becomes the program.
pub(super) struct Program;

impl Role for Program {
    const FLAGS: i32 = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    const STACK: usize = 2;

    fn run(plan: &Plan) -> i32 {
        if let Err((step, errno)) = prepare(plan) {
            plan.board.fail(step as u32, errno);
            return 1;
        }
        read_back(plan);
        if lacks(plan) {
            plan.board.enter(Stage::Lacking);
            return 1;
        }
        sys::unblock_signals();
        plan.board.enter(Stage::Executing);
        let error = sys::execute(plan.image, plan.argv.as_ptr(), plan.envp.as_ptr());
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
    } else if plan.group != 0 {
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
    let board = &plan.board;
    let core = getrlimit(Resource::Core);
    board.set(Fact::CoreSoft, core.current.unwrap_or(u64::MAX));
    board.set(Fact::CoreHard, core.maximum.unwrap_or(u64::MAX));
    board.set(Fact::NoNewPrivileges, no_new_privs().is_ok_and(|set| set).into());
    let signal = parent_process_death_signal().ok().flatten();
    board.set(Fact::DeathSignal, signal.map_or(0, |signal| signal.as_raw() as u64));
    let capable = capabilities(None).map_or(true, |sets| !(sets.effective | sets.permitted).is_empty());
    board.set(Fact::Capable, capable.into());
    let image = sys::borrow(plan.image);
    if let (Ok(FdFlags::CLOEXEC), Ok(stat)) = (fcntl_getfd(image), fstat(image)) {
        board.set(Fact::ImageDevice, stat.st_dev);
        board.set(Fact::ImageInode, stat.st_ino);
    }
    board.set(Fact::Stray, stray(plan).map_or(u64::MAX, |stray| stray.map_or(0, |number| number as u64 + 1)));
}

/// The first descriptor that execve would keep although nobody declared it.
fn stray(plan: &Plan) -> Result<Option<i32>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(c"/proc/self/fd", flags, Mode::empty())?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 1024];
    let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        let Some(number) = number(entry?.file_name()) else { continue };
        let declared = plan.moves.iter().any(|step| step.declared && step.target == number);
        if !declared && !fcntl_getfd(sys::borrow(number))?.contains(FdFlags::CLOEXEC) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn number(name: &CStr) -> Option<i32> {
    let mut value = 0_i32;
    for &byte in name.to_bytes() {
        let digit = char::from(byte).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(digit as i32)?;
    }
    Some(value)
}

fn lacks(plan: &Plan) -> bool {
    let facts = plan.board.facts();
    let must = |guarantee: Guarantee| plan.waived & bit(guarantee) == 0;
    let mut promised = crate::Tier::None.guarantees().iter();
    promised.any(|&guarantee| must(guarantee) && !facts.hold(guarantee, plan.expected))
}
