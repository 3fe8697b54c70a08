//! Tiers from outside: what a grant says of the sandbox is what a run gets, and a run cannot say more.
#![cfg(unix)]

mod common;

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command};

use common::{Home, PASSPHRASE, as_user, feed, run, spawn, until};

const VALUE: &str = "a-token-of-some-length";

fn home_with_token() -> Home {
    let home = Home::new();
    home.store("TOKEN", VALUE);
    home
}

/// Allows and gives the run of a program: `options` stand on the grant, and the run asks for nothing but the delivery.
fn granted(home: &Home, options: &[&str], program: &[&str]) -> Command {
    let mut allow = vec!["-s", "TOKEN"];
    allow.extend(options);
    allow.push("--");
    allow.extend(program);
    home.allow(allow);
    let deliver = options.iter().position(|option| *option == "--deliver");
    let deliver = deliver.map_or(&[][..], |at| &options[at..at + 2]);
    asked(home, deliver, program)
}

/// A run that asks for `options`.
fn asked(home: &Home, options: &[&str], program: &[&str]) -> Command {
    let mut command = vec!["-s", "TOKEN"];
    command.extend(options);
    command.push("--");
    command.extend(program);
    home.run(command)
}

/// A script of Python, which reads and writes in one process.
fn python(home: &Home, name: &str, text: &str) -> String {
    home.write(&format!("work/{name}"), text, 0o644).to_str().unwrap().to_owned()
}

#[test]
fn a_grant_for_hardened_is_hardened_whatever_the_run_says() {
    let home = home_with_token();
    let database = home.vault().join("vault.db");
    let notes = home.path("home/.local/state/envseal");
    let text = format!(
        "#!/bin/sh\nunshare --user true 2>/dev/null && echo user namespace\n\
         cat {} >/dev/null 2>&1 && echo vault\n\
         cat {}/* >/dev/null 2>&1 && echo notes\ngrep ^Seccomp: /proc/self/status\necho \"got $TOKEN\"\n",
        database.display(),
        notes.display()
    );
    let script = home.write("work/look.sh", text, 0o755);
    let script = script.to_str().unwrap();
    let plain = run(&mut granted(&home, &[], &[script])).ok().stdout();
    assert!(plain.contains("vault\nnotes\n"), "{plain}");
    home.owner(["grants", "revoke", "1"]).ok();

    let held = "Seccomp:\t2\ngot [envseal:TOKEN]\n";
    assert_eq!(run(&mut granted(&home, &["--tier", "hardened"], &[script])).ok().stdout(), held);
    for (tier, status) in [("hardened", 0), ("none", 77)] {
        let ran = run(&mut asked(&home, &["--tier", tier], &[script])).status(status);
        assert!(status == 0 || ran.stderr().contains("is for a stronger tier"), "{ran:?}");
    }
    let tiers: Vec<_> = home.log().into_iter().filter(|row| row["event"]["kind"] == "run").collect();
    let tiers: Vec<_> = tiers.iter().map(|row| row["event"]["tier"].as_str().unwrap()).collect();
    assert_eq!(tiers, ["none", "hardened", "hardened"]);
}

#[test]
fn lockdown_computes_from_standard_input_to_standard_output() {
    let home = home_with_token();
    let sum = run(home.command("sh").args(["-c", &format!("printf %s '{VALUE}' | sha256sum")])).ok().stdout();
    let lockdown = ["--tier", "lockdown", "--deliver", "stdin"];
    assert_eq!(run(&mut granted(&home, &lockdown, &["sha256sum"])).ok().stdout(), sum);
    assert_eq!(run(&mut granted(&home, &lockdown, &["cat"])).ok().stdout(), "[envseal:TOKEN]");
    // A run may ask for more than its grant.
    let mut more = granted(&home, &["--deliver", "stdin"], &["wc", "-c"]);
    assert_eq!(run(&mut more).ok().stdout().trim(), VALUE.len().to_string());
    let mut more = asked(&home, &lockdown, &["wc", "-c"]);
    assert_eq!(run(more.arg("-v")).0.status.code(), Some(77), "-v after -- is an argument of the program's");
    let told = run(home
        .envseal(["-v", "--keyfile"])
        .arg(home.keyfile())
        .args(["run", "-s", "TOKEN"])
        .args(["--tier", "lockdown", "--deliver", "stdin", "--", "wc", "-c"]));
    told.ok().says("tier lockdown, by the engine private").says("L1 one process, no second program: given");
}

#[test]
fn every_delivery_reaches_a_program_in_lockdown() {
    let home = home_with_token();
    let script = python(
        &home,
        "got.py",
        "import os, sys\n\
         how = sys.argv[1]\n\
         value = {'env': lambda: os.environ['TOKEN'], 'stdin': lambda: sys.stdin.read(),\n\
                  'fd': lambda: os.read(int(os.environ['TOKEN_FD']), 99).decode(),\n\
                  'file': lambda: open(os.environ['TOKEN_FILE']).read()}[how]()\n\
         print(how, len(value))\n",
    );
    for how in ["env", "stdin", "fd", "file"] {
        let options = ["--tier", "lockdown", "--deliver", how];
        let ran = run(&mut granted(&home, &options, &["/usr/bin/python3", &script, how])).ok();
        assert_eq!(ran.stdout(), format!("{how} {}\n", VALUE.len()));
    }
}

/// What a program in lockdown may do with files, as it finds out.
const FILES: &str = "import os, sys\n\
    def able(act):\n\
    \x20   try: act(); return 'yes'\n\
    \x20   except OSError: return 'no'\n\
    scratch = os.environ.get('TMPDIR', '/tmp')\n\
    print('in', able(lambda: open(sys.argv[1]).read()))\n\
    print('out', able(lambda: open(sys.argv[2] + '/result', 'w').write('x')))\n\
    print('cwd', able(lambda: os.listdir('.')))\n\
    print('scratch', able(lambda: open(scratch + '/x', 'w').write('x')))\n\
    print('fork', able(os.fork))\n\
    print(scratch)\n";

#[test]
fn in_lockdown_only_what_the_grant_names_can_be_read_and_written() {
    let home = home_with_token();
    let script = python(&home, "files.py", FILES);
    let input = home.write("home/input", "data", 0o600);
    let output = home.path("home/output");
    std::fs::create_dir(&output).unwrap();
    common::give(&output);
    let (input, output) = (input.to_str().unwrap().to_owned(), output.to_str().unwrap().to_owned());
    let program = ["/usr/bin/python3", &script, &input, &output];
    let files = |command: &mut Command| {
        let text = run(command).ok().stdout();
        let (answers, scratch) = text.trim_end().rsplit_once('\n').unwrap();
        assert!(!Path::new(scratch).exists(), "{scratch} was left behind");
        answers.replace('\n', ", ")
    };
    let alone = "in no, out no, cwd no, scratch yes, fork no";
    assert_eq!(files(&mut granted(&home, &["--tier", "lockdown"], &program)), alone);

    // Asking is not enough.
    for options in [["--read", &input], ["--write", &output]] {
        let mut refused = asked(&home, &options, &program);
        run(&mut refused).status(77).says("does not give what is asked of the sandbox");
    }
    // What the refusal names is what lets it run, and then the run need not repeat it.
    let wish = ["--tier", "lockdown", "--read", "../home/input", "--write", &output];
    let refused = run(&mut asked(&home, &wish, &program)).status(77);
    let line = refused.stderr().split("to allow it: ").nth(1).unwrap().trim().to_owned();
    assert!(line.contains(&format!("--read {input} --write {output}")), "{line}");
    home.owner(["grants", "revoke", "1"]).ok();
    let line = line.replacen("envseal allow", "envseal --passphrase-fd 0 allow", 1);
    feed(home.command("bash").args(["-c", &line]), format!("{PASSPHRASE}\n").as_bytes()).ok();
    let all = "in yes, out yes, cwd no, scratch yes, fork no";
    assert_eq!(files(&mut asked(&home, &[], &program)), all);
    assert_eq!(files(&mut asked(&home, &wish, &program)), all);
    assert!(Path::new(&output).join("result").exists());
    let shown = run(&mut home.envseal(["grants", "show", "2"])).ok().stdout();
    assert!(shown.contains(&format!("reads      {input}\n")), "{shown}");
    let json = run(&mut home.envseal(["--json", "grants", "show", "2"])).ok().stdout();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["confinement"], serde_json::json!({ "reads": [input], "writes": [output] }));

    // A granted path that became a link to another place lets nothing through.
    std::fs::remove_file(&input).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &input).unwrap();
    run(&mut asked(&home, &[], &program)).status(77).says("was replaced by a link");
}

#[test]
fn a_path_that_is_not_there_is_said() {
    let home = home_with_token();
    for option in ["--read", "--write", "--socket"] {
        let said = format!("{option} no/such: No such file");
        home.owner(["allow", "-s", "TOKEN", option, "no/such", "--", "true"]).status(2).says(&said);
        run(&mut asked(&home, &[option, "no/such"], &["true"])).status(2).says(&said);
    }
    for wrong in [&["--engine", "none"][..], &["--allow-weaker", "L9"], &["--allow-weaker", "L6,,"]] {
        run(&mut asked(&home, wrong, &["true"])).status(2);
    }
}

/// A program without a dynamic loader, which nobody but its user namespace's owner keeps private: in namespaces of the
/// user's own, with envseal installed or not, L6 is not given to it.
const STATIC: &[&str] = &["/sbin/ldconfig", "--version"];

#[test]
fn a_guarantee_that_is_missing_stops_the_run_until_the_owner_waives_it() {
    let home = home_with_token();
    let options = ["--tier", "lockdown", "--engine", "namespaces"];
    let refused = run(&mut granted(&home, &options, STATIC)).status(125);
    let said = refused.stderr();
    for part in ["tier lockdown is not given", "L6 (", "sudo envseal install", "--allow-weaker"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    let ids = said.split("run it with --allow-weaker ").nth(1).unwrap().trim();
    // The run cannot waive it.
    run(&mut asked(&home, &["--allow-weaker", ids], STATIC)).status(77).says("waived guarantees");
    // The owner can, by the command that was named, and with a warning at the prompt or in the grant.
    let line = said.split("can do without: ").nth(1).unwrap().split("; then").next().unwrap();
    let line = line.replacen("envseal allow", "envseal --passphrase-fd 0 allow", 1);
    feed(home.command("bash").args(["-c", &line]), format!("{PASSPHRASE}\n").as_bytes()).ok();
    let ran = run(&mut asked(&home, &["--allow-weaker", ids], STATIC)).ok();
    assert!(ran.stdout().contains("ldconfig"), "{ran:?}");
    let shown = run(&mut home.envseal(["grants", "show", "2"])).ok().stdout();
    assert!(
        shown.contains("L6 (memory and environment unreadable to the same user) need not hold"),
        "{shown}"
    );
    // With the first grant gone the run need not say it.
    home.owner(["grants", "revoke", "1"]).ok();
    run(&mut asked(&home, &[], STATIC)).ok();
}

#[test]
fn a_socket_of_the_users_is_reached_only_where_the_grant_names_it() {
    let home = home_with_token();
    let socket = home.path("work/service");
    let serve = "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(9)\n\
                 print('begun', flush=True)\nwhile True:\n  try: s.accept()[0].sendall(b'hello')\n  except OSError: pass";
    let mut server = started(home.command("/usr/bin/python3").args(["-c", serve]).arg(&socket));
    let script = python(
        &home,
        "ask.py",
        "import socket, sys\ns = socket.socket(socket.AF_UNIX)\n\
         try: s.connect(sys.argv[1]); print(s.recv(9).decode())\nexcept OSError as error: print(error.strerror)\n",
    );
    let socket = socket.to_str().unwrap();
    let program = ["/usr/bin/python3", &script, socket];
    assert_eq!(run(&mut granted(&home, &[], &program)).ok().stdout(), "hello\n");
    home.owner(["grants", "revoke", "1"]).ok();
    let refused = run(&mut granted(&home, &["--tier", "hardened"], &program)).ok().stdout();
    assert_eq!(refused, "Permission denied\n");
    run(&mut asked(&home, &["--socket", socket], &program)).status(77);
    home.owner(["grants", "revoke", "2"]).ok();
    let named = ["--tier", "hardened", "--socket", socket];
    assert_eq!(run(&mut granted(&home, &named, &program)).ok().stdout(), "hello\n");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Starts a command and waits for its first line.
fn started(command: &mut Command) -> Child {
    let mut child = spawn(command);
    let mut line = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begun\n");
    child
}

fn status(home: &Home) -> serde_json::Value {
    serde_json::from_str(&run(&mut home.envseal(["--json", "status"])).ok().stdout()).unwrap()
}

#[test]
fn status_lists_running_programs_with_what_was_read_back() {
    let home = home_with_token();
    let nothing = status(&home);
    assert_eq!((&nothing["vault"]["exists"], &nothing["running"]), (&true.into(), &serde_json::json!([])));
    let script = home.write("work/wait.sh", "#!/bin/sh\necho begun\nread line\n", 0o755);
    let mut command = granted(&home, &["--tier", "hardened"], &[script.to_str().unwrap()]);
    let mut children = [0, 1].map(|_| started(command.stdin(std::process::Stdio::piped())));
    let listed = until("both are listed", || {
        let listed = status(&home)["running"].as_array().unwrap().clone();
        (listed.len() == 2 && listed.iter().all(|run| run["started"].is_object())).then_some(listed)
    });
    for one in &listed {
        assert_eq!(one["program"], "/usr/bin/dash");
        let started = &one["started"];
        assert_eq!((&started["tier"], &started["engine"]), (&"hardened".into(), &"private".into()));
        let pid = started["pid"].as_u64().unwrap();
        assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap(), "dash\n");
        let guarantees = started["guarantees"].as_array().unwrap();
        let ids: Vec<_> = guarantees.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert!(ids.starts_with(&["N1", "N2", "N3", "N4", "N5", "N6", "H1", "H2", "H3"]), "{ids:?}");
        assert!(guarantees.iter().all(|one| one["given"] != "no"), "{guarantees:?}");
    }
    let text = run(&mut home.envseal(["status"])).ok().stdout();
    assert!(text.contains("running   2 programs") && text.contains("/usr/bin/dash"), "{text}");
    // One ends by itself, the other with its supervisor, which leaves a file behind.
    drop(children[0].stdin.take());
    assert!(as_user("kill").args(["-9", &children[1].id().to_string()]).status().unwrap().success());
    for child in &mut children {
        child.wait().unwrap();
    }
    until("both are gone", || (status(&home)["running"] == serde_json::json!([])).then_some(()));
    let left = std::fs::read_dir(home.vault()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_str().unwrap().contains("run-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn status_needs_no_vault_and_says_what_each_tier_gives_here() {
    let home = Home::empty();
    let status = status(&home);
    assert_eq!((&status["vault"]["exists"], &status["running"]), (&false.into(), &serde_json::json!([])));
    assert!(status["launcher"]["installed"].is_boolean());
    let machine = status["machine"].as_array().unwrap();
    let what = |one: &serde_json::Value| {
        format!("{} {}", one["tier"].as_str().unwrap(), one["engine"].as_str().unwrap())
    };
    assert_eq!(
        machine.iter().map(what).collect::<Vec<_>>(),
        ["hardened private", "hardened namespaces", "lockdown private", "lockdown namespaces"]
    );
    for one in machine {
        assert_eq!(one["error"], serde_json::Value::Null);
        for standing in one["guarantees"].as_array().unwrap() {
            assert_eq!(standing["given"] == "given", standing["why"].is_null(), "{standing}");
        }
    }
    // An ordinary user gets all of the private engine.
    for one in machine.iter().filter(|one| one["engine"] == "private") {
        let all = one["guarantees"].as_array().unwrap();
        assert!(all.iter().all(|standing| standing["given"] != "no"), "{one}");
    }
    let text = run(&mut home.envseal(["status"])).ok().stdout();
    assert!(text.contains("envseal init") && text.contains("LOCKDOWN") && text.contains("L6"), "{text}");
}

#[test]
fn a_tool_makes_its_first_directory_in_a_fresh_home() {
    let home = home_with_token();
    let hardened = ["--tier", "hardened"];
    home.write(
        "work/package.json",
        r#"{"name":"x","version":"1.0.0","scripts":{"go":"echo ran > done"}}"#,
        0o644,
    );
    let ran = run(&mut granted(&home, &hardened, &["npm", "run", "go"])).ok();
    assert!(!ran.stderr().contains("npm error") && home.path("work/done").exists(), "{ran:?}");
    assert!(home.path("home/.npm/_logs").is_dir(), "npm could not keep its log");
    let script = home.write(
        "work/make.js",
        "const fs = require('fs'), os = require('os');\n\
         for (const name of ['.npm/_x', '.cache/x', '.config/x', '.local/bin/x', '.local/share/pnpm/x'])\n\
         \x20 fs.mkdirSync(os.homedir() + '/' + name, { recursive: true });\n\
         fs.writeFileSync(os.tmpdir() + '/x', 'x');\nconsole.log('made');\n",
        0o644,
    );
    let ran = run(&mut granted(&home, &hardened, &["node", script.to_str().unwrap()])).ok();
    assert_eq!(ran.stdout(), "made\n");
}
