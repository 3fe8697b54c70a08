use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};

use envseal_sandbox::{Image, start};

use super::super::{Started, enter, list};
use super::*;

/// The exit code of what a panic ends.
const ENDED: i32 = 137;
/// Where to enter as a run, for the child.
const DIRECTORY: &str = "ENVSEAL_TEST_RUN_IN";
/// Which process to write down as the program.
const PROGRAM: &str = "ENVSEAL_TEST_RUN_HAS_PROGRAM";
/// Whether to make a program and not to write it down.
const MAKES: &str = "ENVSEAL_TEST_RUN_MAKES_PROGRAM";

const CHILD: &str = "registry::system::tests::waits_as_a_run";

/// Not a test by itself: the process that others start.
#[test]
#[ignore = "the child of other tests"]
fn waits_as_a_run() {
    let dir = PathBuf::from(std::env::var_os(DIRECTORY).expect("started by a test"));
    let mut entry = dir.is_absolute().then(|| enter(&dir).unwrap());
    if let Some(entry) = &mut entry {
        let own = std::env::current_exe().unwrap();
        entry.program(&own, &File::open(&own).unwrap()).unwrap();
        if let Ok(program) = std::env::var(PROGRAM) {
            entry.started(of_tier_none(program.parse().unwrap())).unwrap();
        }
    }
    let made = std::env::var_os(MAKES).map(|_| start(hold_back(this_program())).unwrap());
    #[expect(clippy::print_stdout, reason = "says that it is ready")]
    {
        println!("\nready {}", made.as_ref().map_or(0, |made| made.pid()));
    }
    std::thread::sleep(Duration::from_secs(60));
}

fn of_tier_none(pid: u32) -> Started {
    let (tier, engine) = (envseal_vault::TierName::None, Default::default());
    Started { pid, created: None, tier, engine, guarantees: vec![] }
}

/// This test as a program that is no run.
fn this_program() -> Spec {
    let image = Image::open(&std::env::current_exe().unwrap()).unwrap();
    Spec::new(image)
        .args(["--exact", CHILD, "--ignored"])
        .env(DIRECTORY, "")
        .stdin(envseal_sandbox::Stdio::Null)
}

/// Starts it, as a run of `dir` or, when that is empty, as something else, and waits until it is ready.
fn child(dir: &Path, set: Option<(&str, u32)>) -> (Child, u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
    command.env(DIRECTORY, dir).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some((name, value)) = set {
        command.env(name, value.to_string());
    }
    let mut child = command.spawn().unwrap();
    let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let made = lines.find_map(|line| line.strip_prefix("ready ").map(|made| made.parse().unwrap()));
    (child, made.unwrap())
}

fn other() -> Child {
    child(Path::new(""), None).0
}

fn end_child(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn only_file(dir: &Path) -> PathBuf {
    let mut files = dir.read_dir().unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    path
}

/// A run of this test program, as a file says it.
fn says(pid: u32, started: Option<Started>) -> Run {
    let image = own_image();
    let program = "x".into();
    Run { envseal: pid, envseal_image: image.clone(), since: 0, program, program_image: image, started }
}

fn write(path: &Path, run: &Run) {
    let mut line = serde_json::to_vec(run).unwrap();
    line.push(b'\n');
    std::fs::write(path, line).unwrap();
}

/// Opens it as a run does.
fn hold(path: &Path) -> File {
    OpenOptions::new().append(true).share_mode(SHARE_READ).open(path).unwrap()
}

#[test]
fn every_run_is_ended_with_its_program_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut program, mut stays) = (other(), other());
    let mut runs = [child(dir.path(), None).0, child(dir.path(), Some((PROGRAM, program.id()))).0];
    assert_eq!(list(dir.path()).unwrap().len(), 2);
    assert_eq!(end_all(dir.path()).unwrap(), 2);
    for ended in runs.iter_mut().chain([&mut program]) {
        assert_eq!(ended.wait().unwrap().code(), Some(ENDED));
    }
    assert!(stays.try_wait().unwrap().is_none());
    assert!(dir.path().read_dir().unwrap().next().is_none());
    end_child(stays);
}

#[test]
fn the_file_of_a_run_cannot_be_removed_renamed_or_written() {
    let dir = tempfile::tempdir().unwrap();
    let (run, _) = child(dir.path(), None);
    let path = only_file(dir.path());
    assert!(std::fs::remove_file(&path).is_err());
    assert!(std::fs::rename(&path, dir.path().join("other")).is_err());
    assert!(OpenOptions::new().write(true).open(&path).is_err());
    assert_eq!(list(dir.path()).unwrap()[0].envseal, run.id());
    end_child(run);
    // What it left is removed by whoever looks next.
    assert!(list(dir.path()).unwrap().is_empty() && !path.exists());
}

#[test]
fn a_program_outlives_its_supervisor_in_the_list_and_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (mut program, mut stays) = (other(), other());
    end_child(child(dir.path(), Some((PROGRAM, program.id()))).0);
    let path = only_file(dir.path());
    assert_eq!(list(dir.path()).unwrap()[0].started.as_ref().unwrap().pid, program.id());
    // A run that enters does not clear it away.
    drop(enter(dir.path()).unwrap());
    assert!(path.exists() && program.try_wait().unwrap().is_none());
    assert_eq!(end_all(dir.path()).unwrap(), 1);
    assert_eq!(program.wait().unwrap().code(), Some(ENDED));
    assert!(!path.exists() && stays.try_wait().unwrap().is_none());
    end_child(stays);
}

#[test]
fn a_program_that_was_made_and_not_written_down_is_ended() {
    for is_killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (mut run, made) = child(dir.path(), Some((MAKES, 1)));
        assert!(list(dir.path()).unwrap()[0].started.is_none());
        let made = Process::open(made).unwrap();
        if is_killed {
            run.kill().unwrap();
            run.wait().unwrap();
            // No job ends it in tier none.
            assert!(!made.wait(Some(Duration::from_millis(100))).unwrap());
        }
        assert_eq!(end_all(dir.path()).unwrap(), 1);
        assert!(made.wait(Some(Duration::ZERO)).unwrap());
        run.wait().unwrap();
    }
}

#[test]
fn a_program_does_not_run_before_it_is_let() {
    let dir = tempfile::tempdir().unwrap();
    let spec = this_program().env(DIRECTORY, dir.path());
    let running = start(hold_back(spec)).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(list(dir.path()).unwrap().is_empty());
    let_run(&running).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while list(dir.path()).unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it does not run");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_that_names_no_such_process_is_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let other = other();
    let of_other = created(other.id()).unwrap().unwrap();
    let names = [
        format!("run-{}-{}-0", other.id(), of_other + 1),
        format!("run-{}-{of_other}", other.id()),
        format!("run-x-{of_other}-0"),
        "run-4294967292-1-0".into(),
        "run-4-1-0".into(),
        "run-".into(),
    ];
    let kept = names.map(|name| hold(&create(&dir.path().join(name))));
    assert_eq!(end_all(dir.path()).unwrap(), 0);
    assert!(list(dir.path()).unwrap().is_empty());
    drop(kept);
    end_child(other);
}

fn create(path: &Path) -> PathBuf {
    File::create(path).unwrap();
    path.to_owned()
}

#[test]
fn a_process_that_runs_something_else_than_a_file_says_is_not_ended() {
    let root = PathBuf::from(std::env::var_os("SystemRoot").unwrap());
    let mut shell = Command::new(root.join(r"System32\cmd.exe"));
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let of_shell = created(shell.id()).unwrap().unwrap();
    let dir = tempfile::tempdir().unwrap();
    // As a supervisor, held and silent; held and speaking; and as the program of one that is gone.
    let silent = hold(&create(&dir.path().join(format!("run-{}-{of_shell}-0", shell.id()))));
    let path = dir.path().join(format!("run-{}-{of_shell}-1", shell.id()));
    write(&path, &says(shell.id(), None));
    let speaking = hold(&path);
    let program = Started { created: Some(of_shell), ..of_tier_none(shell.id()) };
    write(&dir.path().join("run-4294967292-1-0"), &says(4_294_967_292, Some(program)));
    assert!(list(dir.path()).unwrap().is_empty());
    assert_eq!(end_all(dir.path()).unwrap(), 0);
    assert!(shell.try_wait().unwrap().is_none());
    drop((silent, speaking));
    end_child(shell);
}

#[test]
fn a_file_that_is_not_held_names_no_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let mut other = other();
    let path = dir.path().join(format!("run-{}-{}-0", other.id(), created(other.id()).unwrap().unwrap()));
    write(&path, &says(other.id(), None));
    assert!(list(dir.path()).unwrap().is_empty() && !path.exists());
    write(&path, &says(other.id(), None));
    assert_eq!(end_all(dir.path()).unwrap(), 0);
    assert!(other.try_wait().unwrap().is_none() && !path.exists());
    // The same file, held, names one: that it was refused above was no accident.
    write(&path, &says(other.id(), None));
    let mut held = hold(&path);
    held.flush().unwrap();
    assert_eq!((list(dir.path()).unwrap().len(), end_all(dir.path()).unwrap()), (1, 1));
    assert_eq!(other.wait().unwrap().code(), Some(ENDED));
}

#[test]
fn what_a_run_says_of_this_process_does_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = process::created().unwrap();
    let path = dir.path().join(format!("run-{}-{own}-0", std::process::id()));
    let program = Started { created: Some(own), ..of_tier_none(std::process::id()) };
    write(&path, &says(std::process::id(), Some(program)));
    let held = hold(&path);
    assert_eq!(end_all(dir.path()).unwrap(), 0);
    drop(held);
}
