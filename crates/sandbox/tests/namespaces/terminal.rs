//! A terminal of its own.

use super::*;

const SIZE: Size = Size { rows: 33, columns: 101, width: 0, height: 0 };

fn on_terminal(spec: Spec) -> (Running, File) {
    let spec = spec.terminal(Pty::open(SIZE).expect("a terminal"));
    let spec = spec.stdin(Stdio::Terminal).stdout(Stdio::Terminal).stderr(Stdio::Terminal);
    let running = start(spec).expect("a start");
    let master = running.terminal().expect("a terminal").expect("a descriptor");
    (running, master.into())
}

fn until(master: &mut File, wanted: &str) -> String {
    let (mut text, mut byte) = (String::new(), [0; 1]);
    while !text.contains(wanted) {
        assert_eq!(master.read(&mut byte).expect("more"), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn it_has_its_size_its_name_and_the_program_in_its_foreground() {
    as_ordinary_user!();
    let (mut running, mut master) =
        on_terminal(hardened("stty size; echo ok >/dev/tty; ps -o tpgid= -p $$; echo $$; tty; echo end"));
    let text = until(&mut master, "end");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines, ["33 101", "ok", "2", "2", "/dev/console", "end"]);
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
}

#[test]
fn ctrl_z_stops_the_program_and_it_goes_on() {
    as_ordinary_user!();
    let (mut running, mut master) = on_terminal(hardened("echo ready; cat; echo after $?"));
    until(&mut master, "ready");
    let child = || {
        let path = format!("/proc/{0}/task/{0}/children", running.pid());
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse::<u32>().ok())
    };
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    assert!(becomes_true(|| child().is_some_and(|pid| name(pid) == "cat\n")));
    let cat = child().expect("cat");
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

#[test]
fn an_interactive_shell_has_job_control_and_ctrl_c_interrupts() {
    as_ordinary_user!();
    let (mut running, mut master) = on_terminal(hardened("exec sh -i").env("PS1", "$ "));
    master.write_all(b"set -o | grep monitor\n").expect("a line");
    let text = until(&mut master, "on\r\n");
    assert!(!text.contains("can't access tty"), "{text}");
    master.write_all(b"exit 3\n").expect("a line");
    assert_eq!(running.wait().expect("an end"), Exit::Code(3));

    let (mut running, mut master) =
        on_terminal(Spec::new(image("/bin/cat")).tier(Tier::Hardened).engine(Engine::Namespaces));
    master.write_all(b"x\n").expect("a line");
    until(&mut master, "x\r\nx");
    master.write_all(b"\x03").expect("Ctrl-C");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(2));
}
