//! Tests that start tests of their own file as processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use envseal_vault::Vault;

use super::{Place, witness_in};

/// Starts a test of this file as a process of its own.
pub fn child(test: &str, place: &Place) -> Command {
    child_of(&std::env::current_exe().unwrap(), test, place.top.path())
}

pub fn child_of(program: &Path, test: &str, top: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("VAULT_TEST_TOP", top).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn top() -> PathBuf {
    std::env::var_os("VAULT_TEST_TOP").expect("run by another test of this file").into()
}

pub fn open_child() -> Vault {
    Vault::open_with(&top().join("vault"), witness_in(&top())).unwrap()
}

pub fn succeed(child: Child) {
    let done = child.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}
