//! A terminal of the program's own: size, control, Ctrl-Z, hang-up.

#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::io::{Read, Write};

use envseal_sandbox::tty::{Pty, RawMode, Size};
use envseal_sandbox::{Exit, Guarantee, Signal, Spec, Stdio, start};
use support::terminal::{
    SIZE, child, ctrl_c_ends_it, ctrl_z_stops_it_and_it_goes_on, name, on_terminal, until,
};
use support::{as_ordinary_user, becomes_true, image, shell};

/// Until EIO.
fn rest(mut master: File) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn the_terminal_has_its_size_and_is_the_controlling_one() {
    as_ordinary_user!();
    let (mut running, master) =
        on_terminal(shell("stty size; echo ok >/dev/tty; ps -o tpgid= -p $$; echo $$"));
    let text = rest(master);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["33 101", "ok"], "{text}");
    assert_eq!(lines[2], lines[3], "the program is the foreground: {text}");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    assert!(running.enforced().gives(Guarantee::N4) && !running.shares_process_group());
}

#[test]
fn a_change_of_size_is_told_to_the_program() {
    as_ordinary_user!();
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done";
    let (mut running, mut master) = on_terminal(shell(script));
    until(&mut master, "ready");
    running.resize(Size { rows: 5, ..SIZE }).expect("resized");
    assert!(until(&mut master, "5 101").contains("5 101"));
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

#[test]
fn ctrl_z_stops_the_program_and_all_beside_it_and_it_goes_on() {
    as_ordinary_user!();
    ctrl_z_stops_it_and_it_goes_on(shell);
}

#[test]
fn ctrl_c_interrupts_the_program() {
    as_ordinary_user!();
    ctrl_c_ends_it(Spec::new(image("/bin/cat")));
}

#[test]
fn an_interactive_shell_has_job_control() {
    as_ordinary_user!();
    let (mut running, mut master) = on_terminal(shell("exec sh -i").env("PS1", "$ "));
    master.write_all(b"set -o | grep monitor\n").expect("a line");
    let text = until(&mut master, "on\r\n");
    assert!(!text.contains("can't access tty"), "{text}");
    master.write_all(b"sleep 300\n").expect("a line");
    let front = || rustix::termios::tcgetpgrp(&master).ok().map(|pid| pid.as_raw_nonzero().get() as u32);
    assert!(becomes_true(
        || child(running.pid()).is_some_and(|job| front() == Some(job) && name(job) == "sleep")
    ));
    master.write_all(b"\x1a").expect("Ctrl-Z");
    until(&mut master, "Stopped");
    assert_eq!(running.next_event().expect("asked"), None, "the job was stopped, not the shell");
    master.write_all(b"exit\nexit 3\n").expect("lines");
    assert_eq!(running.wait().expect("an end"), Exit::Code(3));
}

#[test]
fn input_may_come_from_elsewhere_while_keys_come_from_the_terminal() {
    as_ordinary_user!();
    let spec = shell("cat; read key </dev/tty; echo key=$key").terminal(Pty::open(SIZE).expect("a terminal"));
    let mut running =
        start(spec.stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Terminal)).expect("a start");
    let mut input = File::from(running.take_stdin().expect("a pipe"));
    input.write_all(b"data\n").expect("written");
    drop(input);
    let mut master = File::from(running.terminal().expect("a terminal").expect("a descriptor"));
    master.write_all(b"k\n").expect("a key");
    let mut text = String::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("read");
    assert_eq!(text, "data\nkey=k\n");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

#[test]
fn a_signal_to_the_group_reaches_all_of_it() {
    as_ordinary_user!();
    let (mut running, mut master) = on_terminal(shell("trap 'echo got; exit 2' TERM; echo ready; cat"));
    until(&mut master, "ready");
    assert!(becomes_true(|| child(running.pid()).is_some_and(|pid| name(pid) == "cat")));
    running.signal_group(Signal::TERM).expect("sent");
    until(&mut master, "got");
    assert_eq!(running.wait().expect("an end"), Exit::Code(2));
}

#[test]
fn raw_mode_is_left_while_suspended_and_at_the_end() {
    as_ordinary_user!();
    // The outer terminal of this test: a pair whose slave the guard sets raw.
    let pty = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
        .expect("a pair");
    rustix::pty::unlockpt(&pty).expect("unlocked");
    let outer = rustix::pty::ioctl_tiocgptpeer(
        &pty,
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY,
    );
    let outer = outer.expect("a terminal");
    let canonical = || {
        let modes = rustix::termios::tcgetattr(&outer).expect("settings").local_modes;
        modes.contains(rustix::termios::LocalModes::ICANON)
    };
    assert!(canonical());
    let mut raw = RawMode::enter(&outer).expect("raw");
    assert!(!canonical());
    raw.suspend().expect("restored");
    assert!(canonical());
    raw.resume().expect("raw");
    assert!(!canonical());
    drop(raw);
    assert!(canonical());
    SIZE.apply(&outer).expect("sized");
    let (mut running, master) = {
        let spec = shell("stty size").terminal(Pty::like(&outer).expect("a copy")).stdout(Stdio::Terminal);
        let running = start(spec.stdin(Stdio::Terminal)).expect("a start");
        let master = running.terminal().expect("a terminal").expect("a descriptor");
        (running, File::from(master))
    };
    assert_eq!(rest(master), "33 101\r\n");
    running.wait().expect("an end");
}
