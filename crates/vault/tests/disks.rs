//! Disks that are full or read-only, and vaults of other users: nothing acknowledged is lost, and it is said.
#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "measurements are for whoever runs the tests")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use envseal_vault::*;
use support::children::*;
use support::*;

/// Copies this program where another user can run it, and runs a test of it as that user.
fn as_ordinary_user(test: &str, place: &Place) {
    const USER: u32 = 23_456;
    if !rustix::process::geteuid().is_root() {
        return succeed(child(test, place).spawn().unwrap());
    }
    let program = place.top.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [place.top.path(), &program] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "23456", "--regid", "23456", "--clear-groups"]).arg(&program);
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("VAULT_TEST_TOP", place.top.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    succeed(command.spawn().unwrap());
}

#[test]
#[ignore = "run as an ordinary user by a_directory_that_cannot_be_written_fails_closed_and_says_so"]
fn child_in_a_read_only_directory() {
    let dir = top().join("vault");
    let new = NewVault { passphrase: None, recovery: false, keyfile: Some(key()), kdf: KdfTarget::Floor };
    let mut vault = Vault::create_with(&dir, new, witness_in(&top())).unwrap().vault;
    vault.unlock(&factor()).unwrap().put(&name("A"), &value("a"), &[]).unwrap();
    drop(vault);
    let before = std::fs::read(dir.join("vault.db")).unwrap();
    let chmod = |mode| std::fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
    for (dir_mode, file_mode) in [(0o500, 0o400), (0o500, 0o600), (0o700, 0o400)] {
        for file in ["vault.db", "audit.key"] {
            std::fs::set_permissions(dir.join(file), PermissionsExt::from_mode(file_mode)).unwrap();
        }
        chmod(dir_mode);
        let done = Vault::open_with(&dir, witness_in(&top())).and_then(|mut vault| {
            let mut unlocked = match vault.unlock(&factor()) {
                Ok(unlocked) => unlocked,
                Err(UnlockError::Vault(error)) => return Err(error),
                Err(other) => panic!("{other}"),
            };
            unlocked.begin_run(&run(), None, &[name("A")]).map(|_| ())
        });
        chmod(0o700);
        let error = done.expect_err("a run without a row in the log");
        assert!(matches!(error, VaultError::NotWritable { .. }), "{dir_mode:o} {file_mode:o}: {error}");
        for file in ["vault.db", "audit.key"] {
            std::fs::set_permissions(dir.join(file), PermissionsExt::from_mode(0o600)).unwrap();
        }
        assert!(std::fs::read(dir.join("vault.db")).unwrap() == before);
    }
    // A state directory that cannot be written is said and is no failure.
    std::fs::remove_dir_all(top().join("state")).unwrap();
    std::fs::write(top().join("state"), "in the way").unwrap();
    let moved = top().join("moved");
    std::fs::rename(&dir, &moved).unwrap();
    let mut vault =
        Vault::open_with(&moved, Witness::in_directories(Some(top().join("state")), None)).unwrap();
    let mut unlocked = vault.unlock(&factor()).unwrap();
    assert!(!unlocked.notices().is_empty());
    assert_eq!(value_of(&mut unlocked, "A"), b"a");
}

#[test]
fn a_directory_that_cannot_be_written_fails_closed_and_says_so() {
    as_ordinary_user("child_in_a_read_only_directory", &Place::empty());
}

#[test]
#[ignore = "run as an ordinary user by a_vault_of_another_user_is_refused"]
fn child_that_opens_anothers_vault() {
    let error = Vault::open_with(&top().join("vault"), Witness::none()).unwrap_err();
    assert!(
        error.to_string().contains("cannot be written") || error.to_string().contains("belongs to"),
        "{error}"
    );
    println!("{error}");
}

#[test]
fn a_vault_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can give files to another user");
        return;
    }
    let place = Place::new();
    let chown = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None).unwrap();
    for path in [place.dir(), place.file("vault.db"), place.file("audit.key")] {
        chown(&path, 23_457);
        assert!(matches!(first_error(&place), Some(VaultError::Unsafe { .. })), "{}", path.display());
        chown(&path, 0);
    }
    assert!(first_error(&place).is_none());
    std::fs::set_permissions(place.top.path(), PermissionsExt::from_mode(0o755)).unwrap();
    as_ordinary_user("child_that_opens_anothers_vault", &place);
}

#[test]
#[ignore = "run on a small disk by a_full_disk_loses_nothing_that_was_acknowledged"]
fn child_on_a_full_disk() {
    let place = top().join("vault");
    let witness = || witness_in(&top());
    let new = NewVault { passphrase: None, recovery: false, keyfile: Some(key()), kdf: KdfTarget::Floor };
    let mut vault = Vault::create_with(&place, new, witness()).unwrap().vault;
    let (mut stored, mut failures, mut rows) = (0u64, 0, 0);
    for number in 0..400 {
        let secret = SecretBytes::new(vec![7; 20_000]).unwrap();
        let done = match vault.unlock(&factor()) {
            Ok(mut unlocked) => unlocked.put(&name(&format!("S{number}")), &secret, &[]).map(|_| ()),
            Err(UnlockError::Vault(error)) => Err(error),
            Err(other) => panic!("{other}"),
        };
        match done {
            Ok(()) => stored += 1,
            Err(error) => {
                assert!(matches!(error, VaultError::Full | VaultError::Storage(_)), "{error:?}");
                failures += 1;
            }
        }
        rows += u64::from(failures > 0 && vault.append(&run()).is_ok());
    }
    assert!(failures > 50, "the disk was not full");
    drop(vault);
    // Space again: everything acknowledged is there.
    std::fs::remove_file(top().join("ballast")).unwrap();
    let mut vault = Vault::open_with(&place, witness()).unwrap();
    let unlocked = vault.unlock(&factor()).unwrap();
    let report = unlocked.verify().unwrap();
    assert_eq!(report.secrets as u64, stored);
    assert!(report.rows > stored + rows);
    println!("{stored} stored, {failures} refused");
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can mount a small disk");
        return;
    }
    let place = Place::empty();
    let top = place.top.path().display();
    let script = format!(
        "mount -t tmpfs -o size=5m,mode=0700 none '{top}' && head -c 2000000 /dev/zero > '{top}/ballast' && exec \"$@\""
    );
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(program);
    command.args(["--exact", "child_on_a_full_disk", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("VAULT_TEST_TOP", place.top.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    succeed(command.spawn().unwrap());
}
