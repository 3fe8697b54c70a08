//! What the tests share: running as an ordinary user, collecting output, looking at processes.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod terminal;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Std};
use std::time::{Duration, Instant};
use std::{env, thread};

use envseal_sandbox::{Event, Exit, Image, Running, Signal, Spec, Stdio, start};

/// Runs the rest of the test as an ordinary user: root starts this test again under setpriv(1).
macro_rules! as_ordinary_user {
    () => {
        if support::ran_as_ordinary_user({
            fn here() {}
            std::any::type_name_of_val(&here)
        }) {
            return;
        }
    };
}
pub(crate) use as_ordinary_user;

/// `place` is the path of an item in the test function.
pub fn ran_as_ordinary_user(place: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let name = place.strip_suffix("::here").and_then(|place| place.split_once("::"));
    let (_, name) = name.expect("a test function");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .arg(env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture"])
        .env("HOME", "/tmp")
        .env("RUST_BACKTRACE", "0")
        .stdin(Std::null())
        .output()
        .expect("setpriv");
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = text.contains("1 passed");
    assert!(
        output.status.success() && ran,
        "as an ordinary user: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

/// An example's binary, which cargo builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test's own path");
    let path = test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join("examples").join(name);
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    path
}

/// A supervisor of a script, with these options; the program's number is in `report`.
pub fn supervise(options: &[&str], script: &str, report: &Path) -> Child {
    Command::new(example("supervise"))
        .args(["--quiet", "--env", "PATH=/usr/bin:/bin"])
        .args(options)
        .arg("--report")
        .arg(report)
        .args(["/bin/sh", "-c", script])
        .stdin(Std::null())
        .spawn()
        .expect("the supervisor")
}

/// A running program is stopped, goes on and is ended, and each is told.
pub fn stops_goes_on_and_is_ended(running: &mut Running) {
    running.signal(Signal::STOP).expect("sent");
    assert_eq!(next_event(running), Event::Stopped(19));
    running.resume().expect("sent");
    assert_eq!(next_event(running), Event::Continued);
    running.kill_tree().expect("ordered");
    assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
}

pub fn image(path: impl AsRef<Path>) -> Image {
    Image::open(path.as_ref()).expect("an executable file")
}

/// `sh -c SCRIPT` with a usual PATH.
pub fn shell(script: &str) -> Spec {
    Spec::new(image("/bin/sh")).args(["-c", script]).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
}

/// Starts `spec` with standard output in a pipe and waits.
pub fn output(spec: Spec) -> (Exit, String) {
    let (exit, bytes) = bytes(spec);
    (exit, String::from_utf8_lossy(&bytes).into_owned())
}

pub fn bytes(spec: Spec) -> (Exit, Vec<u8>) {
    let mut running = start(spec.stdout(Stdio::Pipe)).expect("a start");
    let mut bytes = Vec::new();
    File::from(running.take_stdout().expect("a pipe")).read_to_end(&mut bytes).expect("output");
    (running.wait().expect("an end"), bytes)
}

/// Alive and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The state's letter in /proc/PID/stat.
pub fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

pub fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields = stat.rsplit_once(") ").expect("a name").1;
    fields.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a parent")
}

/// Asks again and again for at most ten seconds.
pub fn becomes_true(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    condition()
}

/// The number that a program writes to `file`, once it is complete.
pub fn written_pid(file: &Path) -> u32 {
    let mut pid = None;
    let read = || fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok();
    assert!(
        becomes_true(|| {
            pid = read();
            pid.is_some()
        }),
        "{} was not written",
        file.display()
    );
    pid.expect("a number")
}

pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a number")).expect("not 0");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// A copy of a program that the test may replace.
pub fn copy_program(from: &str, to: &Path) {
    fs::copy(from, to).expect("a copy");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("executable");
}

/// Writes a file of this mode.
pub fn write_file(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// The next event, waited for.
pub fn next_event(running: &mut Running) -> Event {
    let mut event = None;
    assert!(becomes_true(|| {
        event = running.next_event().expect("an event");
        event.is_some()
    }));
    event.expect("an event")
}

pub fn os(text: &str) -> OsString {
    text.into()
}
