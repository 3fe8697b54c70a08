//! The namespace engine: what a program sees of the system, and that it is given in whole or not at all.

#![cfg(target_os = "linux")]

#[path = "namespaces/loader.rs"]
mod loader;
#[path = "namespaces/lockdown.rs"]
mod lockdown;
#[path = "namespaces/pins.rs"]
mod pins;
#[path = "namespaces/places.rs"]
mod places;
mod support;
#[path = "namespaces/terminal.rs"]
mod terminal;
#[path = "namespaces/tree.rs"]
mod tree;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio as Std};

use envseal_sandbox::{
    Engine, Exit, Given, Guarantee, Limits, Running, Signal, Spec, StartError, Stdio, Tier, start,
};
use support::{as_ordinary_user, becomes_true, image, is_alive, kill, output, parent, shell};

/// The namespaces that `Hardened` has of its own, then the one of `Lockdown`.
const KINDS: [&str; 7] = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];

fn hardened(script: &str) -> Spec {
    shell(script).tier(Tier::Hardened).engine(Engine::Namespaces)
}

/// One process, so a shell with nothing but what is built in.
fn lockdown(script: &str) -> Spec {
    locked(shell(script))
}

fn locked(spec: Spec) -> Spec {
    spec.tier(Tier::Lockdown).engine(Engine::Namespaces).allow_weaker([Guarantee::L6])
}

fn says(spec: Spec) -> String {
    output(spec.stderr(Stdio::Null)).1
}

/// A program that waits for a line before it does something.
fn waiting(spec: Spec) -> (Running, File, File) {
    let mut running = start(spec.stdin(Stdio::Pipe).stdout(Stdio::Pipe)).expect("a start");
    let input = File::from(running.take_stdin().expect("a pipe"));
    let output = File::from(running.take_stdout().expect("a pipe"));
    (running, input, output)
}

fn told(input: &mut File, output: &mut File) -> String {
    input.write_all(b"go\n").expect("sent");
    let mut text = String::new();
    output.read_to_string(&mut text).expect("read");
    text
}

fn given(running: &Running, guarantee: Guarantee) -> Given {
    let mut all = running.enforced().iter();
    all.find(|(name, _)| *name == guarantee).map(|(_, given)| given.clone()).expect("of the tier")
}

mod identity {
    use super::*;

    #[test]
    fn the_program_is_the_user_and_the_group_that_it_was() {
        as_ordinary_user!();
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        for tier in [Tier::None, Tier::Hardened] {
            let spec = shell("id -u; id -g; cat /proc/self/uid_map").engine(Engine::Namespaces).tier(tier);
            let text = says(spec);
            let words: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            assert_eq!(words, [user, group, user, user, 1], "{tier}");
        }
        let text = says(locked(Spec::new(image("/usr/bin/id")).arg("-u")));
        assert_eq!(text.trim(), user.to_string());
    }

    #[test]
    fn files_that_it_makes_belong_to_the_user() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("file");
        assert_eq!(says(hardened(&format!("echo x >{0}; stat -c %u {0}", path.display()))), {
            format!("{}\n", rustix::process::getuid().as_raw())
        });
        let of = fs::metadata(&path).expect("made outside too");
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&of), rustix::process::getuid().as_raw());
    }

    #[test]
    fn every_namespace_of_the_tier_is_its_own_and_the_network_stays_in_hardened() {
        as_ordinary_user!();
        let own =
            |pid: u32, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
        for (tier, count) in [(Tier::None, 3), (Tier::Hardened, 6)] {
            let spec = shell("read line").engine(Engine::Namespaces).tier(tier).stdin(Stdio::Pipe);
            let running = start(spec).expect("a start");
            for (place, kind) in KINDS.into_iter().enumerate() {
                let differs = own(running.pid(), kind) != own(std::process::id(), kind);
                assert_eq!(differs, place < count, "{tier}: {kind}");
            }
        }
        for kind in KINDS {
            let inside =
                says(locked(Spec::new(image("/usr/bin/readlink")).arg(format!("/proc/self/ns/{kind}"))));
            let outside = own(std::process::id(), kind);
            assert!(inside.starts_with(&format!("{kind}:[")), "{inside}");
            assert_ne!(inside.trim(), outside.to_string_lossy());
        }
    }

    #[test]
    fn it_has_no_capability_in_its_own_namespaces() {
        as_ordinary_user!();
        let text = says(hardened(
            "grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status; cat /proc/sys/user/max_user_namespaces",
        ));
        assert_eq!(text.matches("0000000000000000").count(), 4, "{text}");
        assert!(text.ends_with("\n0\n"), "no further user namespace: {text}");
        for attempt in
            ["umount /run/user", "umount /proc", "mount -t tmpfs x /tmp", "hostname other", "unshare -U true"]
        {
            assert_eq!(says(hardened(&format!("{attempt} 2>/dev/null && echo done"))), "", "{attempt}");
        }
        assert_ne!(Command::new("unshare").args(["-U", "true"]).status().expect("unshare").code(), None);
    }

    #[test]
    fn a_group_that_is_private_is_never_mapped() {
        as_ordinary_user!();
        match start(hardened(":").private_group(12345)) {
            Err(StartError::NotGiven { missing, .. }) => assert_eq!(missing[0].0, Guarantee::L6),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_watcher_shows_no_way_out() {
        as_ordinary_user!();
        for path in ["root", "cwd", "fd", "ns/mnt", "mem", "environ"] {
            assert_eq!(
                says(hardened(&format!("cat /proc/1/{path} || ls /proc/1/{path}/ && echo open"))),
                "",
                "{path}"
            );
        }
    }

    #[test]
    fn all_guarantees_are_read_back() {
        as_ordinary_user!();
        for tier in [Tier::None, Tier::Hardened, Tier::Lockdown] {
            let spec = shell(":").engine(Engine::Namespaces).tier(tier).allow_weaker([Guarantee::L6]);
            let running = start(spec).expect("a start");
            for (guarantee, given) in running.enforced().iter() {
                match given {
                    Given::No(why) => {
                        assert!(guarantee == Guarantee::L6 && why.contains("namespace"), "{why}")
                    }
                    given => assert_eq!(*given, Given::Yes, "{tier} {guarantee}"),
                }
            }
        }
    }
}

mod processes {
    use super::*;

    #[test]
    fn only_the_programs_own_are_seen_and_the_first_is_the_watcher() {
        as_ordinary_user!();
        let text =
            says(hardened("cd /proc; echo [0-9]*; cut -d' ' -f4 /proc/$$/stat; kill -0 1 || echo refused"));
        // The watcher, the shell, cut.
        assert_eq!(text, "1 2\n1\nrefused\n");
    }

    #[test]
    fn the_supervisor_has_the_number_that_it_sees_itself() {
        as_ordinary_user!();
        let (running, mut input, mut out) = waiting(hardened("read line; echo $$"));
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("the program");
        let line = status.lines().find(|line| line.starts_with("NSpid:")).expect("its numbers");
        let numbers: Vec<&str> = line.split_whitespace().skip(1).collect();
        assert_eq!(numbers, [&running.pid().to_string(), "2"]);
        assert_eq!(parent(parent(parent(running.pid()))), std::process::id());
        assert_eq!(told(&mut input, &mut out), "2\n");
    }

    #[test]
    fn the_machine_has_another_name() {
        as_ordinary_user!();
        let outside = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
        assert_eq!(says(hardened("cat /proc/sys/kernel/hostname")), "envseal\n");
        assert_ne!(outside, "envseal\n");
    }

    #[test]
    fn limits_dumps_and_privileges_are_as_in_the_other_engine() {
        as_ordinary_user!();
        let limits = Limits { cpu: Some(77), ..Limits::default() };
        let script = "grep -E 'Max (core|cpu)' /proc/self/limits; grep NoNewPrivs /proc/self/status";
        let text = says(hardened(script).limits(limits));
        let words: Vec<&str> = text.split_whitespace().filter(|word| word.parse::<u32>().is_ok()).collect();
        assert_eq!(words, ["77", "77", "1", "1", "1"], "{text}");
        let room = tempfile::tempdir().expect("a directory");
        let (exit, _) = output(hardened("kill -SEGV $$").directory(room.path()));
        assert_eq!((exit, fs::read_dir(room.path()).expect("a directory").count()), (Exit::Signal(11), 0));
    }

    #[test]
    fn how_it_ends_is_told() {
        as_ordinary_user!();
        for (script, end) in
            [("exit 0", Exit::Code(0)), ("exit 77", Exit::Code(77)), ("kill -TERM $$", Exit::Signal(15))]
        {
            assert_eq!(output(hardened(script)).0, end, "{script}");
            assert_eq!(output(lockdown(script)).0, end, "{script}");
        }
        let missing = start(hardened(":").directory("/not/there"));
        assert!(matches!(missing, Err(StartError::Directory { .. })), "{missing:?}");
    }

    #[test]
    fn signals_reach_it() {
        as_ordinary_user!();
        let (mut running, _input, mut out) =
            waiting(hardened("trap 'echo got; exit 9' USR1; echo ready; read line"));
        let mut line = [0; 6];
        out.read_exact(&mut line).expect("ready");
        running.signal(Signal::from_raw(10).expect("SIGUSR1")).expect("sent");
        let mut text = String::new();
        out.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), running.wait().expect("an end")), ("got\n", Exit::Code(9)));

        let (mut running, _input, _out) = waiting(hardened("read line"));
        support::stops_goes_on_and_is_ended(&mut running);
    }
}

mod refusal {
    use super::*;

    #[test]
    fn without_user_namespaces_nothing_starts_and_the_reason_is_told() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        for (tier, guarantee) in [("none", "N2"), ("hardened", "H1"), ("lockdown", "H1")] {
            // In a user namespace of the test's own, which alone is forbidden to have others in it.
            let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
            let output = Command::new("unshare")
                .args(["-Ur", "sh", "-c", script, "sh"])
                .arg(support::example("supervise"))
                .args(["--engine", "namespaces", "--tier", tier, "--allow-weaker", "H1", "/usr/bin/touch"])
                .arg(room.path().join("ran"))
                .output()
                .expect("unshare");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success() && text.contains("NotGiven") && text.contains(guarantee),
                "{text}"
            );
            assert!(text.contains("user namespaces are not to be had"), "{text}");
            assert!(text.contains("user.max_user_namespaces is 0"), "{text}");
        }
        assert!(!room.path().join("ran").exists());
    }
}
