//! N4: the program has the declared descriptors, environment and signals, and nothing else.

#![cfg(target_os = "linux")]

mod support;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use envseal_sandbox::{Exit, Guarantee, StartError, Stdio, start};
use support::{as_ordinary_user, bytes, image, output, shell};

/// The open descriptors of a shell, without the one that lists them.
const LIST: &str = "for f in /proc/self/fd/*; do test -e $f && echo ${f##*/}; done; :";

#[test]
fn an_inheritable_descriptor_reaches_a_plain_program_but_not_a_declared_one() {
    as_ordinary_user!();
    let file = File::open("/etc/passwd").expect("a file");
    let leak = rustix::io::fcntl_dupfd_cloexec(&file, 40).expect("a copy");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("inheritable");
    let number = leak.as_raw_fd().to_string();
    let plain = Command::new("/bin/sh").args(["-c", LIST]).output().expect("a shell");
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(plain.lines().any(|line| line == number), "the leak works without protection: {plain}");

    let running = output(shell(LIST));
    assert_eq!(running, (Exit::Code(0), "0\n1\n2\n".into()));
}

#[test]
fn declared_descriptors_arrive_at_their_numbers_in_any_order() {
    as_ordinary_user!();
    let make = |text: &str| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("rewound");
        OwnedFd::from(file)
    };
    // The sources' own numbers are among the targets, crosswise.
    let (a, b) = (make("a"), make("b"));
    let (to_a, to_b) = (b.as_raw_fd(), a.as_raw_fd());
    let spec = shell(&format!("cd /proc/self/fd; cat {to_a} {to_b} 200")).descriptor(make("c"), 200);
    let spec = spec.descriptor(a, to_a).descriptor(b, to_b);
    assert_eq!(output(spec), (Exit::Code(0), "abc".into()));
}

#[test]
fn a_descriptor_declared_twice_or_out_of_range_is_refused() {
    as_ordinary_user!();
    for numbers in [[3, 3], [2, 3], [-1, 3], [3, 512]] {
        let file = || OwnedFd::from(File::open("/dev/null").expect("a file"));
        let spec = shell(":").descriptor(file(), numbers[0]).descriptor(file(), numbers[1]);
        assert!(matches!(start(spec), Err(StartError::Descriptor { .. })), "{numbers:?}");
    }
}

#[test]
fn the_environment_is_exactly_the_declared_one() {
    as_ordinary_user!();
    let odd = OsString::from_vec(b"\xff\xfe\x01 '\"\n".to_vec());
    let spec = envseal_sandbox::Spec::new(image("/usr/bin/env")).arg("-0");
    let spec = spec.env("B", "2").env("A", odd).env("EMPTY", "").env("B", "3");
    let (exit, text) = bytes(spec);
    assert_eq!(exit, Exit::Code(0));
    assert_eq!(text, b"A=\xff\xfe\x01 '\"\n\0EMPTY=\0B=3\0");
    assert_eq!(output(envseal_sandbox::Spec::new(image("/usr/bin/env"))).1, "");
}

#[test]
fn what_no_environment_or_argument_can_carry_is_refused() {
    as_ordinary_user!();
    assert!(matches!(start(shell(":").env("A", "x\0y")), Err(StartError::Nul { .. })));
    assert!(matches!(start(shell(":").arg("x\0y")), Err(StartError::Nul { .. })));
    assert!(matches!(start(shell(":").directory("/\0")), Err(StartError::Nul { .. })));
    assert!(matches!(start(shell(":").env("", "x")), Err(StartError::Variable { .. })));
    assert!(matches!(start(shell(":").env("A=B", "x")), Err(StartError::Variable { .. })));
}

#[test]
fn ignored_and_blocked_signals_of_the_caller_do_not_reach_the_program() {
    as_ordinary_user!();
    // Rust ignores SIGPIPE; a plain child that keeps it would print the mask 0000000000001000.
    let (_, text) = output(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status"));
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    let (exit, _) = output(shell("kill -PIPE $$; exit 0"));
    assert_eq!(exit, Exit::Signal(13));
}

#[test]
fn each_stream_is_chosen_separately() {
    as_ordinary_user!();
    let mut file = tempfile::tempfile().expect("a file");
    let stderr = Stdio::Descriptor(file.try_clone().expect("a copy").into());
    let spec = shell("cat; echo err >&2").stdin(Stdio::Pipe).stdout(Stdio::Pipe).stderr(stderr);
    let mut running = start(spec).expect("a start");
    let mut stdin = File::from(running.take_stdin().expect("a pipe"));
    stdin.write_all(b"through").expect("written");
    drop(stdin);
    let mut text = String::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("read");
    assert_eq!(running.wait().expect("an end"), Exit::Code(0));
    assert!(running.take_stdout().is_none() && running.take_stderr().is_none());
    assert_eq!(text, "through");
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("rewound");
    text.clear();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "err\n");
    assert_eq!(output(shell("cat; readlink /proc/self/fd/0").stdin(Stdio::Null)).1, "/dev/null\n");
    assert!(matches!(start(shell(":").stdin(Stdio::Terminal)), Err(StartError::NoTerminal)));
}

#[test]
fn a_program_that_closes_its_output_is_seen_to_while_it_runs() {
    as_ordinary_user!();
    // No watcher may hold the pipe open.
    let mut running = start(shell("echo x; exec >&-; exec sleep 300").stdout(Stdio::Pipe)).expect("a start");
    let mut text = String::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("the end of output");
    assert_eq!((text.as_str(), running.try_wait().expect("asked")), ("x\n", None));
    assert!(running.enforced().gives(Guarantee::N4));
}

#[test]
fn a_caller_without_standard_streams_starts_programs_too() {
    as_ordinary_user!();
    let program = support::example("supervise");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let list = format!("({LIST}) >{}", file.path().display());
    let script = format!("exec <&- >&- 2>&-; exec {} --quiet /bin/sh -c '{list}'", program.display());
    let status = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell");
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(file.path()).expect("read"), "0\n1\n2\n");
}

#[test]
fn the_directory_and_the_mask_are_kept_as_told() {
    as_ordinary_user!();
    let here = std::env::current_dir().expect("a directory");
    assert_eq!(output(shell("pwd -P")).1.trim_end(), here.to_string_lossy());
    assert_eq!(output(shell("pwd -P").directory("/usr")).1, "/usr\n");
    let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
    assert_eq!(output(shell("umask")).1, "0027\n");
    rustix::process::umask(old);
    let missing = start(shell(":").directory("/nowhere"));
    assert!(matches!(&missing, Err(StartError::Directory { path, .. }) if path.ends_with("nowhere")));
}
