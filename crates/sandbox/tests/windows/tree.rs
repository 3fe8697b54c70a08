//! The whole tree ends with its supervisor, and nothing leaves it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use envseal_sandbox::{Event, Exit, Running, Stdio, Tier, attach, start};
use tempfile::TempDir;

use crate::support::{Seen, example, is_wine, not_given, output, probe, said, written};

const SOON: Duration = Duration::from_secs(20);

/// A program in Hardened with a child and a grandchild, all of which only wait.
fn tree(place: &Path) -> (Running, [Seen; 2]) {
    let file = place.join("pid");
    let running = start(probe(Tier::Hardened, ["tree", file.to_str().expect("text")])).expect("a start");
    let grown = [".child", ".leaf"].map(|end| written(&PathBuf::from(format!("{}{end}", file.display()))));
    assert!(grown.iter().all(Seen::lives));
    (running, grown)
}

#[test]
fn a_program_is_in_its_job_before_its_first_instruction() {
    for turn in 0..200 {
        assert_eq!(said(Tier::Hardened, ["job"]), "true", "start {turn}");
    }
}

#[test]
fn a_tree_ends_when_it_is_dropped() {
    let place = TempDir::new().expect("a directory");
    let (running, grown) = tree(place.path());
    drop(running);
    assert!(grown.iter().all(|seen| seen.ends_within(SOON)));
}

#[test]
fn a_tree_ends_when_it_is_terminated_and_its_pipes_come_to_an_end() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("pid");
    let spec = probe(Tier::Hardened, ["tree", file.to_str().expect("text")]).stdout(Stdio::Pipe);
    let mut running = start(spec).expect("a start");
    let leaf = written(&place.path().join("pid.leaf"));
    let mut pipe = File::from(running.take_stdout().expect("a pipe"));
    running.terminate(41).expect("terminated");
    let mut rest = Vec::new();
    // The child and the grandchild had inherited the other end.
    pipe.read_to_end(&mut rest).expect("an end");
    assert!(leaf.ends_within(SOON));
    assert_eq!(running.wait().expect("an end"), Exit::Code(41));
    running.terminate(1).expect("of one that has ended, nothing");
}

#[test]
fn a_tree_that_is_killed_reports_137() {
    let place = TempDir::new().expect("a directory");
    let (mut running, grown) = tree(place.path());
    running.kill_tree().expect("killed");
    let exit = running.wait().expect("an end");
    assert_eq!((exit, exit.shell_status()), (Exit::Code(137), 137));
    assert!(grown.iter().all(|seen| seen.ends_within(Duration::ZERO)), "wait came back too early");
}

#[test]
fn a_tree_ends_when_its_supervisor_is_killed() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("pid");
    let mut command = Command::new(example("supervise"));
    command.args(["--quiet", "--tier", "hardened"]);
    for guarantee in not_given(Tier::Hardened) {
        command.args(["--allow-weaker", guarantee.id()]);
    }
    let mut supervisor = command.arg(example("probe")).arg("tree").arg(&file).spawn().expect("a supervisor");
    let grown = ["pid.child", "pid.leaf"].map(|name| written(&place.path().join(name)));
    assert!(grown.iter().all(Seen::lives));
    supervisor.kill().expect("killed");
    supervisor.wait().expect("an end");
    assert!(grown.iter().all(|seen| seen.ends_within(SOON)));
}

/// The same program without a job shows that the last tests can fail.
#[test]
fn without_a_job_a_tree_lives_on() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("pid");
    let running = start(probe(Tier::None, ["tree", file.to_str().expect("text")])).expect("a start");
    let [child, leaf] = ["pid.child", "pid.leaf"].map(|name| written(&place.path().join(name)));
    let pids =
        ["pid.child", "pid.leaf"].map(|name| std::fs::read_to_string(place.path().join(name)).expect("text"));
    drop(running);
    assert!(!child.ends_within(Duration::from_millis(500)) && leaf.lives());
    for pid in pids {
        end(pid.parse().expect("a number"));
    }
}

fn end(pid: u32) {
    use windows_sys::Win32::Foundation::CloseHandle;
    use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_TERMINATE, TerminateProcess};
    // SAFETY: takes numbers and gives a handle or none.
    let process = unsafe { OpenProcess(PROCESS_TERMINATE, 0, pid) };
    // SAFETY: an error where there is no handle.
    unsafe { TerminateProcess(process, 1) };
    // SAFETY: the handle is not used any more.
    unsafe { CloseHandle(process) };
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("pid");
    let mut running = start(probe(Tier::Hardened, ["leave", file.to_str().expect("text")])).expect("a start");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    let text = std::fs::read_to_string(&file).expect("a number");
    let left = Seen::open(text.parse().expect("a number"));
    assert!(left.is_none_or(|seen| seen.ends_within(Duration::ZERO)), "wait came back too early");
}

#[test]
fn nothing_breaks_away_from_the_job() {
    let answer = said(Tier::Hardened, ["breakaway", "job"]);
    assert!(answer.starts_with("no ") && answer.contains("os error 5"), "{answer}");
    // What starts without asking is in the job too, although its parent's parent is not.
    assert!(said(Tier::Hardened, ["spawn"]).starts_with("yes"));
    // Outside of a job the same request is granted.
    if !crate::support::is_in_a_job() {
        assert_eq!(said(Tier::None, ["breakaway", "job"]), "yes false");
    }
}

#[test]
fn the_job_tells_who_joins_and_when_all_are_gone() {
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("pid");
    let mut running = start(probe(Tier::Hardened, ["tree", file.to_str().expect("text")])).expect("a start");
    let mut grown = ["pid.child", "pid.leaf"].map(|name| {
        written(&place.path().join(name));
        std::fs::read_to_string(place.path().join(name)).expect("text").parse::<u32>().expect("a number")
    });
    let (mut joined, until) = (Vec::new(), Instant::now() + SOON);
    while joined.len() < 2 && Instant::now() < until {
        match running.next_event().expect("asked") {
            Some(Event::Joined(pid)) => joined.push(pid),
            Some(other) => panic!("{other:?}"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    joined.sort_unstable();
    grown.sort_unstable();
    assert_eq!(joined, grown);
    running.terminate(5).expect("terminated");
    let exited = loop {
        match running.next_event().expect("asked") {
            Some(Event::Exited(exit)) => break exit,
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < until + SOON, "no end was told");
    };
    assert_eq!(exited, Exit::Code(5));
    assert_eq!(running.next_event().expect("asked"), None);
}

#[test]
fn a_running_child_can_be_attached_to_and_what_is_not_known_of_it_is_said() {
    use envseal_sandbox::Guarantee::{N2, N4, N5, N6};
    let mut child = Command::new(example("probe")).arg("sleep").spawn().expect("a child");
    let running = attach(&child, Tier::Hardened).expect("attached");
    assert_eq!(running.pid(), child.id());
    assert!([N2, N4, N5, N6].into_iter().all(|guarantee| !running.enforced().gives(guarantee)));
    let seen = Seen::open(child.id()).expect("a process");
    assert!(seen.lives());
    drop(running);
    assert!(seen.ends_within(SOON));
    assert_eq!(child.wait().expect("an end").code(), Some(137));
}

/// Whichever step fails, it runs on: before it is put into the job, or because it cannot be.
#[test]
fn a_child_that_cannot_be_attached_to_is_left_as_it_was() {
    use std::os::windows::io::{FromRawHandle, OwnedHandle};
    use windows_sys::Win32::System::Threading::{
        OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_QUOTA, PROCESS_SYNCHRONIZE,
        PROCESS_TERMINATE,
    };
    let lacking = [
        (PROCESS_SET_QUOTA | PROCESS_TERMINATE | PROCESS_SYNCHRONIZE, "GetProcessId"),
        (PROCESS_SET_QUOTA | PROCESS_TERMINATE | PROCESS_QUERY_LIMITED_INFORMATION, "DuplicateHandle"),
        (
            PROCESS_TERMINATE | PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION,
            "AssignProcessToJobObject",
        ),
    ];
    // Wine 8 gives a copy of a handle every right that the access list has, and a number without any.
    for (rights, call) in lacking.into_iter().skip(if is_wine() { 2 } else { 0 }) {
        let mut child = Command::new(example("probe")).arg("sleep").spawn().expect("a child");
        // SAFETY: takes numbers and gives a handle or none.
        let handle = unsafe { OpenProcess(rights, 0, child.id()) };
        assert!(!handle.is_null());
        // SAFETY: the call gave a new handle.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        let refused = attach(&handle, Tier::Hardened).expect_err("refused");
        assert!(refused.to_string().contains(call), "{refused}");
        assert!(
            !Seen::open(child.id()).expect("a process").ends_within(Duration::from_millis(300)),
            "{call}"
        );
        assert!(child.try_wait().expect("asked").is_none());
        child.kill().expect("ended");
        child.wait().expect("an end");
    }
}

#[test]
fn in_lockdown_a_program_ends_like_any_other() {
    assert_eq!(output(probe(Tier::Lockdown, ["print", "text"])), (Exit::Code(0), "text\n".into()));
    let running = start(probe(Tier::Lockdown, ["sleep"])).expect("a start");
    let seen = Seen::open(running.pid()).expect("a process");
    drop(running);
    assert!(seen.ends_within(SOON));
}
