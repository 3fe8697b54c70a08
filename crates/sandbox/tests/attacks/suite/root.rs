//! The part of a run that root began: an ordinary user carries it out, and asks back for what only root may
//! do: to say where core dumps go, and to write the page into a tree that is root's. For as long the launcher
//! is installed.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use super::installation::Installed;
use super::{sys, table};

/// Set in the ordinary user's half: standard input leads to root's.
const MARK: &str = "ENVSEAL_ATTACKS_BY_ROOT";
const USER: &str = "envseal-test";
const PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// Runs everything again as the ordinary user.
pub fn as_ordinary_user(arguments: &[OsString]) -> ExitCode {
    let Some([uid, gid]) = user() else {
        super::supervise::warn("no ordinary user envseal-test, and useradd could not make one");
        return ExitCode::FAILURE;
    };
    let Some(launcher) = launcher() else {
        super::supervise::warn(
            "no launcher to install: run `cargo build -p envseal-sandbox --example launch` first",
        );
        return ExitCode::FAILURE;
    };
    let _installed = Installed::new(&launcher);
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--init-groups".into()]);
    command.args(["--inh-caps=-all", "--"]);
    command.arg(env::current_exe().expect("the own path")).args(arguments);
    command.envs([("HOME", format!("/home/{USER}")), ("USER", USER.into()), (MARK, "yes".into())]);
    let mut child = command.stdin(OwnedFd::from(theirs)).spawn().expect("setpriv");
    drop(command);
    let before = fs::read_to_string(PATTERN).unwrap_or_default();
    let mut answers = ours.try_clone().expect("a second descriptor");
    for line in BufReader::new(ours).lines().map_while(Result::ok) {
        let done = match line.split_once(' ') {
            Some(("core", pattern)) => fs::write(PATTERN, pattern).is_ok(),
            Some(("page", path)) => fs::read(path).and_then(|page| fs::write(table::path(), page)).is_ok(),
            _ => fs::write(PATTERN, before.trim_end()).is_ok(),
        };
        if answers.write_all(if done { b"done\n" } else { b"failed\n" }).is_err() {
            break;
        }
    }
    // Whatever happened to the other half.
    let _ = fs::write(PATTERN, before.trim_end());
    let status = child.wait().expect("an end");
    ExitCode::from(status.code().unwrap_or(1) as u8)
}

/// The example, which cargo builds with all tests of the crate, but not with this one alone.
fn launcher() -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    let path = test.parent()?.parent()?.join("examples/launch");
    path.exists().then_some(path)
}

fn user() -> Option<[u32; 2]> {
    let ids = || {
        let ask = |flag| -> Option<u32> {
            let output = Command::new("id").args([flag, USER]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some([ask("-u")?, ask("-g")?])
    };
    ids().or_else(|| {
        let _ = Command::new("useradd").args(["--create-home", "--user-group", USER]).status();
        ids()
    })
}

/// The way to root's half.
pub struct Helper(Mutex<(BufReader<UnixStream>, UnixStream)>);

impl Helper {
    /// `None` when the run was not begun by root.
    pub fn new() -> Option<Helper> {
        env::var_os(MARK)?;
        let stream = UnixStream::from(sys::inherited(0).ok()?);
        Some(Helper(Mutex::new((BufReader::new(stream.try_clone().ok()?), stream))))
    }

    /// Sends core dumps elsewhere until the result is dropped; `None` when that failed.
    pub fn core_pattern(&self, pattern: &str) -> Option<CorePattern<'_>> {
        let restore = CorePattern(self);
        self.ask(&format!("core {pattern}")).then_some(restore)
    }

    /// Puts the page that lies at `path` into its place.
    pub fn write_page(&self, path: &Path) -> bool {
        self.ask(&format!("page {}", path.display()))
    }

    fn ask(&self, line: &str) -> bool {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answers, questions) = &mut *streams;
        let mut answer = String::new();
        let asked = writeln!(questions, "{line}").and_then(|()| answers.read_line(&mut answer));
        asked.is_ok() && answer == "done\n"
    }
}

/// Puts back what was.
pub struct CorePattern<'a>(&'a Helper);

impl Drop for CorePattern<'_> {
    fn drop(&mut self) {
        self.0.ask("restore");
    }
}
