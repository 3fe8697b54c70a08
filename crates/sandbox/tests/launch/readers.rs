//! Who can read a program of the launcher, and what it could leave to others that they can.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use envseal_sandbox::launch::start_through;
use envseal_sandbox::{Exit, Running, Spec, Stdio, start};

use crate::installed::{self, launcher};
use crate::support::{self, becomes_true, image, is_alive, parent, shell};
use crate::{PYTHON, outer, output, supervisor};

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/launch/reader.py");

/// What `reader.py` found open of each process; with a command before it, by which it runs.
fn read(before: &[&str], pids: &[u32]) -> Vec<String> {
    let mut words = before.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    words.extend([PYTHON, READER].map(str::to_owned));
    words.extend(pids.iter().map(u32::to_string));
    let output = Command::new(&words[0]).args(&words[1..]).output().expect("a reader");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> =
        text.lines().map(|line| line.split_once(": ").expect("a line").1.to_owned()).collect();
    assert_eq!(lines.len(), pids.len(), "{}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// A program that prints its number and that of a child, which is another program after a second execution.
fn victims() -> Vec<Spec> {
    let node = "const c = require('child_process').spawn('sleep', ['300']); \
                console.log(process.pid + ' ' + c.pid); setInterval(() => 0, 1000)";
    let python = "import os, subprocess, time\nc = subprocess.Popen(['/bin/sh', '-c', 'exec sleep 300'])\n\
                  print(os.getpid(), c.pid, flush=True)\ntime.sleep(300)";
    let mut all = vec![
        shell("(exec sh -c 'exec sleep 300') & echo $$ $!; exec sh -c 'sleep 300; :'"),
        Spec::new(image(PYTHON)).args(["-c", python]).env("PATH", "/usr/bin:/bin"),
    ];
    match Path::new("/usr/bin/node").exists() {
        true => all.push(Spec::new(image("/usr/bin/node")).args(["-e", node]).env("PATH", "/usr/bin:/bin")),
        false => println!("SKIPPED: no /usr/bin/node"),
    }
    all.into_iter().map(|spec| spec.env("SECRET", "canary").stdout(Stdio::Pipe)).collect()
}

/// The two numbers that it prints, once the child has been executed.
fn numbers(running: &mut Running) -> Vec<u32> {
    let mut out = File::from(running.take_stdout().expect("a pipe"));
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with('\n') {
        assert_eq!(out.read(&mut byte).expect("a line"), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    let numbers: Vec<u32> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    assert!(becomes_true(|| {
        fs::read_to_string(format!("/proc/{}/comm", numbers[1])).is_ok_and(|name| name == "sleep\n")
    }));
    numbers
}

#[test]
fn a_plain_program_can_be_read_in_every_way_and_one_of_the_launcher_in_none() {
    let launcher = launcher!();
    for (plain, launched) in victims().into_iter().zip(victims()) {
        let name = format!("{launched:?}");
        let mut running = start(plain).expect("a start");
        let pids = numbers(&mut running);
        for open in read(&[], &pids) {
            assert_eq!(open.split(' ').count(), 16, "works without protection: {open}");
        }
        drop(running);
        let mut running = start_through(&launcher, launched).expect("a start");
        let mut pids = numbers(&mut running);
        pids.extend([parent(running.pid()), outer(&running), supervisor(&running)]);
        assert_eq!(read(&[], &pids), ["closed"; 5], "{name}");
        assert_eq!(read(&["unshare", "--user"], &pids), ["closed"; 5], "{name}: from a user namespace");
        assert_eq!(
            read(&["unshare", "--map-root-user", "--pid", "--fork", "--mount"], &pids),
            ["closed"; 5],
            "{name}: as root of a user namespace"
        );
        assert!(is_alive(pids[0]) && is_alive(pids[1]));
    }
}

#[test]
fn a_program_of_the_launcher_cannot_read_another_one() {
    let launcher = launcher!();
    let mut victim = start_through(&launcher, victims().remove(0)).expect("a start");
    let mut pids = numbers(&mut victim);
    pids.extend([parent(victim.pid()), outer(&victim), supervisor(&victim)]);
    // It has the group: the Landlock domain of its own keeps it out, and seccomp.
    let reader = Spec::new(image(PYTHON)).arg(READER).args(pids.iter().map(u32::to_string));
    let (exit, text) = output(&launcher, reader.env("PATH", "/usr/bin:/bin"));
    assert_eq!(exit, Exit::Code(0));
    for line in text.lines() {
        assert!(line.ends_with(": closed"), "{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn what_a_program_leaves_to_others_of_its_group_opens_no_other_program() {
    let launcher = launcher!();
    let room = tempfile::tempdir().expect("a directory");
    let mut victim = start_through(&launcher, victims().remove(0)).expect("a start");
    let pid = numbers(&mut victim)[0];
    // Outside: a user namespace waits for its groups. Whoever has a group may map it there (user_namespaces(7)),
    // and whoever is in it then makes a setgid program of that group, in no domain and under no filter.
    let outside = format!(
        "
import ctypes, os, shutil, time
libc = ctypes.CDLL(None)
os.chdir({room:?})
assert libc.unshare(0x10000000) == 0
open('/proc/self/setgroups', 'w').write('deny')
open('pid', 'w').write(str(os.getpid()) + '\\n')
for _ in range(500):
    if open('/proc/self/gid_map').read().strip(): break
    time.sleep(0.01)
open('/proc/self/uid_map', 'w').write('65534 65534 1')
libc.setresgid(0, 0, 0)
shutil.copyfile('/usr/bin/head', 'setgid')
os.chmod('setgid', 0o2755)
",
        room = room.path(),
    );
    let mut waiting = Command::new(PYTHON).args(["-c", &outside]).spawn().expect("python");
    let waits = support::written_pid(&room.path().join("pid"));
    let inside = format!("echo \"0 $(id -g) 1\" >/proc/{waits}/gid_map; exec sleep 300");
    let accomplice = start_through(&launcher, shell(&inside)).expect("a start");
    assert!(waiting.wait().expect("an end").success());
    let setgid = room.path().join("setgid");
    let read = |file: String| {
        let output = Command::new(&setgid).args(["-c", "2000"]).arg(file).output();
        String::from_utf8_lossy(&output.expect("a program").stdout).into_owned()
    };
    let group = super::groups_of(accomplice.pid())[0].to_string();
    let own = read("/proc/self/status".to_owned());
    let has = own.lines().find_map(|line| line.strip_prefix("Gid:")).expect("its groups");
    assert!(has.split_whitespace().skip(1).all(|one| one == group), "the copy has the group: {has}");
    // The group alone is not enough: the program has a capability too, which no file of the user's can carry.
    for pid in [accomplice.pid(), pid] {
        assert_eq!(read(format!("/proc/{pid}/environ")), "");
    }
}
