//! The vault through the command line: backup, restore, rollback, damage, changes of the owner.
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{Home, PASSPHRASE, feed, give, run};

fn home_with_token() -> Home {
    let home = Home::new();
    home.store("TOKEN", "a-token-of-some-length");
    home
}

/// Copies the files of a vault, for a restore behind envseal's back.
fn copy_vault(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(to).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        std::fs::copy(entry.path(), &target).unwrap();
        give(&target);
    }
}

#[test]
fn the_inbox_waits_for_the_owner() {
    let home = home_with_token();
    feed(&mut home.envseal(["store", "TOKEN"]), b"planted-by-an-agent\n").ok().says("inbox");
    feed(&mut home.envseal(["store", "NEW"]), b"new-value-1234\n").ok();
    let inbox = run(&mut home.envseal(["inbox"])).ok().stdout();
    assert!(inbox.contains("replaces version 1") && inbox.contains("NEW"), "{inbox}");
    // What waits replaces nothing and cannot be used.
    home.allow(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"]);
    assert_eq!(run(&mut home.run(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"])).ok().stdout(), "22\n");
    run(&mut home.run(["-s", "NEW", "--", "true"])).status(77).says("envseal accept NEW");
    run(&mut home.envseal(["accept", "NEW"])).status(75);
    home.owner(["accept", "NEW"]).ok();
    home.owner(["reject", "TOKEN"]).ok();
    assert_eq!(run(&mut home.run(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"])).ok().stdout(), "22\n");
    run(&mut home.envseal(["show", "NEW"])).ok();
    home.owner(["reject", "NOTHING"]).status(125).says("NOTHING");
}

#[test]
fn secrets_are_renamed_rotated_purged_and_removed() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"]);
    let count = || run(&mut home.run(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"]));
    count().ok();
    let rotated = home.owner_with_input(["rotate", "TOKEN"], b"another-value\n").ok();
    assert!(rotated.stdout().contains("/usr/bin/dash"), "who used the old value is shown: {rotated:?}");
    assert_eq!(count().ok().stdout(), "13\n");
    home.owner(["rotate", "TOKEN", "--purge"]).ok().says("erased 1");
    home.owner(["rename", "TOKEN", "other/name"]).ok();
    run(&mut home.envseal(["show", "TOKEN"])).status(125);
    count().status(125);
    home.owner(["rm", "other/name"]).ok();
    home.owner(["rm", "other/name"]).status(125);
    home.owner(["audit", "verify"]).ok();
}

#[test]
fn a_backup_comes_back_without_its_grants() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"]);
    let file = home.path("home/vault.backup");
    home.owner(["backup", file.to_str().unwrap()]).ok();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    home.owner(["backup", file.to_str().unwrap()]).status(125);
    home.owner(["restore", file.to_str().unwrap()]).status(125).says("--replace");
    home.owner(["rm", "TOKEN"]).ok();
    home.owner(["restore", "--replace", file.to_str().unwrap()]).ok().says("withdrew 1 grants");
    let command = ["-s", "TOKEN", "--", "sh", "-c", "echo ${#TOKEN}"];
    run(&mut home.run(command)).status(77);
    home.allow(command);
    assert_eq!(run(&mut home.run(command)).ok().stdout(), "22\n");
    // On another machine, with nothing but the file and the passphrase.
    let other = Home::empty();
    let carried = other.path("home/carried.backup");
    std::fs::copy(&file, &carried).unwrap();
    give(&carried);
    feed(other.envseal(["--passphrase-fd", "0", "restore"]).arg(&carried), b"wrong\n").status(77);
    assert!(!other.vault().join("vault.db").exists());
    other.owner(["restore", carried.to_str().unwrap()]).ok();
    assert!(run(&mut other.envseal(["list"])).ok().stdout().contains("TOKEN"));
    for damage in
        [|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2), |bytes: &mut Vec<u8>| bytes[500] ^= 1]
    {
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        let damaged = other.write("home/damaged.backup", bytes, 0o600);
        other.owner(["restore", "--replace", damaged.to_str().unwrap()]).status(78);
    }
}

#[test]
fn an_older_copy_of_the_vault_does_not_revive_a_grant() {
    let home = home_with_token();
    let command = ["-s", "TOKEN", "--", "true"];
    home.allow(command);
    let old = home.path("old");
    copy_vault(&home.vault(), &old);
    home.owner(["grants", "revoke", "1"]).ok();
    copy_vault(&old, &home.vault());
    run(&mut home.run(command)).status(78).says("older");
    home.owner(["list"]).ok();
    // With the state directory gone as well, it is still noticed that something is missing.
    std::fs::remove_dir_all(home.path("home/.local/state")).unwrap();
    for entry in std::fs::read_dir(home.path("run")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    run(&mut home.run(command)).status(78);
    // The owner's way out withdraws every grant.
    home.owner(["restore", "--accept-state"]).ok().says("withdrew 1");
    run(&mut home.run(command)).status(77);
    home.allow(command);
    run(&mut home.run(command)).ok();
}

#[test]
fn a_run_is_not_erased_by_an_older_copy() {
    let home = home_with_token();
    let command = ["-s", "TOKEN", "--", "true"];
    home.allow(command);
    let old = home.path("old");
    copy_vault(&home.vault(), &old);
    run(&mut home.run(command)).ok();
    copy_vault(&old, &home.vault());
    run(&mut home.run(command)).status(78).says("older");
    home.owner(["audit", "verify"]).status(78);
}

#[test]
fn a_home_that_moves_with_the_directory_is_refused() {
    let home = home_with_token();
    run(home.envseal(["list"]).env("HOME", "relative")).status(125).says("not an absolute path");
}

#[test]
fn damage_is_78_and_the_file_is_left_alone() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "true"]);
    let database = home.vault().join("vault.db");
    for entry in ["vault.db-wal", "vault.db-shm"] {
        let _ = std::fs::remove_file(home.vault().join(entry));
    }
    let good = std::fs::read(&database).unwrap();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("truncated", |bytes| bytes.truncate(bytes.len() / 3)),
        ("empty", Vec::clear),
        ("zeroed", |bytes| bytes.fill(0)),
        ("no database", |bytes| bytes[..16].copy_from_slice(b"not a database..")),
        ("foreign", |bytes| bytes[68..72].fill(7)),
        ("newer", |bytes| bytes[60..64].copy_from_slice(&99_u32.to_be_bytes())),
    ];
    for (name, damage) in damages {
        let mut bytes = good.clone();
        damage(&mut bytes);
        std::fs::write(&database, &bytes).unwrap();
        let ran = run(&mut home.run(["-s", "TOKEN", "--", "true"]));
        assert_eq!(ran.0.status.code(), Some(78), "{name}: {ran:?}");
        assert_eq!(ran.stderr().lines().count(), 1, "{name}: {ran:?}");
        assert!(std::fs::read(&database).unwrap() == bytes, "{name}: the file was touched");
    }
    std::fs::write(&database, &good).unwrap();
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).ok();
}

#[test]
fn a_vault_that_others_can_touch_is_refused() {
    let home = home_with_token();
    std::fs::set_permissions(home.vault(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = run(&mut home.envseal(["list"]));
    assert_ne!(refused.0.status.code(), Some(0), "{refused:?}");
    std::fs::set_permissions(home.vault(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let moved = home.path("home/moved");
    std::fs::rename(home.vault(), &moved).unwrap();
    std::os::unix::fs::symlink(&moved, home.vault()).unwrap();
    assert_ne!(run(&mut home.envseal(["list"])).0.status.code(), Some(0));
}

#[test]
fn the_passphrase_and_the_slots_change() {
    let home = home_with_token();
    let new = "a new passphrase entirely";
    home.write("work/new", format!("{new}\n"), 0o600);
    let change =
        format!("exec {} --passphrase-fd 0 passwd --new-passphrase-fd 3 3<new", home.program().display());
    feed(home.command("bash").args(["-c", &change]), format!("{PASSPHRASE}\n").as_bytes()).ok();
    home.owner(["rm", "TOKEN"]).status(77).says("wrong passphrase");
    let owner = |args: &[&str]| {
        feed(home.envseal(["--passphrase-fd", "0"]).args(args), format!("{new}\n").as_bytes())
    };
    let code = owner(&["-q", "slot", "add", "recovery"]).ok().stdout();
    assert!(code.trim().len() > 30, "{code}");
    let slots = run(&mut home.envseal(["slot"])).ok().stdout();
    assert!(
        slots.contains("recovery") && slots.contains("keyfile") && slots.contains("passphrase"),
        "{slots}"
    );
    let id = |kind: &str| {
        let line = slots.lines().find(|line| line.contains(kind)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    owner(&["slot", "remove", &id("keyfile")]).ok();
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).status(77);
    owner(&["slot", "remove", &id("recovery")]).ok();
    owner(&["slot", "remove", &id("passphrase")]).status(125);
    owner(&["rm", "TOKEN"]).ok();
}

#[test]
fn a_second_init_touches_nothing_and_no_vault_is_said() {
    let home = home_with_token();
    home.owner(["init", "--kdf-floor"]).status(125).says("already");
    run(&mut home.envseal(["show", "TOKEN"])).ok();
    let empty = Home::empty();
    run(&mut empty.envseal(["list"])).status(125).says("envseal init");
    run(&mut empty.envseal(["run", "-s", "X", "--", "true"])).status(125);
    feed(&mut empty.envseal(["--passphrase-fd", "0", "init"]), b"short\n").status(125).says("at least 8");
}

#[test]
fn the_log_is_verified_and_a_changed_row_is_named() {
    let home = home_with_token();
    home.allow(["-s", "TOKEN", "--", "true"]);
    run(&mut home.run(["-s", "TOKEN", "--", "true"])).ok();
    home.owner(["audit", "verify"]).ok();
    let sql = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()";
    let tables = "import sqlite3, sys; print(*[r[0] for r in sqlite3.connect(sys.argv[1]).execute(\"select name from sqlite_master where type='table'\")])";
    let database = home.vault().join("vault.db");
    let names = run(home.command("python3").args(["-c", tables]).arg(&database)).ok().stdout();
    assert!(names.contains("audit"), "{names}");
    let change =
        "update audit set event = replace(event, '\"run\"', '\"exit\"') where event like '%\"run\"%'";
    run(home.command("python3").args(["-c", sql]).arg(&database).arg(change)).ok();
    home.owner(["audit", "verify"]).status(78).says("row");
}

#[test]
fn the_demo_asks_nothing_and_leaves_nothing() {
    let home = Home::empty();
    let ran = run(home.envseal(["demo"]).env("TMPDIR", home.path("work"))).ok();
    assert!(ran.stdout().contains("[envseal:DEMO_TOKEN]"), "{}", ran.stdout());
    assert_eq!(std::fs::read_dir(home.path("work")).unwrap().count(), 0);
    assert!(!home.vault().exists());
}

#[test]
fn manual_pages_and_completions_are_written() {
    let home = Home::empty();
    run(home.envseal(["man"]).arg(home.path("work/man"))).ok();
    let page = run(home.command("man").args(["-l", "-P", "cat"]).arg(home.path("work/man/envseal-run.1")))
        .ok()
        .stdout();
    assert!(page.contains("Run a program with secrets"), "{page}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&mut home.envseal(["completions", shell])).ok().stdout().contains("envseal"));
    }
    let help = run(&mut home.envseal(["run", "--help"])).ok().stdout();
    assert!(help.contains("Examples:"), "{help}");
}
