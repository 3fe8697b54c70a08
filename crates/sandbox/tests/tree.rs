//! N1 and N2: the whole tree ends with its supervisor, and with either of its watchers.

#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::process::Command;

use envseal_sandbox::{Exit, start};
use rustix::process::Signal;
use support::{as_ordinary_user, becomes_true, is_alive, kill, parent, written_pid};

/// Forks twice, leaves the session, writes its number and stays; the first process stays too.
fn daemon(pid_file: &Path) -> String {
    format!(
        "(setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 300' &) & exec sleep 300",
        pid_file.display()
    )
}

#[test]
fn a_detached_daemon_outlives_a_killed_shell_but_not_a_killed_supervisor() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("unprotected");
    let mut shell = Command::new("/bin/sh").args(["-c", &daemon(&file)]).spawn().expect("a shell");
    let escaped = written_pid(&file);
    shell.kill().expect("killed");
    shell.wait().expect("reaped");
    assert!(is_alive(escaped), "the attack works without protection");
    kill(escaped, Signal::KILL);

    let file = directory.path().join("protected");
    let mut supervisor = support::supervise(&[], &daemon(&file), &directory.path().join("report"));
    let daemon = written_pid(&file);
    let program = written_pid(&directory.path().join("report"));
    assert!(is_alive(daemon) && is_alive(program));
    let watchers = [parent(program), parent(parent(program))];
    supervisor.kill().expect("killed");
    supervisor.wait().expect("reaped");
    assert!(becomes_true(|| ![daemon, program].into_iter().chain(watchers).any(is_alive)));
}

#[test]
fn the_tree_ends_with_either_watcher_and_the_supervisor_learns_it() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    for which in ["inner", "outer"] {
        let file = directory.path().join(which);
        let mut running = start(support::shell(&daemon(&file))).expect("a start");
        let daemon = written_pid(&file);
        let inner = parent(running.pid());
        let outer = parent(inner);
        assert_eq!(parent(outer), std::process::id());
        kill(if which == "inner" { inner } else { outer }, Signal::KILL);
        assert_eq!(running.wait().expect("an end"), Exit::Signal(9), "{which}");
        assert!(becomes_true(|| ![daemon, running.pid(), inner, outer].into_iter().any(is_alive)), "{which}");
    }
}

#[test]
fn a_stopped_watcher_does_not_keep_the_tree_alive() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    for which in ["inner", "outer"] {
        let (file, report) = (directory.path().join(which), directory.path().join(format!("{which}.report")));
        let mut supervisor = support::supervise(&[], &daemon(&file), &report);
        let daemon = written_pid(&file);
        let program = written_pid(&report);
        let inner = parent(program);
        let outer = parent(inner);
        let stopped = if which == "inner" { inner } else { outer };
        kill(stopped, Signal::STOP);
        supervisor.kill().expect("killed");
        supervisor.wait().expect("reaped");
        assert!(becomes_true(|| !is_alive(daemon) && !is_alive(program)), "{which}");
        if is_alive(stopped) {
            kill(stopped, Signal::CONT);
        }
    }
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let script = daemon(&file).replace("exec sleep 300", "")
        + &format!("while ! test -e {}; do sleep 0.01; done; exit 5", file.display());
    let script = script.replacen("; ' &)", "; exec sleep 300' &)", 1);
    let mut running = start(support::shell(&script)).expect("a start");
    assert_eq!(running.wait().expect("an end"), Exit::Code(5));
    assert!(!is_alive(written_pid(&file)), "gone when the end is told");
}

#[test]
fn a_chain_of_forks_that_never_rests_is_caught() {
    as_ordinary_user!();
    // Each process lives only until it has forked the next one.
    let chain = "$0 = 'forkchain'; my $end = time + 2; while (time < $end) { exit 0 if fork; setpgrp; }";
    let script = format!("perl -e \"{}\" & sleep 0.3; exit 0", chain.replace('$', "\\$"));
    let links = || {
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()
        };
        let names = std::fs::read_dir("/proc").expect("proc").filter_map(name);
        names.filter(|name| name.starts_with("forkchain")).count()
    };
    let plain = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell");
    assert!(plain.success() && becomes_true(|| links() > 0), "the chain outlives a plain shell");
    assert!(becomes_true(|| links() == 0));

    let (exit, _) = support::output(support::shell(&script));
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(links(), 0);
}

#[test]
fn a_signal_to_the_callers_process_group_does_not_free_the_tree() {
    as_ordinary_user!();
    use std::os::unix::process::CommandExt;
    let directory = tempfile::tempdir().expect("a directory");
    let (file, report) = (directory.path().join("pid"), directory.path().join("report"));
    let mut supervisor = Command::new(support::example("supervise"))
        .args(["--quiet", "--env", "PATH=/usr/bin:/bin", "--report"])
        .arg(&report)
        .args(["/bin/sh", "-c", &daemon(&file)])
        .process_group(0)
        .spawn()
        .expect("the supervisor");
    let daemon = written_pid(&file);
    let group = rustix::process::Pid::from_child(&supervisor);
    rustix::process::kill_process_group(group, Signal::KILL).expect("a group");
    supervisor.wait().expect("reaped");
    assert!(becomes_true(|| !is_alive(daemon)));
}

#[test]
fn dropping_a_running_program_ends_its_tree() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let running = start(support::shell(&daemon(&file))).expect("a start");
    let (daemon, program) = (written_pid(&file), running.pid());
    drop(running);
    assert!(!is_alive(daemon) && !is_alive(program));
}

#[test]
fn kill_tree_ends_what_ignores_every_signal() {
    as_ordinary_user!();
    let script = "trap '' HUP INT TERM QUIT; (trap '' TERM; setsid sleep 300 &); echo ready; while :; do sleep 1; done";
    let mut running = start(support::shell(script).stdout(envseal_sandbox::Stdio::Pipe)).expect("a start");
    let mut line = [0; 6];
    let mut output = std::fs::File::from(running.take_stdout().expect("a pipe"));
    std::io::Read::read_exact(&mut output, &mut line).expect("a line");
    running.kill_tree().expect("ordered");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
}
