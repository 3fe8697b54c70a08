//! What is refused, with which status, and that nothing is lost or run.
#![cfg(unix)]

mod common;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;

use common::{Home, PASSPHRASE, feed, run};

fn home_with_token() -> Home {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    home
}

#[test]
fn without_a_grant_nothing_runs_and_the_line_that_would_allow_it_works() {
    let home = home_with_token();
    let marker = home.path("work/marker");
    let script = home.write("work/mark it.sh", format!("#!/bin/sh\ntouch {}\n", marker.display()), 0o755);
    let command = ["-s", "TOKEN=API_KEY", "--", script.to_str().unwrap(), "it's", "$HOME", "a b"];
    let refused = run(&mut home.run(command)).status(77);
    assert!(!marker.exists());
    assert_eq!(refused.stderr().lines().count(), 1, "{}", refused.stderr());
    let stderr = refused.stderr();
    let line = stderr.split("to allow it: ").nth(1).expect("the refusal names a command").trim();
    // The line is pasted into a shell, with the passphrase.
    let line = line.replacen("envseal allow", "envseal --passphrase-fd 0 allow", 1);
    feed(home.command("bash").args(["-c", &line]), format!("{PASSPHRASE}\n").as_bytes()).ok();
    run(&mut home.run(command)).ok();
    assert!(marker.exists());
}

#[test]
fn locked_with_nobody_to_ask_is_75() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "true"]);
    run(&mut home.envseal(["run", "-s", "TOKEN", "--", "true"])).status(75).says("locked");
}

#[test]
fn a_key_file_uses_grants_and_gives_none() {
    let home = home_with_token();
    let keyfile = home.keyfile();
    let with_keyfile = |args: &[&str]| run(home.envseal(["--keyfile", keyfile.to_str().unwrap()]).args(args));
    with_keyfile(&["allow", "-s", "TOKEN", "--", "true"]).status(77).says("passphrase");
    with_keyfile(&["slot", "add", "recovery"]).status(77);
    with_keyfile(&["rm", "TOKEN"]).status(77);
    feed(
        home.envseal(["--keyfile", keyfile.to_str().unwrap(), "store", "TOKEN"]).arg("--keep-newline"),
        b"planted",
    )
    .status(77);
    assert!(run(&mut home.envseal(["grants"])).ok().stdout().is_empty());
}

#[test]
fn a_changed_program_or_script_gets_nothing() {
    let home = home_with_token();
    std::fs::copy("/bin/true", home.path("bin/mine")).unwrap();
    common::give(&home.path("bin/mine"));
    home.allow(["-s", "TOKEN", "--", "mine"]);
    run(&mut home.run(["-s", "TOKEN", "--", "mine"])).ok();
    std::fs::copy("/bin/echo", home.path("bin/mine")).unwrap();
    run(&mut home.run(["-s", "TOKEN", "--", "mine"])).status(77).says("has changed since grant");

    let script = home.write("work/x.py", "print('one')", 0o644);
    home.allow(["-s", "TOKEN", "--", "python3", "x.py"]);
    run(&mut home.run(["-s", "TOKEN", "--", "python3", "x.py"])).ok();
    std::fs::write(script, "print('two')").unwrap();
    run(&mut home.run(["-s", "TOKEN", "--", "python3", "x.py"])).status(77).says("x.py has changed");
}

#[test]
fn a_program_earlier_in_the_path_gets_nothing() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "printf", "%s", "x"]);
    home.write("bin/printf", "#!/bin/sh\necho \"$TOKEN\" > stolen\n", 0o755);
    run(&mut home.run(["-s", "TOKEN", "--", "printf", "%s", "x"])).status(77);
    assert!(!home.path("work/stolen").exists());
}

#[test]
fn the_search_path_and_home_are_those_of_the_approval() {
    let home = home_with_token();
    home.write("work/show.sh", "#!/bin/sh\necho \"$PATH $HOME\"\n", 0o755);
    let command = ["-s", "TOKEN", "--", "./show.sh"];
    home.allow(command);
    let expected = run(&mut home.run(command)).ok().stdout();
    let mut moved = home.run(command);
    moved.env("ENVSEAL_HOME", home.vault()).env("XDG_STATE_HOME", home.path("home/.local/state"));
    let moved = run(moved.env("PATH", "/tmp/evil:/usr/bin:/bin").env("HOME", "/tmp/evil")).ok();
    assert_eq!(moved.stdout(), expected);
}

#[test]
fn injected_variables_do_not_reach_the_program() {
    let home = home_with_token();
    let command = ["-s", "TOKEN", "--", "env"];
    home.allow(command);
    let mut hostile = home.run(command);
    for name in [
        "LD_DEBUG",
        "BASH_ENV",
        "PYTHONSTARTUP",
        "NODE_OPTIONS",
        "GIT_SSH_COMMAND",
        "PROMPT_COMMAND",
        "AWS_PROFILE",
    ] {
        hostile.env(name, "hostile");
    }
    assert!(!run(&mut hostile).ok().stdout().contains("hostile"));
    run(&mut home.run(["-s", "TOKEN", "--pass", "LD_PRELOAD", "--", "env"])).status(2).says("LD_PRELOAD");
    run(&mut home.run(["-s", "TOKEN=LD_PRELOAD", "--", "env"])).status(2).says("LD_PRELOAD");
    run(&mut home.run(["-s", "TOKEN=PATH", "--", "env"])).status(2).says("PATH");
}

#[test]
fn a_deny_wins_over_a_grant() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--forever", "--", "true"]);
    home.owner(["deny", "-s", "TOKEN", "--", "true"]).ok();
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).status(77).says("denies");
}

#[test]
fn uses_and_revocation_end_a_grant() {
    let home = home_with_token();
    let command = ["-s", "TOKEN", "--", "true"];
    home.allow(["-s", "TOKEN", "--uses", "2", "--", "true"]);
    run(&mut home.run(command)).ok();
    run(&mut home.run(command)).ok();
    run(&mut home.run(command)).status(77).says("used up");
    home.allow(command);
    run(&mut home.run(command)).ok();
    home.owner(["grants", "revoke", "2"]).ok();
    run(&mut home.run(command)).status(77);
    home.owner(["grants", "revoke", "2"]).status(125).says("grant 2");
}

#[test]
fn a_clock_set_back_revives_no_grant() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--expires", "1s", "--", "true"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).status(77).says("expired");
    for (clock, status, why) in
        [("-2s", 77, "expired"), ("-1d", 78, "the clock"), ("-3000d", 78, "the clock")]
    {
        run(&mut with_clock(&home, clock, &["run", "-s", "TOKEN", "--", "true"])).status(status).says(why);
    }
}

/// A call with another clock, which libfaketime makes by being preloaded: a test may use it where the product may not.
fn with_clock(home: &Home, clock: &str, args: &[&str]) -> std::process::Command {
    let faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(std::path::Path::new(faketime).exists(), "apt-get install faketime");
    // Set by env(1), after the change of user: the library's files belong to who starts with it.
    let mut command = home.command("env");
    command.args([format!("LD_PRELOAD={faketime}"), format!("FAKETIME={clock}")]).arg(home.program());
    command.arg("--keyfile").arg(home.keyfile()).args(args);
    command
}

#[test]
fn a_row_of_the_far_future_does_not_stop_time_for_grants() {
    let home = home_with_token();
    let mut future = with_clock(&home, "@2100-01-01 00:00:00", &["-q", "reject", "NOTHING"]);
    run(&mut future);
    let mut command = home.command("env");
    let store = with_clock(&home, "@2100-01-01 00:00:00", &[]);
    command
        .args(store.get_args().skip_while(|arg| !arg.as_encoded_bytes().starts_with(b"LD_PRELOAD")).take(2));
    feed(command.arg(home.program()).args(["store", "JUNK"]), b"junk-value").ok();
    home.owner(["allow", "-s", "TOKEN", "--", "true"]).status(78).says("the clock");
    home.owner(["restore", "--accept-state"]).ok();
    home.allow(["-s", "TOKEN", "--", "true"]);
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).ok();
}

#[test]
fn an_interpreter_called_by_a_link_of_the_agents_gets_nothing() {
    let home = home_with_token();
    home.write("work/x.py", "print('ok')", 0o644);
    std::fs::create_dir_all(home.path("home/evil/bin")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3", home.path("home/evil/bin/python3")).unwrap();
    let evil = home.path("home/evil/bin/python3");
    home.allow(["-s", "TOKEN", "--", "python3", "x.py"]);
    run(&mut home.run(["-s", "TOKEN", "--", "python3", "x.py"])).ok();
    run(&mut home.run(["-s", "TOKEN", "--", evil.to_str().unwrap(), "x.py"])).status(77).says("another name");
    // By a `#!` line and a search path of the agent's own.
    home.write("work/tool", "#!/usr/bin/env python3\nprint('ok')\n", 0o755);
    home.allow(["-s", "TOKEN", "--", "./tool"]);
    run(&mut home.run(["-s", "TOKEN", "--", "./tool"])).ok();
    let path = format!("{}:/usr/bin:/bin", home.path("home/evil/bin").display());
    run(home.run(["-s", "TOKEN", "--", "./tool"]).env("PATH", path)).status(77).says("another name");
}

#[test]
fn a_script_reached_by_a_link_of_the_agents_gets_nothing() {
    let home = home_with_token();
    std::fs::create_dir(home.path("work/real")).unwrap();
    std::fs::create_dir(home.path("work/evil")).unwrap();
    common::give(&home.path("work/real"));
    common::give(&home.path("work/evil"));
    home.write("work/real/lib.sh", "echo real\n", 0o644);
    home.write("work/evil/lib.sh", "echo \"$TOKEN\" | rev\n", 0o644);
    let text = "#!/bin/sh\n. \"$(dirname \"$0\")/lib.sh\"\n";
    let script = home.write("work/real/deploy.sh", text, 0o755);
    std::os::unix::fs::symlink(&script, home.path("work/evil/deploy.sh")).unwrap();
    home.allow(["-s", "TOKEN", "--pin", "real/lib.sh", "--", script.to_str().unwrap()]);
    let evil = home.path("work/evil");
    // Without envseal the link decides.
    let plain = run(home.command("./deploy.sh").current_dir(&evil).env("TOKEN", "canary")).ok();
    assert_eq!(plain.stdout(), "yranac\n");
    run(home.run(["-s", "TOKEN", "--", "./deploy.sh"]).current_dir(&evil)).status(77).says("another path");
    assert_eq!(run(&mut home.run(["-s", "TOKEN", "--", "real/deploy.sh"])).ok().stdout(), "real\n");
    home.allow(["-s", "TOKEN", "--", "sh", "real/deploy.sh"]);
    assert_eq!(run(&mut home.run(["-s", "TOKEN", "--", "sh", "real/deploy.sh"])).ok().stdout(), "real\n");
    std::fs::create_dir(home.path("work/evil/real")).unwrap();
    common::give(&home.path("work/evil/real"));
    std::os::unix::fs::symlink(&script, home.path("work/evil/real/deploy.sh")).unwrap();
    run(home.run(["-s", "TOKEN", "--", "sh", "real/deploy.sh"]).current_dir(&evil))
        .status(77)
        .says("another path");
}

#[test]
fn programs_that_run_what_they_are_told_are_arbitrary_code() {
    let home = home_with_token();
    home.write("work/d.sh", "#!/bin/sh\necho owner\n", 0o755);
    std::fs::create_dir(home.path("work/evil")).unwrap();
    common::give(&home.path("work/evil"));
    home.write("work/evil/d.sh", "#!/bin/sh\necho agent\n", 0o755);
    for command in
        [&["timeout", "10", "./d.sh"][..], &["env", "./d.sh"], &["nice", "./d.sh"], &["make", "-v"]]
    {
        let mut all = vec!["allow", "-s", "TOKEN", "--"];
        all.extend(command);
        home.owner(&all).ok().says("arbitrary code");
        all.insert(3, "--any-args");
        home.owner(&all).status(2).says("arbitrary code");
        let again: Vec<_> = all[1..].iter().filter(|arg| **arg != "--any-args").collect();
        run(&mut home.run(&again)).ok();
        let moved = run(home.run(&again).current_dir(home.path("work/evil")));
        moved.status(77).says("another working directory");
    }
}

#[test]
fn open_arguments_do_not_open_what_stands_before_the_script() {
    let home = home_with_token();
    home.write("work/x.py", "import sys; print(*sys.argv[1:])", 0o644);
    home.allow(["-s", "TOKEN", "--any-args", "--", "python3", "x.py"]);
    assert_eq!(run(&mut home.run(["-s", "TOKEN", "--", "python3", "x.py", "a", "b"])).ok().stdout(), "a b\n");
    run(&mut home.run(["-s", "TOKEN", "--", "python3", "-X", "pycache_prefix=/tmp/e", "x.py"])).status(77);
    run(&mut home.run(["-s", "TOKEN", "--", "python3", "-c", "print()", "x.py"])).status(77);
}

#[test]
fn a_script_replaced_while_the_log_is_written_does_not_run() {
    let home = home_with_token();
    home.write("work/good.sh", "echo good\n", 0o644);
    home.write("work/evil.sh", "echo \"$TOKEN\" > stolen\n", 0o644);
    home.allow(["-s", "TOKEN", "--", "sh", "good.sh"]);
    // The agent's own link leads to the approved script, and is turned round when the log's key file is written, which
    // is after the last look at the script.
    let race = r#"
import ctypes, os, sys
libc, key, link = ctypes.CDLL(None, use_errno=True), sys.argv[1], sys.argv[2]
os.symlink("good.sh", link)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, key.encode(), 2)
print("ready", flush=True)
os.read(fd, 4096)
os.symlink("evil.sh", link + ".new"); os.rename(link + ".new", link)
"#;
    for round in 0..5 {
        let link = home.path(format!("work/good{round}"));
        home.allow(["-s", "TOKEN", "--", "sh", "good.sh"]);
        let mut racer = common::spawn(
            home.command("python3").args(["-c", race]).arg(home.vault().join("audit.key")).arg(&link),
        );
        std::io::Read::read_exact(racer.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        let ran =
            run(&mut home.run(["-s", "TOKEN", "--", "sh", link.file_name().unwrap().to_str().unwrap()]));
        let _ = racer.kill();
        let _ = racer.wait();
        assert!(!home.path("work/stolen").exists(), "round {round}: {ran:?}");
    }
}

#[test]
fn what_is_no_program_is_refused_in_time() {
    let home = home_with_token();
    let status = |command: &[&str], code: i32| {
        let mut all = vec!["-s", "TOKEN", "--"];
        all.extend(command);
        run(&mut home.run(all)).status(code)
    };
    status(&["no-such-program"], 127).says("not found");
    status(&["./no/such/path"], 127);
    status(&["/tmp"], 126).says("directory");
    status(&["/dev/null"], 126);
    status(&[""], 127);
    home.write("work/plain", "text", 0o644);
    status(&["./plain"], 126).says("not executable");
    run(home.command("mkfifo").args(["-m", "755", "fifo"])).ok();
    status(&["./fifo"], 126);
    home.write("work/loop.sh", "#!./loop.sh\n", 0o755);
    status(&["./loop.sh"], 126);
    home.write("work/lost.sh", "#!/no/such/interpreter\n", 0o755);
    status(&["./lost.sh"], 127);
    home.write("work/garbage", b"\x7fELF garbage", 0o755);
    home.allow(["-s", "TOKEN", "--", "./garbage"]);
    status(&["./garbage"], 126);
    status(&["python3", "missing.py"], 127);
    assert_eq!(home.logged("run"), 1, "only the garbage came as far as a start");
}

#[test]
fn arguments_and_variables_that_are_not_utf8_pass() {
    let home = home_with_token();
    let odd = OsString::from_vec(vec![b'a', 0xff, b'z']);
    let mut command: Vec<OsString> =
        ["-s", "TOKEN", "--pass", "ODD", "--", "sh", "-c"].map(Into::into).into();
    command.extend(["printf '%s' \"$1$ODD\"".into(), "sh".into(), odd.clone()]);
    home.allow(&command);
    let ran = run(home.run(&command).env("ODD", &odd)).ok();
    assert_eq!(ran.0.stdout, [odd.clone().into_vec(), odd.into_vec()].concat());
    let shown = run(&mut home.envseal(["grants"])).ok().stdout();
    assert!(shown.contains("$'a\\377z'"), "{shown}");
}

#[test]
fn names_and_values_at_and_past_their_limits() {
    let home = Home::new();
    let long = "x".repeat(128);
    home.store(&long, "value");
    let store = |name: &str, value: &[u8]| home.owner_with_input(["store", "--keep-newline", name], value);
    for name in ["", "a b", "-x", "../x", "a//b", "é", "a\u{202e}b", &"x".repeat(129)] {
        store(name, b"value").status(2);
    }
    store("ONE", b"x").ok();
    store("EMPTY", b"").status(125).says("cannot be empty");
    store("LARGEST", &vec![b'x'; 1 << 20]).ok();
    store("TOO_LARGE", &vec![b'x'; (1 << 20) + 1]).status(125).says("1 MiB");
    store("BINARY", &(0..=255).collect::<Vec<u8>>()).ok();
    let listed = run(&mut home.envseal(["--json", "list"])).ok().stdout();
    assert!(!listed.contains("EMPTY") && !listed.contains("TOO_LARGE"), "{listed}");
    home.allow(["-s", "BINARY", "--", "true"]);
    run(&mut home.run(["-s", "BINARY", "--", "true"])).status(2).says("NUL");
    home.allow(["-s", "LARGEST", "--deliver", "stdin", "--", "wc", "-c"]);
    let ran = run(&mut home.run(["-s", "LARGEST", "--deliver", "stdin", "--", "wc", "-c"])).ok();
    assert_eq!(ran.stdout().trim(), "1048576");
}

#[test]
fn a_wrong_passphrase_is_refused_counted_and_told() {
    let home = home_with_token();
    for _ in 0..3 {
        feed(home.envseal(["--passphrase-fd", "0", "rm", "TOKEN"]).arg("-q"), b"wrong\n")
            .status(77)
            .says("wrong passphrase");
    }
    assert_eq!(home.logged("unlock_failed"), 3);
    home.owner(["rename", "TOKEN", "TOKEN2"]).ok().says("3 failed attempts");
    home.owner(["rename", "TOKEN2", "TOKEN"]).ok();
}

#[test]
fn no_home_and_a_read_only_home_are_said() {
    let home = home_with_token();
    let mut command = home.envseal(["list"]);
    command.env_remove("HOME").env("ENVSEAL_HOME", "");
    // Without HOME the home of the password database is used; a user without one has none.
    let status = run(&mut command).0.status.code();
    assert!(matches!(status, Some(0 | 125)), "{status:?}");

    home.allow(["-s", "TOKEN", "--", "true"]);
    let vault = home.vault();
    for entry in std::fs::read_dir(&vault).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    std::fs::set_permissions(&vault, std::fs::Permissions::from_mode(0o500)).unwrap();
    let refused = run(&mut home.run(["-s", "TOKEN", "--", "true"]));
    assert!(matches!(refused.0.status.code(), Some(125 | 78)), "{refused:?}");
    assert!(!refused.stderr().contains("panicked"), "{}", refused.stderr());
    std::fs::set_permissions(&vault, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(&vault).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).ok();
}
