//! Many processes at once, processes killed in the middle: nothing acknowledged is lost, and the vault always opens.
#![allow(clippy::print_stdout, reason = "measurements are for whoever runs the tests")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use envseal_vault::*;
use support::children::*;
use support::*;

#[test]
#[ignore = "a child of many_processes_at_once_lose_nothing"]
fn child_that_stores_and_puts() {
    let number = std::env::var("VAULT_TEST_NUMBER").unwrap();
    let mut vault = open_child();
    for round in 0..3 {
        vault.store(&name(&format!("INBOX{number}")), &value("waits"), &[]).unwrap();
        let mut unlocked = vault.unlock(&factor()).unwrap();
        unlocked
            .put(&name(&format!("OWN{number}/{round}")), &value(&format!("{number}-{round}")), &[])
            .unwrap();
        unlocked.put(&name("SHARED"), &value(&format!("{number}-{round}")), &[]).unwrap();
        unlocked.begin_run(&run(), Some(GrantId(1)), &[name("SHARED")]).unwrap();
    }
}

#[test]
fn many_processes_at_once_lose_nothing() {
    const PROCESSES: usize = if cfg!(windows) { 24 } else { 50 };
    let place = Place::new();
    unlock(&mut place.open()).add_grant(&grant("SHARED", Some(1_000))).unwrap();
    let start = |number: usize| {
        child("child_that_stores_and_puts", &place)
            .env("VAULT_TEST_NUMBER", number.to_string())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    children.into_iter().for_each(succeed);

    let mut vault = place.open();
    assert_eq!(vault.inbox().unwrap().len(), PROCESSES * 3);
    let mut unlocked = unlock(&mut vault);
    let report = unlocked.verify().unwrap();
    assert_eq!((report.secrets, report.versions), (PROCESSES * 3 + 1, PROCESSES * 6));
    assert_eq!(unlocked.secret(&name("SHARED")).unwrap().unwrap().version, PROCESSES as u64 * 3);
    assert_eq!(unlocked.grants().unwrap()[0].1.uses, Some(1_000 - PROCESSES as u32 * 3));
    for number in 0..PROCESSES {
        assert_eq!(value_of(&mut unlocked, &format!("OWN{number}/2")), format!("{number}-2").as_bytes());
    }
    // Init, the grant, and four rows a round.
    assert_eq!(report.rows, 2 + PROCESSES as u64 * 3 * 4);
}

#[test]
#[ignore = "a child of a_writer_killed_at_any_moment_loses_nothing"]
fn child_that_writes_until_it_is_killed() {
    let from: u64 = std::env::var("VAULT_TEST_NUMBER").unwrap().parse().unwrap();
    let mut vault = open_child();
    let mut unlocked = vault.unlock(&factor()).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nready").unwrap();
    for number in from.. {
        let text = number.to_string();
        unlocked.put(&name("LAST"), &value(&text), &[]).unwrap();
        unlocked.purge(&name("LAST")).unwrap();
        let id = unlocked.add_grant(&grant("LAST", Some(2))).unwrap();
        unlocked.begin_run(&run(), Some(id), &[name("LAST")]).unwrap();
        unlocked.revoke(id).unwrap();
        unlocked.append(&run()).unwrap();
        // One write: the parent reads whole lines only.
        out.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing() {
    const KILLS: u64 = if cfg!(windows) { 50 } else { 210 };
    /// Microseconds. Under Wine a round of writes takes a fifth of a second.
    const LONGEST: u64 = if cfg!(windows) { 0x7_ffff } else { 0x7fff };
    let place = Place::new();
    let mut acknowledged = 0u64;
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for kill in 0..KILLS {
        let mut command = child("child_that_writes_until_it_is_killed", &place);
        let mut writer = command.env("VAULT_TEST_NUMBER", (acknowledged + 1).to_string()).spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Only what comes after it is ready is a moment in the middle of writes.
        assert!(lines.any(|line| line == "ready"), "the writer did not start");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros(seed >> 33 & LONGEST));
        writer.kill().unwrap();
        let last = lines.filter_map(|line| line.parse::<u64>().ok()).last();
        writer.wait().unwrap();
        acknowledged = acknowledged.max(last.unwrap_or(0));

        let mut vault = place.open();
        let mut unlocked = unlock(&mut vault);
        assert!(unlocked.notices().is_empty(), "kill {kill}: {:?}", unlocked.notices());
        unlocked.verify().unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        if acknowledged > 0 {
            let found: u64 = String::from_utf8(value_of(&mut unlocked, "LAST")).unwrap().parse().unwrap();
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "kill {kill}: {found} after {acknowledged}"
            );
            acknowledged = found;
        }
    }
    assert!(acknowledged > 0, "no kill came after a whole round");
    println!("{KILLS} kills, {acknowledged} rounds of writes acknowledged");
}

/// Opens the vault and takes a secret for a run.
#[cfg(windows)]
fn run_once(place: &Place) -> Result<(), VaultError> {
    let mut vault = Vault::open_with(&place.dir(), place.witness())?;
    let mut unlocked = match vault.unlock(&factor()) {
        Ok(unlocked) => unlocked,
        Err(UnlockError::Vault(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    };
    unlocked.begin_run(&run(), None, &[name("A")]).map(|_| ())
}

#[cfg(windows)]
fn with_a_secret() -> Place {
    let place = Place::new();
    unlock(&mut place.open()).put(&name("A"), &value("a"), &[]).unwrap();
    place
}

/// Wine has Unix decide, which lets root write a file that is read-only.
#[cfg(windows)]
#[test]
fn a_file_that_cannot_be_written_fails_closed_and_says_so() {
    let place = with_a_secret();
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let read_only = |file: &str, yes| {
        let mut permissions = place.file(file).metadata().unwrap().permissions();
        permissions.set_readonly(yes);
        std::fs::set_permissions(place.file(file), permissions).unwrap();
    };
    for file in ["vault.db", "audit.key"] {
        read_only(file, true);
        let enforced = std::fs::OpenOptions::new().write(true).open(place.file(file)).is_err();
        let done = enforced.then(|| run_once(&place));
        read_only(file, false);
        let Some(done) = done else {
            println!("SKIPPED: this system lets read-only files be written");
            return;
        };
        let error = done.expect_err("a run without a row in the log");
        assert!(matches!(error, VaultError::NotWritable { .. }), "{file}: {error:?}");
        assert!(std::fs::read(place.file("vault.db")).unwrap() == before, "{file}");
    }
    assert!(first_error(&place).is_none());
}

#[cfg(windows)]
#[test]
fn a_vault_file_that_another_program_keeps_to_itself_fails_closed_and_says_so() {
    kept_by_another("vault.db");
}

#[cfg(windows)]
#[test]
fn an_audit_key_that_another_program_keeps_to_itself_fails_closed_and_says_so() {
    kept_by_another("audit.key");
}

#[cfg(windows)]
fn kept_by_another(file: &str) {
    use std::os::windows::fs::OpenOptionsExt as _;

    let place = with_a_secret();
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let alone = std::fs::OpenOptions::new().read(true).share_mode(0).open(place.file(file)).unwrap();
    let error = run_once(&place).expect_err("a run without a row in the log");
    assert!(matches!(error, VaultError::Busy { .. }), "{error:?}");
    drop(alone);
    assert!(std::fs::read(place.file("vault.db")).unwrap() == before);
    run_once(&place).unwrap();
    assert!(first_error(&place).is_none());
}
