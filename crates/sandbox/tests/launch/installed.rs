//! Tests of what is installed: root installs, and each test runs again as an ordinary user.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio as Std};

use envseal_sandbox::launch::Launcher;

use crate::support;
use installation::Installed;

#[path = "installation.rs"]
mod installation;

/// Set for a test that runs as an ordinary user beneath one that runs as root.
const BENEATH: &str = "ENVSEAL_TEST_BENEATH";

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
    let _installed = Installed::new(&support::example("launch"));
    let output = Command::new("setpriv")
        // A launcher that is stopped must not have the kernel end the group of whoever runs the tests (setpgid(2)).
        .process_group(0)
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
