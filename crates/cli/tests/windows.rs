//! The whole of envseal on Windows, here under Wine. What Wine does not enforce rests on `tests/real_windows.ps1`.
#![cfg(windows)]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use envseal_sandbox::process::Process;

const PASSPHRASE: &str = "correct horse battery staple";
const VALUE: &str = "tr0ub4dor-and-three";

/// A vault of its own, and a program to run.
struct Home {
    dir: tempfile::TempDir,
    guest: PathBuf,
}

/// What a command did.
struct Ran(Output);

impl Home {
    fn empty() -> Home {
        let dir = tempfile::tempdir().expect("a directory");
        // The examples lie beside the folder that the tests are in.
        let built = std::env::current_exe().expect("this program");
        let built =
            built.parent().and_then(Path::parent).expect("a target folder").join("examples/guest.exe");
        let guest = dir.path().join("guest.exe");
        std::fs::copy(built, &guest).expect("the example");
        Home { dir, guest }
    }

    /// With a vault that has TOKEN, and a key file for use.
    fn new() -> Home {
        let home = Home::empty();
        home.owner(["init", "--kdf-floor", "--no-recovery"]).ok();
        home.owner([OsStr::new("slot"), "add".as_ref(), "keyfile".as_ref(), home.keyfile().as_os_str()]).ok();
        home.owner_with(["store", "TOKEN"], VALUE).ok();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn keyfile(&self) -> PathBuf {
        self.path("keyfile")
    }

    fn envseal<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(std::path::absolute(env!("CARGO_BIN_EXE_envseal")).expect("a path"));
        command.args(args).env("ENVSEAL_HOME", self.path("vault"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn owner<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.owner_with(args, "")
    }

    fn owner_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &str) -> Ran {
        let mut command = self.envseal(["--passphrase-fd", "0"]);
        feed(command.args(args), &format!("{PASSPHRASE}\n{input}"))
    }

    /// `envseal --keyfile F run -s TOKEN OPTIONS -- guest ARGS`.
    fn run(&self, options: &[&str], args: &[&str]) -> Command {
        let mut command = self.envseal([OsStr::new("--keyfile"), self.keyfile().as_os_str()]);
        command.args(["run", "-s", "TOKEN"]).args(options).arg("--").arg(&self.guest).args(args);
        command
    }

    fn allow(&self, options: &[&str], args: &[&str]) {
        let mut command = self.envseal(["--passphrase-fd", "0", "allow", "-s", "TOKEN"]);
        command.args(options).arg("--").arg(&self.guest).args(args);
        feed(&mut command, &format!("{PASSPHRASE}\n")).ok();
    }

    /// The options of a run in Hardened, which `args` was allowed for. What this machine does not give of it, nothing
    /// on Windows and all that Wine does not tell, the owner waives.
    fn hardened(&self, args: &[&str]) -> Vec<String> {
        let mut options = vec!["--tier".to_owned(), "hardened".to_owned()];
        self.allow(&["--tier", "hardened"], args);
        let ran = run(&mut self.run(&["--tier", "hardened"], args));
        if !ran.0.status.success() {
            let text = ran.status(125).stderr();
            let ids = text.rsplit("--allow-weaker ").next().expect("what would waive it").trim();
            options.extend(["--allow-weaker".to_owned(), ids.to_owned()]);
        }
        options
    }
}

impl Ran {
    #[track_caller]
    fn ok(self) -> Ran {
        self.status(0)
    }

    #[track_caller]
    fn status(self, expected: i32) -> Ran {
        let (out, err) = (self.stdout(), self.stderr());
        assert_eq!(self.0.status.code(), Some(expected), "--- stdout\n{out}\n--- stderr\n{err}");
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Ran {
        assert!(self.stderr().contains(text), "{text:?} is not in {:?}", self.stderr());
        self
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

fn run(command: &mut Command) -> Ran {
    Ran(command.output().expect("started"))
}

fn feed(command: &mut Command, input: &str) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that takes no input may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Ran(child.wait_with_output().expect("ended"))
}

/// Starts a command, and gives its first line.
fn started(mut command: Command) -> (std::process::Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    out.read_line(&mut line).expect("a line");
    // The pipe stays, so that what is written on is not a broken one.
    std::mem::forget(out);
    (child, line)
}

fn has_ended(pid: &str) -> bool {
    let process = Process::open(pid.parse().expect("a number"));
    process.is_err()
        || process.is_ok_and(|process| process.wait(Some(Duration::from_secs(20))).expect("asked"))
}

#[test]
fn a_program_gets_its_secret_once_it_is_allowed_and_prints_it_masked() {
    let home = Home::new();
    let args = ["show", "TOKEN"];
    run(&mut home.run(&[], &args)).status(77).says("envseal allow -s TOKEN");
    home.allow(&[], &args);
    assert_eq!(run(&mut home.run(&[], &args)).ok().stdout().trim(), "<[envseal:TOKEN]>");
    home.allow(&[], &["both", "TOKEN"]);
    let both = run(&mut home.run(&[], &["both", "TOKEN"])).ok();
    assert!(both.stdout().contains("to stdout: [envseal:TOKEN]"), "{}", both.stdout());
    assert!(both.stderr().contains("to stderr: [envseal:TOKEN]"), "{}", both.stderr());
    // Other arguments are another request.
    run(&mut home.run(&[], &["show", "PATH"])).status(77);
    // And other bytes another program.
    let mut bytes = std::fs::read(&home.guest).expect("read");
    bytes.push(0);
    std::fs::write(&home.guest, bytes).expect("written");
    run(&mut home.run(&[], &args)).status(77);
    home.owner(["audit", "verify"]).ok();
}

#[test]
fn the_status_of_the_program_is_envseals_with_all_its_bits() {
    let home = Home::new();
    for code in [0_u32, 1, 77, 255, 256, 259, 0xC000_0005] {
        let code = code.to_string();
        home.allow(&[], &["exit", &code]);
        let expected = code.parse::<u32>().expect("a number") as i32;
        run(&mut home.run(&[], &["exit", &code])).status(expected);
    }
}

#[test]
fn arguments_arrive_as_they_were_given() {
    let home = Home::new();
    let args = [
        "arguments",
        "two words",
        "",
        "qu\"ote",
        r"back\slash\",
        r#"\"both\\"#,
        "ünïcode 漢",
        "%PATH%",
        "^&|<>",
    ];
    home.allow(&[], &args);
    let expected: Vec<String> = args[1..].iter().map(|arg| format!("{arg:?}")).collect();
    let printed = run(&mut home.run(&[], &args)).ok().stdout();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_secret_comes_by_standard_input_and_what_has_no_place_is_refused() {
    let home = Home::new();
    let stdin = ["--deliver", "stdin"];
    home.allow(&stdin, &["input"]);
    let printed = run(&mut home.run(&stdin, &["input"])).ok().stdout();
    assert_eq!(printed.trim(), format!("{} bytes: [envseal:TOKEN]", VALUE.len()));
    let fd = ["--deliver", "fd"];
    let mut allow = home.envseal(["--passphrase-fd", "0", "allow", "-s", "TOKEN"]);
    let allowed = feed(allow.args(fd).arg("--").arg(&home.guest).arg("input"), &format!("{PASSPHRASE}\n"));
    if allowed.0.status.success() {
        let refused = run(&mut home.run(&fd, &["input"]));
        assert!(!refused.0.status.success() && refused.stderr().contains("stdin"), "{}", refused.stderr());
    }
}

#[test]
fn only_the_declared_environment_reaches_the_program() {
    let home = Home::new();
    home.allow(&[], &["names"]);
    let mut command = home.run(&[], &["names"]);
    command
        .env("DOTNET_STARTUP_HOOKS", r"C:\evil.dll")
        .env("OTHER", "x")
        .env("node_options", "--require evil");
    let names = run(&mut command).ok().stdout().to_ascii_uppercase();
    let names: Vec<_> = names.lines().collect();
    for wanted in ["TOKEN", "SYSTEMROOT", "PATH", "TEMP"] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    for unwanted in ["OTHER", "NODE_OPTIONS", "DOTNET_STARTUP_HOOKS", "ENVSEAL_HOME"] {
        assert!(!names.contains(&unwanted), "{unwanted} is in {names:?}");
    }
}

#[test]
fn what_is_no_program_is_said() {
    let home = Home::new();
    let ask = |program: &Path| {
        let mut command = home.envseal([OsStr::new("--keyfile"), home.keyfile().as_os_str()]);
        run(command.args(["run", "-s", "TOKEN", "--"]).arg(program))
    };
    ask(Path::new("no-such-program")).status(127);
    ask(&home.path("missing.exe")).status(127);
    std::fs::write(home.path("text.exe"), "not a program").expect("written");
    std::fs::write(home.path("batch.cmd"), "echo %1").expect("written");
    ask(&home.path("text.exe")).status(126);
    ask(&home.path("batch.cmd")).status(126).says("batch");
    ask(home.dir.path()).status(126);
}

#[test]
fn the_tree_ends_with_envseal() {
    let home = Home::new();
    let hardened = home.hardened(&["exit", "0"]);
    let hardened: Vec<&str> = hardened.iter().map(String::as_str).collect();
    home.allow(&hardened, &["exit", "0"]);
    // What this system's tier does not promise is said without being asked.
    run(&mut home.run(&hardened, &["exit", "0"])).ok().says("does not give H1, H2, H3");
    home.allow(&hardened, &["tree"]);
    let (mut envseal, line) = started(home.run(&hardened, &["tree"]));
    let pids: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(pids.len(), 2, "{line}");
    envseal.kill().expect("killed");
    envseal.wait().expect("ended");
    assert!(pids.iter().all(|pid| has_ended(pid)), "{line}");
}

#[test]
fn panic_ends_what_runs_and_withdraws_every_grant() {
    let home = Home::new();
    home.allow(&[], &["stay", "100"]);
    let (mut envseal, line) = started(home.run(&[], &["stay", "100"]));
    let status = run(&mut home.envseal(["--json", "status"])).ok().stdout();
    assert!(status.contains("guest.exe"), "{status}");
    run(&mut home.envseal(["panic"])).ok();
    envseal.wait().expect("ended");
    assert!(has_ended(line.trim()));
    run(&mut home.run(&[], &["stay", "100"])).status(77);
}

#[test]
fn panic_ends_a_program_whose_envseal_was_killed() {
    let home = Home::new();
    home.allow(&[], &["stay", "100"]);
    let (mut envseal, line) = started(home.run(&[], &["stay", "100"]));
    envseal.kill().expect("killed");
    envseal.wait().expect("ended");
    // In tier none no job ends it, and it is not forgotten.
    let status = run(&mut home.envseal(["--json", "status"])).ok().stdout();
    assert!(status.contains(&format!("\"pid\":{}", line.trim())), "{status}");
    run(&mut home.envseal(["panic"])).ok();
    assert!(has_ended(line.trim()));
    let status = run(&mut home.envseal(["--json", "status"])).ok().stdout();
    assert!(!status.contains("guest.exe"), "{status}");
}

#[test]
fn the_vault_is_kept_and_carried_as_elsewhere() {
    let home = Home::new();
    feed(&mut home.envseal(["store", "NEW"]), "planted\n").ok().says("inbox");
    assert!(run(&mut home.envseal(["inbox"])).ok().stdout().contains("NEW"));
    home.owner(["accept", "NEW"]).ok();
    home.owner(["rename", "NEW", "other/name"]).ok();
    assert!(run(&mut home.envseal(["list"])).ok().stdout().contains("other/name"));
    run(&mut home.envseal(["show", "TOKEN"])).ok();
    home.owner_with(["rotate", "TOKEN"], "another-value\n").ok();
    home.owner(["rotate", "TOKEN", "--purge"]).ok();
    home.owner(["rm", "other/name"]).ok();
    feed(&mut home.envseal(["store", "BAD"]), "planted\n").ok();
    home.owner(["reject", "BAD"]).ok();
    home.allow(&[], &["show", "TOKEN"]);
    assert!(run(&mut home.envseal(["grants"])).ok().stdout().contains("guest.exe"));
    let backup = home.path("vault.backup");
    home.owner([OsStr::new("backup"), backup.as_os_str()]).ok();
    home.owner(["rm", "TOKEN"]).ok();
    home.owner([OsStr::new("restore"), "--replace".as_ref(), backup.as_os_str()]).ok().says("withdrew 1");
    run(&mut home.run(&[], &["show", "TOKEN"])).status(77);
    home.owner(["audit", "verify"]).ok();
    assert!(run(&mut home.envseal(["audit", "export"])).ok().stdout().contains("\"kind\""));
    feed(&mut home.envseal(["--passphrase-fd", "0", "audit", "verify"]), "wrong\n").status(77);
    run(&mut home.envseal(["completions", "powershell"])).ok();
    run(home.envseal(["man"]).arg(home.path("man"))).ok();
    home.allow(&[], &["show", "TOKEN"]);
    let mut deny = home.envseal(["--passphrase-fd", "0", "deny", "-s", "TOKEN", "--"]);
    feed(deny.arg(&home.guest), &format!("{PASSPHRASE}\n")).ok();
    run(&mut home.run(&[], &["show", "TOKEN"])).status(77);
    home.owner_with(["passwd", "--new-passphrase-fd", "0"], "a new passphrase\n").ok();
    home.owner(["audit", "verify"]).status(77);
    feed(&mut home.envseal(["--passphrase-fd", "0", "audit", "verify"]), "a new passphrase\n").ok();
    run(&mut home.envseal(["install"])).status(125);
}

#[test]
fn data_protection_opens_the_vault_together_with_its_passphrase_and_never_alone() {
    let home = Home::new();
    // Without such a slot it is no guess, and nothing is counted.
    let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "audit", "verify"]);
    feed(&mut command, "another passphrase\n").status(77).says("no key slot of the kind dpapi+passphrase");
    let verified = home.owner(["audit", "verify"]).ok();
    assert!(!verified.stderr().contains("failed attempt"), "{}", verified.stderr());
    home.owner_with(["slot", "add", "dpapi", "--new-passphrase-fd", "0"], "another passphrase\n")
        .ok()
        .says("a passphrase alone still opens the vault, on any machine (slot 1)");
    assert!(run(&mut home.envseal(["slot", "list"])).ok().stdout().contains("dpapi+passphrase"));
    for (passphrase, status) in [("another passphrase\n", 0), ("wrong\n", 77), (PASSPHRASE, 77)] {
        let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "allow", "-s", "TOKEN", "--"]);
        feed(command.arg(&home.guest).args(["show", "TOKEN"]), passphrase).status(status);
    }
    let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "run", "-s", "TOKEN", "--"]);
    let ran = feed(command.arg(&home.guest).args(["show", "TOKEN"]), "another passphrase\n").ok();
    assert_eq!(ran.stdout().trim(), "<[envseal:TOKEN]>");
    let mut command = home.envseal(["--dpapi", "run", "-s", "TOKEN", "--"]);
    run(command.arg(&home.guest).args(["show", "TOKEN"])).status(75);
    // The plain passphrase is changed without it, and it stands with its own.
    home.owner_with(["passwd", "--new-passphrase-fd", "0"], "a new passphrase\n")
        .ok()
        .says("key slot 3 (dpapi+passphrase, \"Windows user\") was not changed");
    let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "audit", "verify"]);
    feed(&mut command, "another passphrase\n").ok();
    home.owner(["audit", "verify"]).status(77);
}

#[test]
fn a_vault_is_not_made_with_data_protection_alone() {
    let home = Home::empty();
    let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "init", "--kdf-floor"]);
    feed(&mut command, "a passphrase\n").status(2).says("slot add dpapi");
    assert!(!home.path("vault").join("vault.db").exists());
}

#[test]
fn a_backup_is_restored_by_data_protection_where_there_is_no_vault_yet() {
    let home = Home::new();
    home.owner_with(["slot", "add", "dpapi", "--new-passphrase-fd", "0"], "another passphrase\n").ok();
    let backup = home.path("vault.backup");
    home.owner([OsStr::new("backup"), backup.as_os_str()]).ok();
    let mut command = home.envseal(["--dpapi", "--passphrase-fd", "0", "restore"]);
    command.arg(&backup).env("ENVSEAL_HOME", home.path("elsewhere"));
    feed(&mut command, "another passphrase\n").ok();
    assert!(home.path("elsewhere").join("vault.db").exists());
}

#[test]
#[allow(clippy::print_stdout, reason = "what was skipped is said")]
fn ctrl_break_reaches_the_program_and_leaves_envseal_to_tell_its_status() {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    let home = Home::new();
    home.allow(&[], &["stay", "60"]);
    let mut command = home.run(&[], &["stay", "60"]);
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    let (mut envseal, line) = started(command);
    if let Err(error) = envseal_sandbox::console::interrupt_group(envseal.id()) {
        println!("SKIPPED: no console to send Ctrl-Break through: {error}");
        envseal.kill().expect("killed");
        return;
    }
    let status = envseal.wait().expect("ended");
    assert!(!status.success() && has_ended(line.trim()), "{status}");
}

#[test]
fn the_demonstration_runs() {
    let home = Home::empty();
    let printed = run(&mut home.envseal(["demo"])).ok().stdout();
    assert!(printed.contains("[envseal:DEMO_TOKEN]"), "{printed}");
}
