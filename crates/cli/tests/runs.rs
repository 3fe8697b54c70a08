//! What a run is like from outside: status, signals, streams, descriptors, the end of the tree, process 1.
#![cfg(unix)]

mod common;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use common::{Home, as_user, run, spawn, until};

fn home_with_token() -> Home {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    home
}

/// Allows and gives the run of a shell script.
fn script(home: &Home, text: &str) -> Command {
    let path = home.write("work/script.sh", format!("#!/bin/bash\n{text}\n"), 0o755);
    let command = ["-s", "TOKEN", "--", path.to_str().unwrap()];
    home.allow(command);
    home.run(command)
}

/// Starts a run and waits for its first line.
fn started(mut command: Command) -> Child {
    let mut child = spawn(&mut command);
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begun\n");
    child
}

fn send(child: &Child, signal: &str) {
    assert!(as_user("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_programs_status_is_envseals_status() {
    let home = home_with_token();
    for status in [0, 1, 2, 75, 77, 125, 255] {
        run(&mut script(&home, &format!("exit {status}"))).status(status);
    }
    for (signal, status) in [("TERM", 143), ("KILL", 137), ("SEGV", 139), ("PIPE", 141)] {
        run(&mut script(&home, &format!("kill -s {signal} $$"))).status(status);
    }
}

#[test]
fn signals_reach_the_program() {
    let home = home_with_token();
    for signal in ["INT", "TERM", "HUP", "QUIT", "USR1", "WINCH"] {
        let text = format!("trap 'echo got; exit 9' {signal}\necho begun\nwhile :; do sleep 0.05; done");
        let mut child = started(script(&home, &text));
        send(&child, signal);
        let mut rest = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(9)), "{signal}");
    }
    // Without a handler they end it, and the status says so.
    let mut child = started(script(&home, "echo begun; exec sleep 60"));
    send(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_closed_standard_output_ends_it_cleanly() {
    let home = home_with_token();
    let mut command = script(&home, "yes");
    let mut child = spawn(&mut command);
    let mut some = [0; 4096];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // Closed from the start.
    let program = script(&home, "echo lost; echo kept >&2");
    let mut shell = home.command("bash");
    shell
        .args(["-c", "exec \"$0\" \"$@\" >&-"])
        .arg(program.get_args().skip_while(|arg| *arg != "--").nth(1).unwrap());
    shell.args(program.get_args().skip_while(|arg| *arg != "--").skip(2));
    let ran = run(&mut shell);
    assert!(ran.stderr().contains("kept"), "{ran:?}");
}

#[test]
fn output_without_a_secret_passes_byte_for_byte() {
    let home = home_with_token();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    home.write("work/data", &data, 0o644);
    let ran = run(&mut script(&home, "cat data; cat data >&2")).ok();
    assert!(ran.0.stdout == data && ran.0.stderr == data);
}

#[test]
fn standard_input_passes_and_both_outputs_keep_their_order_in_one_file() {
    let home = home_with_token();
    let mut command = script(&home, "tr a-z A-Z");
    assert_eq!(common::feed(&mut command, b"hello\n").ok().stdout(), "HELLO\n");
    let path = home.write("work/log", "", 0o644);
    let log = std::fs::File::options().append(true).open(&path).unwrap();
    let mut command = script(&home, "for n in $(seq 200); do echo out $n; echo err $n >&2; done");
    command.stdout(log.try_clone().unwrap()).stderr(log);
    assert!(command.status().unwrap().success());
    let expected: String = (1..=200).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
}

#[test]
fn only_the_declared_descriptors_survive() {
    let home = home_with_token();
    let list = "cd /proc/self/fd && for fd in *; do if [ -e $fd ]; then echo $fd; fi; done";
    let plain = script(&home, list);
    // A descriptor that the caller left open, as a careless agent's harness would.
    let open = |command: &Command| {
        let mut shell = home.command("bash");
        shell.args(["-c", "exec 7</dev/null 8<&0; exec \"$0\" \"$@\""]);
        shell.args(command.get_args().skip_while(|arg| *arg != "--").skip(1));
        shell
    };
    let bare = run(home.command("bash").args(["-c", &format!("exec 7</dev/null; {list}")])).ok().stdout();
    assert!(bare.lines().any(|fd| fd == "7"), "the test's own descriptor is not there without envseal");
    let seen = run(&mut open(&plain)).ok().stdout();
    let extra: Vec<_> = seen.lines().filter(|fd| !["0", "1", "2"].contains(fd)).collect();
    // 255 is where bash itself opens its script.
    assert!(extra.iter().all(|fd| *fd == "255"), "{seen}");
}

#[test]
fn the_whole_tree_ends_when_envseal_is_killed() {
    let home = home_with_token();
    let marker = home.path("work/alive");
    let text = format!(
        "(setsid bash -c 'setsid bash -c \"while :; do date +%s%N > {}; sleep 0.02; done\" &' &)\necho begun\nsleep 60",
        marker.display()
    );
    let mut child = started(script(&home, &text));
    until("the grandchild lives", || marker.exists().then_some(()));
    send(&child, "KILL");
    child.wait().unwrap();
    until("the grandchild is gone", || {
        let before = std::fs::read(&marker).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        (std::fs::read(&marker).unwrap() == before).then_some(())
    });
}

#[test]
fn panic_ends_every_run_and_withdraws_every_grant() {
    let home = home_with_token();
    let mut first = started(script(&home, "echo begun; sleep 60"));
    let mut second = started(home.run(["-s", "TOKEN", "--", home.path("work/script.sh").to_str().unwrap()]));
    run(&mut home.envseal(["panic"])).ok().says("ended 2 runs");
    assert!(!first.wait().unwrap().success() && !second.wait().unwrap().success());
    run(&mut home.run(["-s", "TOKEN", "--", home.path("work/script.sh").to_str().unwrap()])).status(77);
    assert!(run(&mut home.envseal(["--json", "grants"])).ok().stdout().contains("[]"));
    home.owner(["audit", "verify"]).ok();
}

#[test]
fn it_works_as_process_1() {
    let home = home_with_token();
    script(
        &home,
        "(sleep 0.1 &) ; (setsid true &); echo \"pid of my parent's parent is not mine: $$\"; exit 7",
    );
    // A process namespace of its own, made by the user in a user namespace, where envseal is process 1. An installed
    // launcher is not root's there, and cannot be used.
    let path = home.path("work/script.sh");
    home.allow(["-s", "TOKEN", "--allow-weaker", "L6", "--", path.to_str().unwrap()]);
    let command = home.run(["-s", "TOKEN", "--allow-weaker", "L6", "--", path.to_str().unwrap()]);
    let mut inside = home.command("unshare");
    inside.args(["--user", "--map-current-user", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    inside.arg(home.program());
    inside.args(command.get_args().skip_while(|arg| *arg != "--").skip(2));
    run(&mut inside).status(7);
}

#[test]
fn envseal_itself_cannot_be_read_or_traced_while_it_runs() {
    let home = home_with_token();
    // On a plain program every route works.
    let plain = home
        .command("sleep")
        .arg("60")
        .env("CANARY", "canary-of-a-plain-program")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let routes = |pid: u32| {
        let attack = format!(
            "cat /proc/{pid}/environ >/dev/null 2>&1 && echo environ\n\
             dd if=/proc/{pid}/mem of=/dev/null bs=1 count=0 2>/dev/null && echo mem\n\
             cat /proc/{pid}/maps 2>/dev/null | grep -q . && echo maps\n\
             gdb -p {pid} -batch -ex 'info registers' 2>/dev/null | grep -q rip && echo ptrace\n\
             python3 -c 'import ctypes; f = ctypes.CDLL(None).syscall; r = f(438, f(434, {pid}, 0), 0, 0); exit(0 if r >= 0 else 1)' && echo pidfd_getfd\n"
        );
        let out = run(home.command("bash").args(["-c", &attack])).stdout();
        out.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(routes(plain.id()), ["environ", "mem", "maps", "ptrace", "pidfd_getfd"]);
    let mut child = started(script(&home, "echo begun; exec sleep 60"));
    assert_eq!(routes(child.id()), Vec::<String>::new());
    // From a user namespace of the attacker's own too.
    let attack = format!("cat /proc/{}/environ", child.id());
    let nested = run(home.command("unshare").args(["--user", "--map-root-user", "sh", "-c", &attack]));
    assert!(!nested.0.status.success());
    send(&child, "TERM");
    child.wait().unwrap();
    let mut plain = plain;
    plain.kill().unwrap();
    plain.wait().unwrap();
}

#[test]
fn no_output_of_any_command_holds_a_value() {
    let home = Home::new();
    let value = "c4nary-value-that-must-not-appear";
    home.store("CANARY", value);
    home.owner_with_input(["rotate", "--keep-newline", "CANARY"], format!("{value}-2").as_bytes()).ok();
    home.allow(["-s", "CANARY", "--", "printenv", "CANARY"]);
    let mut texts = vec![run(&mut home.run(["-s", "CANARY", "--", "printenv", "CANARY"])).ok()];
    for args in [
        &["list"][..],
        &["show", "CANARY"],
        &["inbox"],
        &["grants"],
        &["grants", "show", "1"],
        &["slot", "list"],
        &["audit", "show"],
        &["audit", "export"],
        &["--json", "list"],
        &["--json", "show", "CANARY"],
        &["--json", "grants"],
        &["--json", "slot"],
        &["--json", "audit"],
        &["-v", "list"],
    ] {
        texts.push(run(&mut home.envseal(args)).ok());
        texts.push(home.owner(args).ok());
    }
    for ran in &texts {
        assert!(!ran.stdout().contains("c4nary") && !ran.stderr().contains("c4nary"), "{ran:?}");
    }
    let grep = run(home.command("grep").args(["-rlc", "c4nary"]).arg(home.vault()).arg(home.path("home")));
    assert_eq!(grep.0.status.code(), Some(1), "the value stands in {}", grep.stdout());
}

#[test]
fn fifty_runs_at_once_all_work_and_are_all_recorded() {
    let home = home_with_token();
    let command = script(&home, "echo \"$TOKEN\" $1");
    drop(command);
    let path = home.path("work/script.sh");
    let runs: Vec<_> = (0..50)
        .map(|_| spawn(home.run(["-s", "TOKEN", "--", path.to_str().unwrap()]).stdin(Stdio::null())))
        .collect();
    for child in runs {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"[envseal:TOKEN]\n");
    }
    assert_eq!((home.logged("run"), home.logged("exit")), (50, 50));
    home.owner(["audit", "verify"]).ok();
}
