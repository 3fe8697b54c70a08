//! The two watchers. Each ends the whole tree when the other, or the supervisor, is gone.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread, read};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, child_subreaper,
    getpid, getppid, ioctl_tiocsctty, parent_process_death_signal, pidfd_open, set_child_subreaper,
    set_dumpable_behavior, set_parent_process_death_signal, setpgid, setrlimit, setsid, wait,
};
use rustix::thread::set_no_new_privs;

use super::board::{Fact, Stage};
use super::confine::drop_capabilities;
use super::connect::{Doorman, PENDING};
use super::gate;
use super::namespaces;
use super::plan::Plan;
use super::program::Program;
use super::report::{ORDER, Order, Report};
use super::step::Step;
use super::sys::{self, Role, spawn};
use super::sys_confine::impatiently;
use crate::Tier;

/// What the outer watcher's end is to the inner one: a signal that it can tell from others by asking.
const OUTER_ENDED: Signal = Signal::TERM;
/// Children of every kind, whatever signal they end with.
const EVERY: WaitOptions = WaitOptions::from_bits_retain(libc::__WALL as u32);

/// Watches the supervisor and the inner watcher.
pub(super) struct Outer;

/// Starts the program, watches it, the supervisor and the outer watcher, and reports.
pub(super) struct Inner;

impl Role for Outer {
    // No signal at the end, so that waits of the caller that are not ours never see this child.
    const STACK: usize = 0;

    fn flags(_: &Plan) -> i32 {
        libc::CLONE_PIDFD
    }

    fn run(plan: &Plan) -> i32 {
        // The memory is a copy of the supervisor's: no other process of the user shall read it here.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        sys::default_signals();
        let mut link = plan.moves.first().map_or(-1, |step| step.source);
        if let Err((step, errno)) = guard(plan, &mut link) {
            tell(sys::borrow(link), Report::Failed { step: step as u32, errno });
            return 1;
        }
        0
    }
}

fn guard(plan: &Plan, link: &mut i32) -> Result<(), (Step, i32)> {
    arrange(plan, link)?;
    let reaper = become_subreaper();
    let supervisor = Pid::from_raw(plan.supervisor)
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let supervisor = supervisor.map_err(|error| (Step::Supervisor, error.raw_os_error()))?;
    if raw(getppid()) != plan.supervisor {
        return Err((Step::Supervisor, Errno::SRCH.raw_os_error()));
    }
    // What cannot be set is not given: it is read back later.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) });
    let _ = set_no_new_privs(true);
    let children = open_children();
    plan.board.set(Fact::Outer, (reaper && children.is_ok()).into());
    plan.outer.store(raw(Some(getpid())), SeqCst);

    let mut keeper = None;
    if let Some(world) = &plan.world {
        let own = pidfd_open(getpid(), PidfdFlags::empty());
        world.outer.store(own.map_err(|error| (Step::Watcher, error.raw_os_error()))?.into_raw_fd(), SeqCst);
        keeper = namespaces::become_owner(plan, world)?;
    }
    let made = if plan.world.is_some() { Step::Namespaces } else { Step::Watcher };
    let spawned = spawn::<Inner>(plan);
    if let Some(world) = &plan.world {
        namespaces::finish(world, keeper);
    }
    let (_, inner) = spawned.map_err(|error| (made, errno(&error)))?;
    let inner = inner.ok_or((Step::Watcher, Errno::NOSYS.raw_os_error()))?;
    let children = children.ok();
    keep_only([supervisor.as_raw_fd(), inner.as_raw_fd(), number(children.as_ref())]);
    // Out of reach of what a terminal, or a signal to the caller's process group, does.
    let _ = setsid();

    let mut ends = [PollFd::new(&supervisor, PollFlags::IN), PollFd::new(&inner, PollFlags::IN)];
    while poll(&mut ends, None) == Err(Errno::INTR) {}
    end_children(children.as_ref(), |_, _| {});
    Ok(())
}

impl Role for Inner {
    const STACK: usize = 1;

    fn flags(plan: &Plan) -> i32 {
        let own = plan.world.as_ref().map_or(0, |_| namespaces::flags(plan.tier));
        libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD | own
    }

    fn run(plan: &Plan) -> i32 {
        let link = sys::borrow(plan.link);
        match launch(plan) {
            Ok(launched) => serve(plan, launched),
            Err((step, errno)) => tell(link, Report::Failed { step: step as u32, errno }),
        }
        0
    }
}

/// What the inner watcher holds while the program runs.
struct Launched {
    program: Pid,
    signals: OwnedFd,
    children: Option<OwnedFd>,
    doorman: Option<Doorman>,
}

/// Makes the program's process, and tells what became of it.
fn launch(plan: &Plan) -> Result<Launched, (Step, i32)> {
    let at = |step| move |error: Errno| (step, error.raw_os_error());
    plan.inner.store(raw(Some(getpid())), SeqCst);
    // As the supervisor numbers them.
    let numbered = plan.world.as_ref().and_then(|_| open_children().ok());
    let told = match &plan.world {
        Some(world) => {
            let ends = namespaces::end_with_outer(world);
            namespaces::enter(plan, world)?;
            ends && namespaces::ends_with_outer() && numbered.is_some()
        }
        None => {
            set_parent_process_death_signal(Some(OUTER_ENDED)).is_ok()
                && parent_process_death_signal() == Ok(Some(OUTER_ENDED))
                && raw(getppid()) == plan.outer.load(SeqCst)
        }
    };
    let children = open_children();
    plan.board.set(Fact::Inner, (told && become_subreaper() && children.is_ok()).into());
    if let Some(terminal) = plan.terminal {
        setsid().map_err(at(Step::Terminal))?;
        ioctl_tiocsctty(sys::borrow(terminal)).map_err(at(Step::Terminal))?;
    } else if plan.group != 0 && plan.world.is_none() {
        // A signal to the caller's process group shall not meet both the tree and its watcher.
        setpgid(None, None).map_err(at(Step::Group))?;
    }
    let signals = sys::signal_descriptor(&[libc::SIGCHLD, OUTER_ENDED.as_raw()])
        .map_err(|error| (Step::Process, errno(&error)))?;

    let made = spawn::<Program>(plan);
    // This memory would keep a copy of the environment for as long as the program runs.
    plan.envp.wipe();
    plan.key.forget();
    let (pid, _) = made.map_err(|error| (Step::Process, errno(&error)))?;
    let program = Pid::from_raw(pid).ok_or((Step::Process, 0))?;
    if plan.world.is_some() && plan.terminal.is_none() && plan.group != 0 {
        // The program could not name the caller's group here, and so stayed where it was made.
        setpgid(None, None).map_err(at(Step::Group))?;
    }
    // The first child: what is left behind comes after it.
    let pid = numbered.as_ref().map_or(pid, |children| first_child(children).unwrap_or(0));
    drop(numbered);
    let report = match plan.board.stage() {
        Stage::Executing => Report::Started { pid, facts: plan.board.facts() },
        Stage::Lacking => Report::Lacking { facts: plan.board.facts() },
        Stage::Failed => {
            let (step, errno) = plan.board.failure();
            Report::Failed { step: step as u32, errno: errno as i32 }
        }
        Stage::Preparing => return Err((Step::Ended, 0)),
    };
    tell(sys::borrow(plan.link), report);
    let children = children.ok();
    let listener = plan.gate.and_then(|gate| gate::receive(sys::borrow(gate.watcher)));
    keep_only([plan.link, signals.as_raw_fd(), number(children.as_ref()), number(listener.as_ref())]);
    if plan.tier >= Tier::Hardened {
        // It connects in the program's stead, and may therefore do no more than the program.
        drop_capabilities(plan.spared());
    }
    Ok(Launched { program, signals, children, doorman: listener.map(Doorman::new) })
}

/// Reports what the program does and obeys, until it ends or has to.
fn serve(plan: &Plan, launched: Launched) {
    let Launched { program, signals, children, mut doorman } = launched;
    let link = sys::borrow(plan.link);
    let pid = raw(Some(program));
    let mut exit = None;
    let mut alone = false;
    while exit.is_none() && !alone {
        let [told, ordered, asked] = wait_for(link, &signals, doorman.as_ref());
        if told {
            // Room for both signals; what matters is asked of the kernel, not of them.
            let _ = read(&signals, &mut [0_u8; 256]);
            alone = plan.world.is_none() && raw(getppid()) != plan.outer.load(SeqCst);
            reap(program, link, &mut exit);
        }
        if ordered && exit.is_none() {
            match order(link) {
                Ok(Some(Order::Signal(signal))) => sys::kill(pid, signal),
                Ok(Some(Order::Group(signal))) => {
                    sys::kill(if plan.terminal.is_some() { -pid } else { pid }, signal);
                }
                Ok(Some(Order::End)) | Err(()) => alone = true,
                Ok(None) => {}
            }
        }
        if let Some(doorman) = doorman.as_mut().filter(|doorman| asked || doorman.is_busy()) {
            // What the program has a hand in, such as its socket's mode, must not stop its watcher.
            impatiently(|| doorman.go_on(plan, asked));
        }
    }
    // Whoever waits for an answer is ended too.
    drop(doorman);
    end_children(children.as_ref(), |ended, status| {
        if ended == program {
            exit = Some(status);
        }
    });
    let report = match exit.and_then(|status| status.exit_status()) {
        Some(code) => Report::Exited { code },
        None => {
            let signal = exit.and_then(|status| status.terminating_signal());
            Report::Killed { signal: signal.unwrap_or(libc::SIGKILL) }
        }
    };
    tell(link, report);
    // Nothing is left to watch. One that was stopped would stay for ever, with a copy of the supervisor's memory.
    let outer = plan.outer.load(SeqCst);
    if plan.world.is_none() && raw(getppid()) == outer {
        sys::kill(outer, libc::SIGKILL);
    }
}

/// Waits; gives whether the signals, the link and the doorman's listener have something to tell.
fn wait_for(link: BorrowedFd<'_>, signals: &OwnedFd, doorman: Option<&Doorman>) -> [bool; 3] {
    let nothing = || PollFd::new(signals, PollFlags::empty());
    let mut ends: [PollFd<'_>; 3 + PENDING] = std::array::from_fn(|_| nothing());
    ends[0] = PollFd::new(signals, PollFlags::IN);
    ends[1] = PollFd::from_borrowed_fd(link, PollFlags::IN);
    let mut count = 2;
    if let Some(doorman) = doorman {
        ends[2] = PollFd::from_borrowed_fd(doorman.listener(), PollFlags::IN);
        count = 3;
        for (end, socket) in ends[3..].iter_mut().zip(doorman.sockets()) {
            *end = PollFd::from_borrowed_fd(socket, PollFlags::OUT);
            count += 1;
        }
    }
    let patience = doorman.and_then(Doorman::patience);
    match poll(&mut ends[..count], patience.as_ref()) {
        Ok(_) => {
            let [told, ordered, asked] = [0, 1, 2].map(|place: usize| ends[place].revents());
            // A listener that only hangs up has nothing to receive, and a receive would wait for ever.
            [!told.is_empty(), !ordered.is_empty(), count > 2 && asked.contains(PollFlags::IN)]
        }
        Err(_) => [false; 3],
    }
}

/// Takes every change of a child that waits to be taken; orphans of the tree are children too.
fn reap(program: Pid, link: BorrowedFd<'_>, exit: &mut Option<WaitStatus>) {
    let options = EVERY | WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
    while let Ok(Some((pid, status))) = wait(options) {
        if pid != program {
            continue;
        }
        if let Some(signal) = status.stopping_signal() {
            mention(link, Report::Stopped { signal });
        } else if status.continued() {
            mention(link, Report::Continued);
        } else {
            *exit = Some(status);
        }
    }
}

/// `Err`: the supervisor is gone.
fn order(link: BorrowedFd<'_>) -> Result<Option<Order>, ()> {
    let mut bytes = [0; ORDER];
    match recv(link, &mut bytes, RecvFlags::DONTWAIT) {
        Ok((_, ORDER)) => Ok(Order::decode(bytes)),
        Ok(_) => Err(()),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(_) => Err(()),
    }
}

/// Sends SIGKILL to every child until there is none. Children of a killed child become children of this
/// process, a subreaper, and are met in the next turn, however deep or detached they were.
fn end_children(children: Option<&OwnedFd>, mut ended: impl FnMut(Pid, WaitStatus)) {
    loop {
        loop {
            match wait(EVERY | WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => ended(pid, status),
                Ok(None) => break,
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
        let mut list = [0_u8; 4096];
        let length = children.and_then(|children| pread(children, &mut list, 0).ok()).unwrap_or(0);
        let mut pid = 0_i32;
        for &byte in &list[..length] {
            if byte.is_ascii_digit() {
                pid = pid.saturating_mul(10).saturating_add(i32::from(byte - b'0'));
            } else {
                // Not reaped yet, so the number is still that child's.
                if pid > 0 {
                    sys::kill(pid, libc::SIGKILL);
                }
                pid = 0;
            }
        }
        if let Ok(Some((pid, status))) = wait(EVERY) {
            ended(pid, status);
        }
    }
}

/// Gives every descriptor its number and closes all others.
fn arrange(plan: &Plan, link: &mut i32) -> Result<(), (Step, i32)> {
    let failed = |errno| (Step::Descriptors, errno);
    let clear = plan.targets.last().map_or(0, |&last| last + 1);
    for step in &plan.moves {
        let copy = fcntl_dupfd_cloexec(sys::borrow(step.source), clear);
        let copy = copy.map_err(|error| failed(error.raw_os_error()))?;
        step.between.store(copy.into_raw_fd(), SeqCst);
    }
    *link = plan.moves.first().map_or(-1, |step| step.between.load(SeqCst));
    for step in &plan.moves {
        sys::place(step.between.load(SeqCst), step.target, !step.declared)
            .map_err(|error| failed(errno(&error)))?;
    }
    *link = plan.link;
    sys::close_all_but(&plan.targets).map_err(|error| failed(errno(&error)))
}

fn become_subreaper() -> bool {
    set_child_subreaper(Some(getpid())).is_ok() && child_subreaper().is_ok_and(|set| set.is_some())
}

/// The children of this process, to be read again and again (proc(5), Linux 3.5, CONFIG_PROC_CHILDREN).
fn open_children() -> rustix::io::Result<OwnedFd> {
    open(c"/proc/thread-self/children", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn first_child(children: &OwnedFd) -> Option<i32> {
    let mut list = [0_u8; 16];
    let length = pread(children, &mut list, 0).ok()?;
    let digits = list[..length].iter().take_while(|byte| byte.is_ascii_digit());
    digits.map(|byte| i32::from(byte - b'0')).reduce(|number, digit| number * 10 + digit)
}

fn keep_only<const N: usize>(mut numbers: [i32; N]) {
    numbers.sort_unstable();
    let _ = sys::close_all_but(&numbers);
}

fn number(descriptor: Option<&OwnedFd>) -> i32 {
    descriptor.map_or(-1, |descriptor| descriptor.as_fd().as_raw_fd())
}

/// Waits for room: what is told this way must arrive.
fn tell(link: BorrowedFd<'_>, report: Report) {
    while send(link, &report.encode(), SendFlags::NOSIGNAL) == Err(Errno::INTR) {}
}

/// Does not wait: a supervisor that does not listen loses news, never the watch.
fn mention(link: BorrowedFd<'_>, report: Report) {
    let _ = send(link, &report.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

fn raw(pid: Option<Pid>) -> i32 {
    pid.map_or(0, |pid| pid.as_raw_nonzero().get())
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
