//! The launcher installed for real while tests run, and taken out with the last of them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio as Std};

use envseal_sandbox::launch::{self, Launcher};

use crate::support;

/// Tests of this file hold it for reading, those of `envseal install` for writing.
const LOCK: &str = "/tmp/envseal-install-test.lock";
/// There while what is installed is the tests' own.
const OURS: &str = "/usr/local/lib/envseal/.tests";
/// Set for a test that runs as an ordinary user beneath one that runs as root.
const BENEATH: &str = "ENVSEAL_TEST_BENEATH";

/// Held, the launcher is installed.
struct Installed(File);

impl Installed {
    fn new() -> Installed {
        let gate = gate();
        let lock = File::create(LOCK).expect("a lock");
        // Where tests of installing have the system to themselves, this waits until they are done.
        lock.lock_shared().expect("locked");
        match Launcher::installed().expect("a sound installation, or none") {
            None => {
                launch::install(&support::example("launch"), |_| {}).expect("installed");
                std::fs::write(OURS, "").expect("a mark");
            }
            Some(_) if Path::new(OURS).exists() => {}
            Some(_) => println!("what is installed already is tested"),
        }
        drop(gate);
        Installed(lock)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _gate = gate();
        self.0.unlock().expect("unlocked");
        if self.0.try_lock().is_ok() && Path::new(OURS).exists() {
            let _ = std::fs::remove_file(OURS);
            let undone = launch::uninstall(|_| {});
            // A second failure while the first one goes its way would hide it.
            assert!(undone.is_ok() || std::thread::panicking(), "{undone:?}");
        }
    }
}

/// One at a time comes and goes.
fn gate() -> File {
    let gate = File::create(format!("{LOCK}.gate")).expect("a lock");
    gate.lock().expect("locked");
    gate
}

/// What an ordinary user's test gets, or that it runs no further here.
pub enum Turn {
    Run(Launcher),
    Done,
}

/// As root: installs, and runs the test of this name again as an ordinary user in `groups`. As that user, or as
/// any other where the launcher is installed: the test runs.
pub fn turn(place: &str, groups: &str) -> Turn {
    if !rustix::process::geteuid().is_root() {
        return match Launcher::installed().expect("a sound installation, or none") {
            Some(launcher) => Turn::Run(launcher),
            None => {
                assert!(std::env::var_os(BENEATH).is_none(), "root installed it");
                println!("SKIPPED: nothing is installed, and only root can: run the tests as root");
                Turn::Done
            }
        };
    }
    let name = place.strip_suffix("::here").and_then(|place| place.split_once("::")).expect("a test").1;
    let _installed = Installed::new();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", groups, "--inh-caps=-all", "--"])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture"])
        .env("HOME", "/tmp")
        .env("RUST_BACKTRACE", "0")
        .env(BENEATH, "1")
        .stdin(Std::null())
        .output()
        .expect("setpriv");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Turn::Done
}

/// The launcher, in the rest of a test that runs as an ordinary user.
macro_rules! launcher {
    () => {
        launcher!("--clear-groups")
    };
    ($groups:literal) => {
        match installed::turn(
            {
                fn here() {}
                std::any::type_name_of_val(&here)
            },
            $groups,
        ) {
            installed::Turn::Run(launcher) => launcher,
            installed::Turn::Done => return,
        }
    };
}
pub(crate) use launcher;
