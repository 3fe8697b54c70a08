//! N3 and N5: no crash dump, no new privileges.

#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use envseal_sandbox::{Exit, Given, Guarantee, start};
use support::{as_ordinary_user, output, shell};

#[test]
fn a_crash_writes_a_dump_of_a_plain_program_but_not_of_a_started_one() {
    as_ordinary_user!();
    let crash = "ulimit -c unlimited; kill -SEGV $$";
    let directory = tempfile::tempdir().expect("a directory");
    let count = || std::fs::read_dir(directory.path()).expect("a directory").count();
    Command::new("/bin/sh").args(["-c", crash]).current_dir(directory.path()).status().expect("a shell");
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a pattern");
    // Elsewhere a pipe takes it; then the limit alone is looked at.
    if pattern.trim() == "core" {
        assert_eq!(count(), 1, "the dump is written without protection");
    }
    let before = count();
    let (exit, _) = output(shell("kill -SEGV $$").directory(directory.path()));
    assert_eq!((exit, count()), (Exit::Signal(11), before));
    let (exit, _) = output(shell(crash).directory(directory.path()));
    assert_eq!((exit, count()), (Exit::Signal(11), before), "the limit cannot be raised again");
    let (_, limits) = output(shell("grep 'Max core' /proc/self/limits"));
    assert_eq!(limits.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"]);
}

#[test]
fn a_setuid_program_has_its_power_in_a_plain_start_only() {
    as_ordinary_user!();
    // Debian's passwd tells the day of the last change from /etc/shadow, which only its set-user-ID bit
    // lets it read.
    let plain = Command::new("/usr/bin/passwd").arg("-S").output().expect("passwd");
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(!plain.contains(" never "), "works without protection: {plain}");
    let (_, text) = output(shell("passwd -S 2>&1; grep NoNewPrivs /proc/self/status"));
    assert!(!text.starts_with(&plain), "{text}");
    assert!(text.ends_with("NoNewPrivs:\t1\n"), "{text}");
}

#[test]
fn every_guarantee_of_the_lowest_tier_is_read_back() {
    as_ordinary_user!();
    let mut running = start(shell(":")).expect("a start");
    let all: Vec<_> =
        running.enforced().iter().map(|(guarantee, given)| (guarantee, given.clone())).collect();
    assert_eq!(all.len(), 6);
    for (guarantee, given) in all {
        match guarantee {
            // Said, since nothing here keeps the program from sending signals to its watchers.
            Guarantee::N2 => assert!(matches!(given, Given::Guarded(_))),
            _ => assert_eq!(given, Given::Yes, "{guarantee}"),
        }
    }
    assert!(running.enforced().missing().is_empty());
    running.wait().expect("an end");
}

#[test]
fn a_program_of_root_is_said_to_keep_its_capabilities() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut running = start(shell(":")).expect("a start");
    let (_, given) =
        running.enforced().iter().find(|(guarantee, _)| *guarantee == Guarantee::N5).expect("N5");
    assert!(matches!(given, Given::Guarded(_)));
    running.wait().expect("an end");
}

#[test]
fn the_copies_of_the_callers_memory_in_the_watchers_are_closed_to_the_same_user() {
    as_ordinary_user!();
    let mut running = start(shell("exec sleep 300").env("SECRET", "value")).expect("a start");
    let read = |pid: u32, what: &str| std::fs::File::open(format!("/proc/{pid}/{what}"));
    let inner = support::parent(running.pid());
    for what in ["environ", "mem", "maps"] {
        assert!(read(running.pid(), what).is_ok(), "{what} of the program is open in this tier");
        for watcher in [inner, support::parent(inner)] {
            assert!(read(watcher, what).is_err(), "{what}");
        }
    }
    running.kill_tree().expect("ordered");
    running.wait().expect("an end");
}
