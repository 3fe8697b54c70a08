//! The private group's launcher: what it starts is like any other start, nobody else of the user can read it,
//! and no state of its caller makes it do otherwise.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

#[path = "launch/installed.rs"]
mod installed;
#[path = "launch/readers.rs"]
mod readers;
#[allow(unused_macros, unused_imports, reason = "this file has its own way to become an ordinary user")]
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio as Std};

use envseal_sandbox::launch::{Launcher, RANGE, start_through};
use envseal_sandbox::tty::{Pty, Size};
use envseal_sandbox::{Exit, Given, Guarantee, Running, Signal, Spec, StartError, Stdio, start};
use installed::launcher;
use support::{becomes_true, image, is_alive, parent, shell, state};

const RAW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/launch/raw.py");
const PYTHON: &str = "/usr/bin/python3";

fn output(launcher: &Launcher, spec: Spec) -> (Exit, String) {
    let mut running = start_through(launcher, spec.stdout(Stdio::Pipe)).expect("a start");
    let mut text = String::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("output");
    (running.wait().expect("an end"), text)
}

fn groups_of(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("Gid:")).expect("groups");
    line.split_whitespace().map(|group| group.parse().expect("a number")).collect()
}

/// The launcher of a running program: the parent of the outer watcher.
fn supervisor(running: &Running) -> u32 {
    parent(outer(running))
}

fn outer(running: &Running) -> u32 {
    parent(parent(running.pid()))
}

// What a start gives.

#[test]
fn the_program_its_children_the_watchers_and_the_launcher_have_the_group_alone() {
    let launcher = launcher!("--groups=65534,100");
    let mut running =
        start_through(&launcher, shell("sleep 300 & echo $!; exec sleep 300").stdout(Stdio::Pipe))
            .expect("a start");
    let mut line = [0; 32];
    let count = File::from(running.take_stdout().expect("a pipe")).read(&mut line).expect("a line");
    let child: u32 = String::from_utf8_lossy(&line[..count]).trim().parse().expect("a number");
    for pid in [running.pid(), child, parent(running.pid()), outer(&running), supervisor(&running)] {
        assert_eq!(groups_of(pid), groups_of(child), "{pid}");
    }
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("a process");
    let others = status.lines().find_map(|line| line.strip_prefix("Groups:")).expect("groups");
    assert_eq!(others.split_whitespace().collect::<Vec<_>>(), ["100", "65534"], "the user's own are kept");
    let [group, ..] = groups_of(child)[..] else { panic!("groups") };
    assert!(groups_of(child) == [group; 4] && RANGE.contains(&group), "{group}");
    let other = start_through(&launcher, shell("exec sleep 300")).expect("a start");
    assert_ne!(groups_of(other.pid())[0], group, "each has its own");
    // To set a timer that wakes the machine, through executions too: whoever lacks it cannot read the program.
    const WAKE_ALARM: &str = "\t0000000800000000";
    let capabilities = status.lines().filter(|line| line.starts_with("Cap") && !line.starts_with("CapBnd"));
    assert!(
        capabilities.clone().all(|line| line.ends_with(WAKE_ALARM)) && capabilities.count() == 4,
        "{status}"
    );
    for pid in [outer(&running), supervisor(&running)] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        assert!(status.contains(&format!("CapPrm:{WAKE_ALARM}")), "{status}");
    }
    let pid = running.pid();
    drop(running);
    assert!(!is_alive(pid) && !is_alive(child), "dropped, the tree is gone");
}

#[test]
fn arguments_environment_directory_and_mask_are_as_in_a_plain_start() {
    let launcher = launcher!();
    let room = tempfile::tempdir().expect("a directory");
    let script = "printf '%s|' \"$0\" \"$@\"; pwd; umask; env | sort; ls -l /proc/self/fd | wc -l";
    let spec = || {
        Spec::new(image("/bin/sh"))
            .arg0("other name")
            .args(["-c", script, "zero", "", "a b", "\u{e9}\n*"])
            .env("PATH", "/usr/bin:/bin")
            .env("BIG", "x".repeat(100_000))
            .directory(room.path())
    };
    let plain = support::output(spec());
    assert_eq!(output(&launcher, spec()), plain);
    assert!(plain.1.contains("zero||a b|\u{e9}\n*|"));
    // The caller's directory where none is named, and paths that start there.
    assert_eq!(output(&launcher, shell("pwd")), support::output(shell("pwd")));
    assert_eq!(
        output(&launcher, shell("pwd").directory("..")),
        support::output(shell("pwd").directory(".."))
    );
}

#[test]
fn a_larger_environment_than_a_socket_holds_comes_through_whole() {
    let launcher = launcher!();
    let many = (0..20).map(|number| (format!("V{number}"), "y".repeat(100_000)));
    let spec = shell("env | wc -c").envs(many);
    let (exit, text) = output(&launcher, spec);
    assert_eq!(exit, Exit::Code(0));
    assert!(text.trim().parse::<usize>().expect("a number") > 2_000_000, "{text}");
}

#[test]
fn streams_and_declared_descriptors_reach_the_program_and_nothing_else_does() {
    let launcher = launcher!();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"declared").expect("written");
    let script = "cat; echo to the other >&2; cat </dev/fd/7; ls /proc/self/fd | tr '\\n' ' '";
    let spec = shell(script).stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(Stdio::Pipe);
    let file = OwnedFd::from(
        File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).expect("a file"),
    );
    let mut running = start_through(&launcher, spec.descriptor(file, 7)).expect("a start");
    File::from(running.take_stdin().expect("a pipe")).write_all(b"through|").expect("written");
    let (mut out, mut err) = (String::new(), String::new());
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut out).expect("output");
    File::from(running.take_stderr().expect("a pipe")).read_to_string(&mut err).expect("output");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    // `ls` has one more open: the directory.
    assert_eq!((out.as_str(), err.as_str()), ("through|declared0 1 2 3 7 ", "to the other\n"));
    assert!(running.take_stdin().is_none());
}

#[test]
fn as_many_descriptors_as_can_be_declared_come_through() {
    let launcher = launcher!();
    let null = || OwnedFd::from(File::open("/dev/null").expect("a file"));
    let spec =
        (3..=511).fold(shell("ls /proc/self/fd | wc -l"), |spec, number| spec.descriptor(null(), number));
    let (exit, text) = output(&launcher, spec);
    assert_eq!((exit, text.trim()), (Exit::Code(0), "513"));
}

#[test]
fn a_terminal_of_its_own_works_and_is_hung_up_for_nobody() {
    let launcher = launcher!();
    let size = Size { rows: 33, columns: 101, width: 0, height: 0 };
    let spec = shell("stty size; echo ok >/dev/tty; read line; echo got $line; trap 'echo int; exit 3' INT; echo ready; while :; do sleep 0.01; done")
        .terminal(Pty::open(size).expect("a terminal"))
        .stdin(Stdio::Terminal)
        .stdout(Stdio::Terminal)
        .stderr(Stdio::Terminal);
    let mut running = start_through(&launcher, spec).expect("a start");
    let mut master = File::from(running.terminal().expect("a terminal").expect("a descriptor"));
    assert!(!running.shares_process_group());
    let mut text = String::new();
    let mut until = |master: &mut File, wanted: &str| {
        let mut byte = [0];
        while !text.contains(wanted) {
            assert_eq!(master.read(&mut byte).expect("more"), 1, "{text}");
            text.push(char::from(byte[0]));
        }
    };
    until(&mut master, "33 101\r\nok\r\n");
    master.write_all(b"line\n").expect("written");
    until(&mut master, "got line\r\nready");
    master.write_all(b"\x03").expect("Ctrl-C");
    until(&mut master, "int\r\n");
    assert_eq!(running.wait().expect("an end"), Exit::Code(3));
    // Neither the launcher nor the client holds the other side: the master sees the end.
    assert!(matches!(master.read(&mut [0]), Err(error) if error.raw_os_error() == Some(5)));
}

#[test]
fn the_program_is_in_the_callers_process_group() {
    let launcher = launcher!();
    let (_, text) = output(&launcher, shell("ps -o pgid= -p $$"));
    let own = rustix::process::getpgrp().as_raw_nonzero().to_string();
    assert_eq!(text.trim(), own);
    let mut running = start_through(&launcher, shell("exec sleep 300")).expect("a start");
    assert!(running.shares_process_group());
    running.signal(Signal::TERM).expect("sent");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(15));
}

#[test]
fn events_signals_and_the_end_of_the_tree_are_those_of_a_plain_start() {
    let launcher = launcher!();
    let mut running = start_through(&launcher, shell("sleep 300 & exec sleep 300")).expect("a start");
    support::stops_goes_on_and_is_ended(&mut running);
    assert_eq!(output(&launcher, shell("exit 7")).0, Exit::Code(7));
    assert_eq!(output(&launcher, shell("kill -SEGV $$")).0, Exit::Signal(11));
}

#[test]
fn what_was_enforced_is_told_as_it_was_read_back() {
    let launcher = launcher!();
    let running = start_through(&launcher, shell("exec sleep 300")).expect("a start");
    let plain = start(shell("exec sleep 300")).expect("a start");
    let told: Vec<_> = running.enforced().iter().collect();
    let plain: Vec<_> = plain.enforced().iter().chain([(Guarantee::L6, &Given::Yes)]).collect();
    assert_eq!(told, plain, "and that nobody else can read it, in every tier");
    assert!(told.contains(&(Guarantee::N6, &Given::Yes)), "the lease came over with the image");
}

#[test]
fn a_start_that_fails_fails_as_a_plain_one_does() {
    let launcher = launcher!();
    let room = tempfile::tempdir().expect("a directory");
    support::write_file(&room.path().join("script"), "#!/bin/sh\n", 0o755);
    support::write_file(&room.path().join("garbage"), "\u{7f}ELF no program", 0o755);
    let null = || OwnedFd::from(File::open("/dev/null").expect("a file"));
    let specs: [&dyn Fn() -> Spec; 8] = [
        &|| Spec::new(image(room.path().join("script"))),
        &|| Spec::new(image(room.path().join("garbage"))),
        &|| shell(":").directory("/nowhere"),
        &|| shell(":").arg("a\0b"),
        &|| shell(":").env("A=B", ""),
        &|| shell(":").descriptor(null(), 2),
        &|| shell(":").descriptor(null(), 9).descriptor(null(), 9),
        &|| shell(":").stdin(Stdio::Terminal),
    ];
    for (number, spec) in specs.iter().enumerate() {
        let plain = start(spec()).expect_err("refused");
        let launched = start_through(&launcher, spec()).expect_err("refused");
        assert_eq!(format!("{launched:?}"), format!("{plain:?}"), "{number}");
        assert_eq!(launched.shell_status(), plain.shell_status(), "{number}");
    }
}

#[test]
fn an_image_that_was_changed_after_it_was_hashed_is_not_started() {
    let launcher = launcher!();
    let room = tempfile::tempdir().expect("a directory");
    let program = room.path().join("program");
    support::copy_program("/bin/true", &program);
    // A writer who has it open already: no lease is to be had, and nothing stops the writing.
    let mut writer = fs::OpenOptions::new().append(true).open(&program).expect("a writer");
    let image = image(&program);
    writer.write_all(b"more").expect("written");
    drop(writer);
    match start_through(&launcher, Spec::new(image)) {
        Err(StartError::Launcher { why }) => assert!(why.contains("not those that were identified"), "{why}"),
        other => panic!("started: {other:?}"),
    }
}

#[test]
fn no_launcher_is_left_when_its_program_has_ended_or_was_not_started() {
    let launcher = launcher!();
    let own = std::process::id();
    let launched = || {
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let all = fs::read_dir("/proc/self/task").expect("threads").filter_map(Result::ok);
        let more = all.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        more.chain([children])
            .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .count()
    };
    for _ in 0..5 {
        let mut running = start_through(&launcher, shell(":")).expect("a start");
        running.wait().expect("an end");
        drop(running);
        start_through(&launcher, shell(":").directory("/nowhere")).expect_err("refused");
    }
    assert_eq!(launched(), 0);
}

#[test]
fn the_tree_ends_with_the_launcher_and_with_the_client_even_when_the_launcher_was_stopped() {
    let launcher = launcher!();
    let mut running = start_through(&launcher, shell("sleep 300 & exec sleep 300")).expect("a start");
    let pid = running.pid();
    support::kill(supervisor(&running), rustix::process::Signal::KILL);
    assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
    assert!(!is_alive(pid));

    let running = start_through(&launcher, shell("sleep 300 & exec sleep 300")).expect("a start");
    let (pid, helper) = (running.pid(), supervisor(&running));
    support::kill(helper, rustix::process::Signal::STOP);
    assert!(becomes_true(|| state(helper) == Some('T')));
    drop(running);
    assert!(!is_alive(pid) && !is_alive(helper), "nothing waits for a stopped launcher");
    let (ended, _) = raw("client ends");
    assert!(["program gone", "program Z"].contains(&ended.trim()), "{ended}");
}

// Who starts it, and in which state.

/// What `raw.py` prints, and what it says when it fails.
fn raw(scenario: &str) -> (String, String) {
    raw_with(scenario, &[])
}

fn raw_with(scenario: &str, env: &[(&str, &Path)]) -> (String, String) {
    let output = Command::new(PYTHON)
        .arg(RAW)
        .arg(Launcher::path())
        .arg(scenario)
        .envs(env.iter().copied())
        .current_dir("/tmp")
        .output()
        .expect("python");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{scenario}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn whatever_state_it_is_started_in_the_program_gets_a_clean_one() {
    launcher!();
    let (plain, _) = raw("plain");
    let lines: Vec<_> = plain.lines().collect();
    assert_eq!(lines[0].trim(), "started", "{plain}");
    assert_eq!(lines[1..4], ["its own", "", "0022"], "{plain}");
    assert!(
        lines[4].contains("SigBlk:0000000000000000") && lines[4].contains("SigIgn:0000000000000000"),
        "{plain}"
    );
    assert_eq!(lines[5], "/tmp");
    assert!(lines[6].contains("SECRET=canary") && !lines[6].contains("LD_"), "{plain}");
    assert_eq!(lines[7].trim(), "0 1 2 3", "one of them is the directory that is listed");
    for scenario in ["descriptors", "signals", "timers", "closed", "fsize", "arguments", "argc-0", "link"] {
        assert_eq!(raw(scenario).0, plain, "{scenario}");
    }
    assert_eq!(raw("umask").0, plain.replace("0022", "0000"), "the mask is the caller's to choose");
    let (gone, _) = raw("directory");
    assert!(gone.starts_with("started"), "{gone}");
    let (core, _) = raw("core");
    assert!(core.contains("\n1\n1\n") || core.contains("\n0\n0\n"), "no core dump: {core}");
    let (stopped, _) = raw("stopped");
    assert!(stopped.contains("went on"), "{stopped}");
}

#[test]
fn too_few_descriptors_are_an_answer_or_an_end_but_no_program() {
    launcher!();
    for limit in ["nofile-3", "nofile-4", "nofile-5", "nofile-7", "nofile-9"] {
        let (text, _) = raw(limit);
        let refused = ["refused", "failed", "gone"].iter().any(|start| text.starts_with(start));
        assert!(refused, "{limit}: {text}");
    }
}

#[test]
fn what_a_loader_takes_from_the_environment_it_takes_from_no_caller_of_the_launcher() {
    launcher!();
    let room = tempfile::tempdir().expect("a directory");
    let (code, library) = (room.path().join("evil.c"), room.path().join("evil.so"));
    let mark = room.path().join("loaded");
    let text = "#include <fcntl.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void run(void) \
                { open(MARK, O_CREAT | O_WRONLY, 0600); }\n";
    fs::write(&code, text).expect("a file");
    let define = format!("-DMARK=\"{}\"", mark.display());
    let built =
        Command::new("gcc").args(["-shared", "-fPIC", &define, "-o"]).arg(&library).arg(&code).status();
    if !built.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no gcc");
        return;
    }
    Command::new("/bin/true").env("LD_PRELOAD", &library).status().expect("a program");
    assert!(mark.exists(), "works without protection");
    fs::remove_file(&mark).expect("removed");
    let (text, errors) = raw_with("environment", &[("EVIL", &library)]);
    assert!(text.starts_with("started") && text.contains("SECRET=canary"), "{text}{errors}");
    assert!(!mark.exists(), "the library was loaded");
    assert!(!text.contains("LD_") && errors.is_empty(), "{text}{errors}");
    let debug = fs::read_dir("/tmp").expect("a directory").filter_map(Result::ok);
    let debug = debug.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"envseal-ld-debug"));
    assert_eq!(debug.count(), 0);
}

#[test]
fn where_the_kernel_gives_no_group_the_launcher_refuses() {
    launcher!();
    for scenario in ["no-new-privileges", "user-namespace", "traced"] {
        let (text, _) = raw(scenario);
        assert!(text.starts_with("refused ") && text.contains("a group of its own"), "{scenario}: {text}");
    }
    let (text, errors) = {
        let output = Command::new(Launcher::path()).stdin(Std::null()).output().expect("the launcher");
        assert_eq!(output.status.code(), Some(125));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(text, "");
    assert_eq!(errors, "", "its standard error is gone by then");
}

#[test]
fn a_client_that_can_gain_no_privileges_is_told_and_does_not_fall_back() {
    launcher!();
    // In this process it would last: in another one.
    if rustix::thread::no_new_privs().expect("asked") {
        let error = Launcher::installed().expect_err("unusable");
        assert!(error.to_string().contains("no_new_privs"), "{error}");
        println!("was refused");
        return;
    }
    let name = "a_client_that_can_gain_no_privileges_is_told_and_does_not_fall_back";
    let output = Command::new("setpriv")
        .arg("--no-new-privs")
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture"])
        .output()
        .expect("setpriv");
    let text = String::from_utf8_lossy(&output.stdout);
    // The turn itself asks what is installed, and meets the refusal.
    assert!(
        text.contains("was refused") || text.contains("NoNewPrivileges") || !output.status.success(),
        "{text}"
    );
}

#[test]
fn requests_that_are_malformed_are_refused_with_a_reason() {
    launcher!();
    let (text, _) = raw("malformed");
    let mut cases = 0;
    for block in text.split_inclusive("status ") {
        let Some((_, said)) = block.split_once(": ") else { continue };
        cases += 1;
        assert!(said.starts_with("refused ") || said.starts_with("gone"), "{text}");
    }
    assert_eq!(cases, 18, "{text}");
    assert!(!text.contains("started") && !text.contains("status -"), "no signal ended it: {text}");
    for reason in [
        "this is not the protocol",
        "a message is too large",
        "it ends too early",
        "short of descriptors",
        "more descriptors than it names",
        "another number of descriptors",
        "special file",
        "not those that were identified",
        "user namespace",
        "no request",
    ] {
        assert!(text.contains(reason), "{reason}: {text}");
    }
    let (text, _) = raw("version");
    assert!(text.contains("of different versions") && text.contains("sudo envseal install"), "{text}");
    let (text, _) = raw("declared");
    assert_eq!(text.matches("failed").count(), 3, "{text}");
}

#[test]
fn what_keeps_the_group_from_others_cannot_be_waived() {
    launcher!();
    let (text, _) = raw("waived");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0].trim(), "started", "{text}");
    assert!(lines[1].contains("Seccomp:2"), "{text}");
    assert!(text.contains("kept"), "{text}");
}

#[test]
fn only_the_parent_that_made_the_socket_is_a_client() {
    launcher!();
    let (text, _) = raw("not the parent");
    assert!(text.starts_with("refused the client is not its parent"), "{text}");
    let (text, _) = raw("other sockets");
    assert_eq!(text, "125\n125\n125\n");
}

#[test]
fn a_hard_link_to_the_launcher_cannot_be_made_or_is_the_launcher() {
    launcher!();
    let room = tempfile::tempdir_in("/tmp").expect("a directory");
    let link = room.path().join("link");
    match fs::hard_link(Launcher::path(), &link) {
        Err(error) => println!("refused: {error}"),
        Ok(()) => {
            let (one, other) =
                (fs::metadata(&link).expect("a file"), fs::metadata(Launcher::path()).expect("a file"));
            assert_eq!((one.dev(), one.ino()), (other.dev(), other.ino()));
        }
    }
    // A copy is the user's own, and its set-group-ID bit another group's.
    let copy = room.path().join("copy");
    support::copy_program(Launcher::path().to_str().expect("text"), &copy);
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o2755)).expect("a mode");
    let output = Command::new(&copy).stdin(Std::null()).output().expect("a program");
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a group of its own"));
}
