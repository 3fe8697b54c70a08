//! A program on a terminal of its own, and what must be so with every engine.

use std::fs::{self, File};
use std::io::{Read, Write};

use envseal_sandbox::tty::{Pty, Size};
use envseal_sandbox::{Event, Exit, Running, Spec, Stdio, start};

use super::{becomes_true, next_event, parent, state};

pub const SIZE: Size = Size { rows: 33, columns: 101, width: 0, height: 0 };

pub fn on_terminal(spec: Spec) -> (Running, File) {
    let spec = spec.terminal(Pty::open(SIZE).expect("a terminal"));
    let spec = spec.stdin(Stdio::Terminal).stdout(Stdio::Terminal).stderr(Stdio::Terminal);
    let running = start(spec).expect("a start");
    let master = running.terminal().expect("a terminal").expect("a descriptor");
    (running, master.into())
}

pub fn until(master: &mut File, wanted: &str) -> String {
    let (mut text, mut byte) = (String::new(), [0; 1]);
    while !text.contains(wanted) {
        assert_eq!(master.read(&mut byte).expect("more"), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    text
}

pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

pub fn child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// `shell` makes a start of a script.
pub fn ctrl_z_stops_it_and_it_goes_on(shell: fn(&str) -> Spec) {
    let (mut running, mut master) = on_terminal(shell("echo ready; cat; echo after $?"));
    until(&mut master, "ready");
    // Not before it is cat: a shell that waits in vfork(2) cannot be stopped.
    assert!(becomes_true(|| child(running.pid()).is_some_and(|pid| name(pid) == "cat")));
    let cat = child(running.pid()).expect("cat");
    master.write_all(b"\x1a").expect("Ctrl-Z");
    assert_eq!(next_event(&mut running), Event::Stopped(20));
    assert!(becomes_true(|| [running.pid(), cat].map(state) == [Some('T'); 2]));
    assert_ne!(state(parent(running.pid())), Some('T'), "the watcher is awake");
    running.resume().expect("sent");
    assert_eq!(next_event(&mut running), Event::Continued);
    master.write_all(b"line\n\x04").expect("a line and the end");
    until(&mut master, "after 0");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

/// `cat` is a start of it.
pub fn ctrl_c_ends_it(cat: Spec) {
    let (mut running, mut master) = on_terminal(cat);
    master.write_all(b"x\n").expect("a line");
    until(&mut master, "x\r\nx");
    master.write_all(b"\x03").expect("Ctrl-C");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(2));
}
