//! A process of the tree outlives whoever watches it (`N1`, `N2`).
//!
//! A survivor answers on standard output what it is asked on standard input. That all who had the output
//! are gone, the end of the stream says.

use std::fs;
use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use envseal_sandbox::Tier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, setsid};

use super::attack::{Args, Attack, Closed, Miss, Tried, fault, from, refused};
use super::cell::{Cell, Launched, PATIENCE, Place};
use super::supervise::Options;
use super::sys;

/// With namespaces the watchers are outside of the program's, and cannot be named.
const BOTH: Closed = from(Tier::Hardened).in_namespaces(Some(Tier::None));

pub const ATTACKS: &[Attack] = &[
    Attack::inside(
        "outlives-supervisor",
        "setsid, two forks, no death signal; then the supervisor is ended with SIGKILL",
        from(Tier::None),
        |_| {
            daemon(|ready| serve(&ready))?;
            wait_for_the_end()
        },
    )
    .with(|cell| survives(cell, End::Supervisor)),
    Attack::inside("outlives-program", "the same, and the program itself ends", from(Tier::None), |_| {
        daemon(|ready| serve(&ready))
    })
    .with(|cell| survives(cell, End::Program)),
    Attack::inside(
        "outruns-its-killer",
        "four processes that become others by fork without end, when the program ends",
        from(Tier::None),
        |_| (0..4).try_for_each(|_| daemon(|ready| run_away(&ready))),
    )
    .with(|cell| survives(cell, End::Program)),
    watchers("outlives-inner-watcher", "SIGKILL to the parent of the program", from(Tier::None), |args| {
        attack_watchers(args, &[Signal::KILL], [true, false, false])
    }),
    watchers("outlives-outer-watcher", "SIGKILL to the grandparent", from(Tier::None), |args| {
        attack_watchers(args, &[Signal::KILL], [false, true, false])
    }),
    watchers(
        "outlives-launcher",
        "SIGKILL to the great-grandparent: the supervisor, or the launcher in its place",
        from(Tier::None),
        |args| attack_watchers(args, &[Signal::KILL], [false, false, true]),
    ),
    watchers("freezes-launcher", "SIGSTOP to the great-grandparent", from(Tier::None), |args| {
        attack_watchers(args, &[Signal::STOP], [false, false, true])
    }),
    watchers("freezes-inner-watcher", "SIGSTOP to the parent", from(Tier::None), |args| {
        attack_watchers(args, &[Signal::STOP], [true, false, false])
    }),
    watchers("freezes-outer-watcher", "SIGSTOP to the grandparent", from(Tier::None), |args| {
        attack_watchers(args, &[Signal::STOP], [false, true, false])
    }),
    watchers("freezes-watchers", "SIGSTOP to both: N2 is guarded only in None", BOTH, |args| {
        attack_watchers(args, &[Signal::STOP], [true, true, false])
    }),
    watchers("outlives-watchers", "SIGSTOP, then SIGKILL to both", BOTH, |args| {
        attack_watchers(args, &[Signal::STOP, Signal::KILL], [true, true, false])
    }),
    Attack::inside(
        "detaches-by-subreaper",
        "PR_SET_CHILD_SUBREAPER by the program, which then is ended",
        from(Tier::None),
        |_| {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
            daemon(|ready| serve(&ready))
        },
    )
    .with(|cell| survives(cell, End::Program)),
];

/// An attack on the processes that watch; the supervisor is ended afterwards.
const fn watchers(
    name: &'static str,
    tries: &'static str,
    closed: Closed,
    act: fn(&Args) -> Tried,
) -> Attack {
    Attack::inside(name, tries, closed, act).with(|cell| survives(cell, End::Supervisor))
}

/// From a process that no death signal reaches.
fn attack_watchers(args: &Args, signals: &[Signal], which: [bool; 3]) -> Tried {
    let above = above(args)?;
    daemon(move |ready| {
        for &signal in signals {
            for (pid, _) in above.into_iter().zip(which).filter(|(_, chosen)| *chosen) {
                let sent = pid.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
                if let Err(error) = sent {
                    say(&format!("refused: {error}"));
                    return;
                }
            }
        }
        serve(&ready);
    })?;
    wait_for_the_end()
}

enum End {
    Supervisor,
    Program,
}

fn survives(cell: &Cell<'_>, end: End) -> Tried {
    // So that the three processes above an unprotected program are not the harness.
    let options = Options { levels: 2, ..Options::default() };
    let mut launched = cell.attacker(options, &[])?;
    match launched.line(PATIENCE)? {
        Some(line) if line == "up" => {}
        Some(line) => return refused(line),
        None => return ended_first(cell, &mut launched),
    }
    let mut stdin = launched.stdin.take();
    let _ended_at_last = Tree::beneath(launched.starter());
    match end {
        End::Supervisor => launched.kill_starter(),
        // Standard input stays open, for the survivor.
        End::Program => drop(launched.status()?),
    }
    let answered = answers(cell, &launched, &mut stdin);
    drop(stdin);
    answered
}

/// Nobody of the tree could say anything any more: by SIGKILL, the watchers' means, or because it was refused.
fn ended_first(cell: &Cell<'_>, launched: &mut Launched) -> Tried {
    match launched.verdict() {
        Ok(()) => fault("it said nothing"),
        Err(Miss::Fault(why)) if cell.is_protected() && why.starts_with(KILLED) => {
            refused("the whole tree was ended before the survivor was up")
        }
        Err(miss) => Err(miss),
    }
}

/// How [`Launched::verdict`] begins for a program that SIGKILL ended.
const KILLED: &str = "status 137:";

/// Processes that are ended when the attack is over, whatever became of those that should do it.
struct Tree(Vec<OwnedFd>);

impl Tree {
    fn beneath(process: u32) -> Tree {
        let mut tree = Tree(Vec::new());
        let mut next = vec![process.to_string()];
        while let Some(process) = next.pop() {
            let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
            for child in children.unwrap_or_default().split_whitespace() {
                let pid = child.parse().ok().and_then(Pid::from_raw);
                tree.0.extend(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
                next.push(child.to_owned());
            }
        }
        tree
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

/// A dying tree may answer too, so it is asked only when it had time to die.
fn answers(cell: &Cell<'_>, launched: &Launched, stdin: &mut Option<std::process::ChildStdin>) -> Tried {
    let until = Instant::now() + Duration::from_secs(if cell.place == Place::Unprotected { 1 } else { 4 });
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match launched.line(left) {
            Ok(None) => return refused("the whole tree has ended"),
            Ok(Some(_)) => {}
            Err(_) => break,
        }
    }
    if let Some(stdin) = stdin
        && writeln!(stdin, "there?").is_err()
    {
        return refused("nobody is there to be asked");
    }
    match launched.line(PATIENCE)? {
        Some(line) if line == "here" => Ok(()),
        Some(line) => fault(line),
        None => refused("the whole tree has ended"),
    }
}

/// Runs `what` in a process that is nobody's child and in nobody's session. Returns when that has written
/// to the pipe that it gets: whoever ends before it is up has proved nothing.
fn daemon(what: impl FnOnce(OwnedFd)) -> Tried {
    let (up, ready) = rustix::pipe::pipe()?;
    if let Some(child) = sys::fork()? {
        drop(ready);
        sys::wait(child)?;
        // Nothing comes from one that was refused, and said so.
        let _ = rustix::io::read(&up, &mut [0_u8; 1])?;
        return Ok(());
    }
    let _ = setsid();
    let _ = rustix::process::set_parent_process_death_signal(None);
    match sys::fork() {
        Ok(None) => what(ready),
        Ok(Some(_)) => {}
        Err(error) => say(&format!("refused: {error}")),
    }
    sys::end(0)
}

#[allow(clippy::print_stdout, reason = "the harness reads it")]
fn say(line: &str) {
    println!("{line}");
}

/// Answers until nobody asks any more.
fn serve(ready: &OwnedFd) {
    say("up");
    let _ = rustix::io::write(ready, b"!");
    std::io::stdin().lock().lines().map_while(Result::ok).for_each(|_| say("here"));
}

/// Becomes another process again and again, for as long as an attack may take.
fn run_away(ready: &OwnedFd) {
    say("up");
    let _ = rustix::io::write(ready, b"!");
    let until = Instant::now() + 2 * PATIENCE;
    while Instant::now() < until {
        match sys::fork() {
            Ok(Some(_)) => sys::end(0),
            Ok(None) => {}
            Err(_) => continue,
        }
        let stdin = std::io::stdin();
        let mut ends = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut ends, Some(&Timespec::default())) == Ok(1) {
            let mut byte = [0; 64];
            match rustix::io::read(&stdin, &mut byte) {
                Ok(length) if length > 0 => say("here"),
                _ => return,
            }
        }
    }
}

/// Nobody tells the program to end; without protection it does so when the harness has seen enough.
fn wait_for_the_end() -> Tried {
    let stdin = std::io::stdin();
    let patience = Timespec { tv_sec: 3 * PATIENCE.as_secs() as i64, tv_nsec: 0 };
    // What is asked is the survivor's to read; that nobody asks any more, everybody sees.
    let _ = poll(&mut [PollFd::new(&stdin, PollFlags::empty())], Some(&patience));
    fault("nobody ended the program")
}

/// Parent, grandparent and the next one, as far as they can be seen, and never the harness or a whole group.
fn above(args: &Args) -> Result<[Option<Pid>; 3], Miss> {
    let spare: i32 = args.number("spare")?;
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let parent_of = |number: i32| -> i32 {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        fields.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    let grandparent = parent_of(parent);
    let safe = |number: i32| if number > 1 && number != spare { Pid::from_raw(number) } else { None };
    Ok([parent, grandparent, parent_of(grandparent)].map(safe))
}
