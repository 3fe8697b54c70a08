//! The whole tree ends with its supervisor, and with either of its watchers.

use super::*;

/// Leaves the session, forks twice, and is found by its argument: its number inside says nothing.
fn daemon(marker: &str) -> String {
    format!("(setsid sh -c 'exec sleep {marker}' &) & exec sleep {marker}")
}

fn marked(marker: &str) -> Vec<u32> {
    let argument = format!("sleep\0{marker}\0");
    let is =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == argument.as_bytes());
    let numbers = fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(is).filter(|&pid| is_alive(pid)).collect()
}

/// Of the supervisor in these tests.
const OPTIONS: [&str; 4] = ["--engine", "namespaces", "--tier", "hardened"];

#[test]
fn it_ends_with_a_killed_supervisor_also_when_a_watcher_is_stopped() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    for (which, marker) in [("none", "310.25"), ("inner", "310.50"), ("outer", "310.75")] {
        let report = room.path().join(which);
        let mut supervisor = support::supervise(&OPTIONS, &daemon(marker), &report);
        let inner = parent(support::written_pid(&report));
        assert!(becomes_true(|| marked(marker).len() == 2), "{which}");
        let watchers = [inner, parent(inner)];
        match which {
            "inner" => kill(inner, rustix::process::Signal::STOP),
            "outer" => kill(parent(inner), rustix::process::Signal::STOP),
            _ => {}
        }
        supervisor.kill().expect("killed");
        supervisor.wait().expect("reaped");
        assert!(becomes_true(|| marked(marker).is_empty()), "{which}");
        if which == "outer" && is_alive(watchers[1]) {
            kill(watchers[1], rustix::process::Signal::CONT);
        }
        assert!(becomes_true(|| !watchers.into_iter().any(is_alive)), "{which}");
    }
}

#[test]
fn it_ends_with_either_watcher_and_the_supervisor_learns_it() {
    as_ordinary_user!();
    for (which, marker) in [("inner", "311.25"), ("outer", "311.50")] {
        let mut running = start(hardened(&daemon(marker))).expect("a start");
        assert!(becomes_true(|| marked(marker).len() == 2));
        let inner = parent(running.pid());
        kill(if which == "inner" { inner } else { parent(inner) }, rustix::process::Signal::KILL);
        assert_eq!(running.wait().expect("an end"), Exit::Signal(9), "{which}");
        assert!(becomes_true(|| marked(marker).is_empty()), "{which}");
    }
}

#[test]
fn what_a_program_leaves_behind_is_gone_when_its_end_is_told() {
    as_ordinary_user!();
    let marker = "312.25";
    let script = daemon(marker).replacen(
        &format!("exec sleep {marker}'"),
        &format!("exec sleep {marker} >/dev/null'"),
        1,
    );
    let script = script
        .replace(&format!("exec sleep {marker}"), &format!("sleep {marker}"))
        .replace("& sleep 312.25", "& sleep 0.2; exit 5");
    assert_eq!(output(hardened(&script)).0, Exit::Code(5));
    assert_eq!(marked(marker), []);
    let running = start(hardened(&daemon(marker))).expect("a start");
    assert!(becomes_true(|| marked(marker).len() == 2));
    drop(running);
    assert_eq!(marked(marker), []);
}

#[test]
fn process_one_reaps_what_falls_to_it() {
    as_ordinary_user!();
    let script =
        "for i in 1 2 3 4 5; do (sleep 0.01 & ); done; sleep 0.3; cat /proc/[0-9]*/stat | grep -c ' Z '";
    assert_eq!(says(hardened(script)), "0\n");
}
