//! The namespace engine: what a program sees of the system, and that it is given in whole or not at all.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio as Std};

use envseal_sandbox::tty::{Pty, Size};
use envseal_sandbox::{
    Engine, Event, Exit, Given, Guarantee, Limits, Running, Signal, Spec, StartError, Stdio, Tier, start,
};
use support::{
    as_ordinary_user, becomes_true, image, is_alive, kill, next_event, output, parent, shell, state,
};

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
        running.signal(Signal::STOP).expect("sent");
        assert_eq!(next_event(&mut running), Event::Stopped(19));
        running.resume().expect("sent");
        assert_eq!(next_event(&mut running), Event::Continued);
        running.kill_tree().expect("ordered");
        assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
    }
}

mod tree {
    use super::*;

    /// Leaves the session, forks twice, and is found by its argument: its number inside says nothing.
    fn daemon(marker: &str) -> String {
        format!("(setsid sh -c 'exec sleep {marker}' &) & exec sleep {marker}")
    }

    fn marked(marker: &str) -> Vec<u32> {
        let argument = format!("sleep\0{marker}\0");
        let is = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == argument.as_bytes())
        };
        let numbers = fs::read_dir("/proc")
            .expect("proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(is).filter(|&pid| is_alive(pid)).collect()
    }

    fn supervise(script: &str, report: &Path) -> Child {
        Command::new(support::example("supervise"))
            .args([
                "--quiet",
                "--engine",
                "namespaces",
                "--tier",
                "hardened",
                "--env",
                "PATH=/usr/bin:/bin",
                "--report",
            ])
            .arg(report)
            .args(["/bin/sh", "-c", script])
            .stdin(Std::null())
            .spawn()
            .expect("the supervisor")
    }

    #[test]
    fn it_ends_with_a_killed_supervisor_also_when_a_watcher_is_stopped() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        for (which, marker) in [("none", "310.25"), ("inner", "310.50"), ("outer", "310.75")] {
            let report = room.path().join(which);
            let mut supervisor = supervise(&daemon(marker), &report);
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
}

mod places {
    use super::*;

    #[test]
    fn a_hidden_directory_is_empty_and_what_is_beside_it_can_be_used_and_made() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let at = |name: &str| room.path().join(name);
        fs::create_dir_all(at("hidden/deep")).expect("a directory");
        fs::write(at("hidden/vault"), "sealed").expect("a file");
        fs::write(at("beside"), "beside\n").expect("a file");
        let script = format!(
            "cd {0}; cat beside; ls -A hidden; cat hidden/vault; echo x >hidden/new || echo refused; echo y >new; cat new; \
             mv hidden other || echo stays; ls",
            room.path().display()
        );
        assert_eq!(
            says(hardened(&script).hide(at("hidden"))),
            "beside\nrefused\ny\nstays\nbeside\nhidden\nnew\n"
        );
        // From within too.
        let spec =
            hardened("ls -A; cat vault deep; cat ../beside").directory(at("hidden")).hide(at("hidden"));
        assert_eq!(says(spec), "beside\n");
        assert_eq!(fs::read_dir(at("hidden")).expect("a directory").count(), 2);
    }

    #[test]
    fn a_hidden_file_stays_closed_when_another_takes_its_place_and_so_does_what_was_not_there() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let at = |name: &str| room.path().join(name);
        fs::write(at("file"), "old").expect("a file");
        let spec = hardened(&format!(
            "cat {0}/file {0}/later/vault; read line; cat {0}/file {0}/later/vault",
            room.path().display()
        ));
        let (_running, mut input, mut out) =
            waiting(spec.hide(at("file")).hide(at("later")).stderr(Stdio::Null));
        fs::write(at("next"), "new").expect("a file");
        fs::rename(at("next"), at("file")).expect("replaced");
        fs::create_dir(at("later")).expect("a directory");
        fs::write(at("later/vault"), "sealed").expect("a file");
        assert_eq!(told(&mut input, &mut out), "");
    }

    #[test]
    fn sockets_of_services_are_covered_and_names_are_still_resolved() {
        as_ordinary_user!();
        let text = says(hardened(
            "ls -A /run/user /run/dbus /tmp/.X11-unix 2>/dev/null | grep -v : | grep .; cat /etc/resolv.conf | wc -c",
        ));
        let outside = fs::metadata("/etc/resolv.conf").map_or(0, |of| of.len());
        assert_eq!(text, format!("{outside}\n"));
    }

    #[test]
    fn devices_are_few_and_terminals_its_own() {
        as_ordinary_user!();
        let text = says(hardened(
            "cd /dev; echo *; ls pts; echo gone >/dev/null; head -c2 zero | od -An -c; echo x >shm/y; cat shm/y; echo in | cat /dev/stdin /dev/fd/0",
        ));
        assert_eq!(
            text,
            "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\nptmx\n  \\0  \\0\nx\nin\n"
        );
        assert!(!Path::new("/dev/shm/y").exists());
        let text = says(hardened("script -qec 'tty; echo inside' /dev/null </dev/null"));
        assert!(text.contains("/dev/pts/0") && text.contains("inside"), "{text}");
    }

    #[test]
    fn settings_of_the_kernel_cannot_be_written() {
        as_ordinary_user!();
        let files = ["/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces", "/sys/fs/cgroup/x"];
        for file in files {
            assert_eq!(says(hardened(&format!("echo 1 >{file} && echo written"))), "", "{file}");
        }
        assert!(says(hardened("grep ' /sys ' /proc/self/mountinfo")).contains(" ro,"));
    }

    #[test]
    fn the_network_is_reached_in_hardened_and_there_is_none_in_lockdown() {
        as_ordinary_user!();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected");
        let bash = |script: &str| Spec::new(image("/bin/bash")).args(["-c", script]);
        let spec = bash(&script).tier(Tier::Hardened).engine(Engine::Namespaces);
        assert_eq!(says(spec), "connected\n");
        assert_eq!(says(locked(bash(&script))), "");
        let interfaces = says(locked(Spec::new(image("/bin/cat")).arg("/proc/net/dev")));
        assert!(interfaces.contains("lo:") && interfaces.lines().count() == 3, "{interfaces}");
    }

    #[test]
    fn listeners_of_the_tree_are_reached_and_those_of_the_user_outside_are_not() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let outside = room.path().join("agent");
        let _agent = UnixListener::bind(&outside).expect("a listener");
        let perl = "use IO::Socket::UNIX; my ($own, $agent) = @ARGV; my $l = IO::Socket::UNIX->new(Local => $own, Listen => 1); \
             if (!fork) { my $s = IO::Socket::UNIX->new(Peer => $own); print $s 'own'; exit } \
             while (my $c = $l->accept) { my $t = <$c>; next unless defined $t; print \"$t\\n\"; last } wait; print IO::Socket::UNIX->new(Peer => $agent) ? 'agent' : 'refused', \"\\n\"";
        let spec =
            Spec::new(image("/usr/bin/perl")).args(["-e", perl]).arg(room.path().join("own")).arg(&outside);
        let spec = spec.tier(Tier::Hardened).engine(Engine::Namespaces);
        assert_eq!(says(spec), "own\nrefused\n");
        let spec =
            Spec::new(image("/usr/bin/perl")).args(["-e", perl]).arg(room.path().join("own2")).arg(&outside);
        let spec = spec.tier(Tier::Hardened).engine(Engine::Namespaces).socket(&outside);
        assert_eq!(says(spec), "own\nagent\n");
    }
}

mod lockdown_places {
    use super::*;

    #[test]
    fn nothing_is_written_but_scratch_and_what_was_named() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let at = |name: &str| room.path().join(name);
        for directory in ["named", "read", "other"] {
            fs::create_dir(at(directory)).expect("a directory");
            fs::write(at(directory).join("file"), format!("{directory}\n")).expect("a file");
        }
        let script = format!(
            "cd {0}; read a <named/file && echo $a; read a <read/file && echo $a; read a <other/file && echo $a; \
             echo new >named/new && echo wrote; echo new >read/new || echo refused; echo new >other/new || echo refused; \
             echo x >/tmp/envseal-scratch && read a </tmp/envseal-scratch && echo $a; echo x >/dev/shm/x && echo shared; \
             echo x >/usr/x || echo refused; echo x >/run/x || echo refused",
            room.path().display()
        );
        let spec = lockdown(&script).write(at("named")).read(at("read"));
        assert_eq!(says(spec), "named\nread\nwrote\nrefused\nrefused\nx\nshared\nrefused\nrefused\n");
        assert_eq!(fs::read_to_string(at("named/new")).expect("written outside too"), "new\n");
        assert!(!Path::new("/tmp/envseal-scratch").exists() && !at("other/new").exists());
        let spec =
            lockdown("echo more >>$0 && read a <$0 && echo $a").arg(at("named/file")).write(at("named/file"));
        assert_eq!(says(spec), "named\n");
        assert_eq!(fs::read_to_string(at("named/file")).expect("a file"), "named\nmore\n");
    }

    #[test]
    fn the_directory_it_starts_in_is_there_and_closed_unless_it_was_named() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        fs::write(room.path().join("file"), "x\n").expect("a file");
        let script = "pwd; read a <file && echo $a";
        let pwd = format!("{}\n", room.path().display());
        assert_eq!(says(lockdown(script).directory(room.path())), pwd);
        assert_eq!(says(lockdown(script).directory(room.path()).read(room.path())), pwd + "x\n");
        assert_eq!(says(lockdown("pwd").directory("/usr/lib")), "/usr/lib\n");
    }

    #[test]
    fn a_hidden_path_is_closed_beneath_a_named_one() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        fs::create_dir(room.path().join("hidden")).expect("a directory");
        fs::write(room.path().join("hidden/vault"), "sealed\n").expect("a file");
        fs::write(room.path().join("file"), "x\n").expect("a file");
        let spec =
            lockdown("read a <file && echo $a; read a <hidden/vault && echo $a").directory(room.path());
        assert_eq!(says(spec.read(room.path()).hide(room.path().join("hidden"))), "x\n");
    }
}

mod pins {
    use super::*;

    const SCRIPT: &str = "read line; read a <$0 && echo $a; echo x >>$0 || echo refused";

    fn content(room: &Path) -> File {
        let path = room.join("approved");
        fs::write(&path, "approved\n").expect("a file");
        let file = File::open(&path).expect("a file");
        fs::remove_file(&path).expect("removed");
        file
    }

    #[test]
    fn a_pinned_file_is_as_it_was_given_whatever_is_done_outside() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let at = |name: &str| room.path().join(name);
        fs::create_dir(at("project")).expect("a directory");
        fs::write(at("project/script"), "changed\n").expect("a file");
        fs::write(at("project/beside"), "beside\n").expect("a file");
        for round in ["before", "written", "renamed", "moved"] {
            let script = format!("{SCRIPT}; read a <{0} && echo $a", at("project/beside").display());
            let spec = lockdown(&script).arg(at("project/script")).read(at("project")).stderr(Stdio::Null);
            let spec = spec.pin(at("project/script"), content(room.path()));
            let (running, mut input, mut out) = waiting(spec);
            assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("owns")));
            match round {
                "written" => fs::write(at("project/script"), "other\n").expect("written"),
                "renamed" => {
                    fs::write(at("project/new"), "other\n").expect("a file");
                    fs::rename(at("project/new"), at("project/script")).expect("replaced");
                }
                "moved" => {
                    fs::rename(at("project"), at("old")).expect("moved");
                    fs::create_dir(at("project")).expect("a directory");
                    fs::write(at("project/script"), "other\n").expect("a file");
                }
                _ => {}
            }
            assert_eq!(told(&mut input, &mut out), "approved\nrefused\nbeside\n", "{round}");
        }
    }

    #[test]
    fn one_that_is_not_there_outside_is_there_inside() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        for path in ["/tmp/envseal-pin/a/script", "/dev/envseal/script"] {
            let spec = lockdown(SCRIPT).arg(path).pin(path, content(room.path())).stderr(Stdio::Null);
            let (_running, mut input, mut out) = waiting(spec);
            assert_eq!(told(&mut input, &mut out), "approved\nrefused\n", "{path}");
        }
        let path = "/dev/envseal/script";
        let spec = hardened(SCRIPT).arg(path).pin(path, content(room.path())).stderr(Stdio::Null);
        let (running, mut input, mut out) = waiting(spec);
        assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("owns")));
        assert_eq!(told(&mut input, &mut out), "approved\nrefused\n");
    }

    #[test]
    fn where_the_user_can_rename_it_away_that_is_told() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("script");
        for tier in [Tier::None, Tier::Hardened] {
            fs::write(&path, "changed\n").expect("a file");
            let spec = shell(SCRIPT).tier(tier).engine(Engine::Namespaces).arg(&path).stderr(Stdio::Null);
            let (running, mut input, mut out) = waiting(spec.pin(&path, content(room.path())));
            assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("rename")));
            fs::write(&path, "other\n").expect("written");
            assert_eq!(told(&mut input, &mut out), "approved\nrefused\n", "{tier}");
        }
        let missing = start(hardened(":").pin(room.path().join("missing"), content(room.path())));
        assert!(matches!(missing, Err(StartError::NotGiven { .. })), "{missing:?}");
    }

    #[test]
    fn one_that_the_system_owns_is_pinned_for_good() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let spec = hardened("cat /etc/passwd").pin("/etc/passwd", content(room.path()));
        let (exit, text) = output(spec);
        assert_eq!((exit, text.as_str()), (Exit::Code(0), "approved\n"));
    }

    #[test]
    fn an_executable_one_can_be_executed() {
        as_ordinary_user!();
        let room = tempfile::tempdir().expect("a directory");
        let path = room.path().join("tool");
        support::write_file(&path, "#!/bin/sh\necho approved\n", 0o755);
        let content = File::open(&path).expect("a file");
        let spec = hardened(&path.display().to_string()).pin(&path, content);
        assert_eq!(says(spec), "approved\n");
    }
}

mod terminal {
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
}

mod loader {
    use super::*;

    /// What root does first, in a mount namespace of the test's own: an installation of the loader alone.
    const INSTALL: &str = "set -e; mount -t tmpfs -o mode=755 t /usr/local/lib; cd /usr/local/lib; mkdir envseal; \
         cp -p \"$(readlink -f \"$LOADER\")\" envseal/ld.so; chmod 0711 envseal/ld.so; \"$CHANGE\"; \
         exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all -- \"$@\"";

    /// Runs the rest of the test as an ordinary user where the loader is installed; true when that was done,
    /// or cannot be.
    fn ran(name: &str, change: &str) -> bool {
        if std::env::var_os("LOADER").is_some() {
            return false;
        }
        let loader = "/lib64/ld-linux-x86-64.so.2";
        if !rustix::process::geteuid().is_root() || !Path::new(loader).exists() {
            return true;
        }
        let script = INSTALL.replace("\"$CHANGE\"", change);
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script, "sh"])
            .arg(std::env::current_exe().expect("the test's own path"))
            .args(["--exact", name, "--nocapture"])
            .env("LOADER", loader)
            .env("HOME", "/tmp")
            .stdin(Std::null())
            .output()
            .expect("unshare");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "with a loader: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        true
    }

    fn is_read(pid: u32) -> bool {
        let open = ["environ", "mem", "maps"]
            .into_iter()
            .any(|file| File::open(format!("/proc/{pid}/{file}")).is_ok());
        let traced = Command::new("nsenter").args(["-U", "-m", "-t", &pid.to_string(), "true"]).output();
        open || traced.expect("nsenter").status.success()
    }

    #[test]
    fn a_dynamic_program_with_an_execute_only_loader_is_closed_to_the_same_user() {
        if ran("loader::a_dynamic_program_with_an_execute_only_loader_is_closed_to_the_same_user", ":") {
            return;
        }
        let spec = || locked(shell("read line; echo $line")).env("SECRET", "canary");
        let (running, mut input, mut out) = waiting(spec());
        // A kernel that lets the user into the namespaces gives nothing, and that is told.
        match given(&running, Guarantee::L6) {
            Given::No(why) => assert!(why.contains("lets the user into"), "{why}"),
            given => assert_eq!(given, Given::Yes),
        }
        assert!(!is_read(running.pid()), "before and after its execution nothing is read in /proc");
        assert_eq!(told(&mut input, &mut out), "go\n");

        let (running, _input, _out) =
            waiting(shell("read line").tier(Tier::Hardened).engine(Engine::Namespaces));
        assert!(is_read(running.pid()), "works without the loader");
        let spec = locked(Spec::new(image("/sbin/ldconfig")).arg("-V"));
        let running = start(spec.stdout(Stdio::Null)).expect("a start");
        assert!(matches!(given(&running, Guarantee::L6), Given::No(why) if why.contains("statically")));
    }

    #[test]
    fn a_loader_that_is_not_the_systems_is_not_used() {
        if ran("loader::a_loader_that_is_not_the_systems_is_not_used", "touch -d 2001-01-01 envseal/ld.so") {
            return;
        }
        let running = start(lockdown(":")).expect("a start");
        assert!(
            matches!(given(&running, Guarantee::L6), Given::No(why) if why.contains("no execute-only loader"))
        );
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
