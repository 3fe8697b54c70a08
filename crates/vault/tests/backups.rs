//! Backups: one file, verified before it is called done, restored whole or not at all.

mod support;

use std::path::PathBuf;

use envseal_vault::*;
use support::*;

fn backed_up() -> (Place, PathBuf) {
    let place = Place::new();
    let file = place.top.path().join("backup");
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a1"), &[]).unwrap();
    unlocked.put(&name("A"), &value("a2"), &[]).unwrap();
    unlocked.add_grant(&grant("A", None)).unwrap();
    unlocked.add_grant(&Grant { effect: Effect::Deny, ..grant("A", None) }).unwrap();
    let report = unlocked.backup(&file).unwrap();
    assert_eq!((report.secrets, report.versions, report.grants), (1, 2, 2));
    assert_eq!(report.bytes, file.metadata().unwrap().len());
    (place, file)
}

const PLAIN: RestoreOptions = RestoreOptions { replace: false, keep_grants: false };
const REPLACE: RestoreOptions = RestoreOptions { replace: true, keep_grants: false };

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.dir()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn left_over(place: &Place) -> Vec<String> {
    names(place).into_iter().filter(|name| name.starts_with("work-")).collect()
}

#[test]
fn a_backup_opens_elsewhere_without_the_grants_that_allow() {
    let (place, file) = backed_up();
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o777, 0o600);
    assert!(left_over(&place).is_empty());
    let other = Place::empty();
    let report = restore_with(&file, &other.dir(), &factor(), PLAIN, &other.witness()).unwrap();
    assert_eq!((report.secrets, report.grants_withdrawn, report.replaced), (1, 1, None));
    let mut vault = other.open();
    assert_eq!(vault.id(), place.open().id());
    let mut unlocked = unlock(&mut vault);
    assert!(unlocked.notices().is_empty(), "{:?}", unlocked.notices());
    assert_eq!(unlocked.grants().unwrap().len(), 1);
    assert_eq!(value_of(&mut unlocked, "A"), b"a2");
    assert_eq!(unlocked.verify().unwrap().versions, 2);
    assert!(unlocked.audit(1, 100).unwrap().iter().any(|row| row.event.kind == EventKind::Restore));
}

#[test]
fn grants_are_kept_when_the_owner_says_so() {
    let (_place, file) = backed_up();
    let other = Place::empty();
    let keep = RestoreOptions { keep_grants: true, ..PLAIN };
    let report = restore_with(&file, &other.dir(), &factor(), keep, &other.witness()).unwrap();
    assert_eq!(report.grants_withdrawn, 0);
    assert_eq!(unlock(&mut other.open()).grants().unwrap().len(), 2);
}

#[test]
fn a_restore_over_a_vault_needs_to_be_asked_for_and_keeps_the_old_one() {
    let (place, file) = backed_up();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("LATER"), &value("x"), &[]).unwrap();
    let counter = unlocked.counter();
    drop(vault);
    let error = restore_with(&file, &place.dir(), &factor(), PLAIN, &place.witness()).unwrap_err();
    assert!(matches!(error, UnlockError::Vault(VaultError::Exists { .. })), "{error}");
    let report = restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap();
    assert!(report.counter > counter, "above what this machine has seen");
    let kept = report.replaced.unwrap();
    assert_eq!(kept.file_name().unwrap(), format!("vault.db.replaced-{counter}").as_str());
    assert_eq!(kept.parent().unwrap().canonicalize().unwrap(), place.dir().canonicalize().unwrap());
    assert!(kept.metadata().unwrap().len() > 4096);
    assert!(first_error(&place).is_none());
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    assert!(unlocked.secret(&name("LATER")).unwrap().is_none());
    assert_eq!(value_of(&mut unlocked, "A"), b"a2");
    assert!(left_over(&place).is_empty());
}

/// SQLite opens the file so that Windows lets nobody replace it.
#[cfg(windows)]
#[test]
fn a_vault_that_is_open_is_not_replaced() {
    let (place, file) = backed_up();
    let mut vault = place.open();
    vault.append(&run()).unwrap();
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let error = restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap_err();
    assert!(matches!(error, UnlockError::Vault(VaultError::Busy { .. })), "{error:?}");
    assert!(std::fs::read(place.file("vault.db")).unwrap() == before);
    assert!(names(&place).iter().all(|name| !name.contains("replaced")), "{:?}", names(&place));
    vault.append(&run()).unwrap();
    drop(vault);
    assert!(first_error(&place).is_none());
    assert!(left_over(&place).is_empty());
    restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap();
    assert!(first_error(&place).is_none());
}

#[cfg(unix)]
#[test]
fn a_vault_that_was_open_while_it_was_replaced_writes_nothing_more() {
    let (place, file) = backed_up();
    let mut vault = place.open();
    vault.append(&run()).unwrap();
    restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap();
    assert!(matches!(vault.append(&run()), Err(VaultError::Replaced)));
    drop(vault);
    assert!(first_error(&place).is_none());
}

#[cfg(unix)]
#[test]
fn an_old_vault_that_is_closed_later_does_not_take_the_new_ones_log_away() {
    let (place, file) = backed_up();
    let mut old = place.open();
    old.append(&run()).unwrap();
    restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap();
    let mut new = place.open();
    let sequence = new.append(&run()).unwrap();
    drop(old);
    assert!(place.file("vault.db-wal").exists());
    assert_eq!(place.open().audit_last(1).unwrap()[0].sequence, sequence);
    drop(new);
    assert_eq!(place.open().audit_last(1).unwrap()[0].sequence, sequence);
    assert!(first_error(&place).is_none());
}

#[test]
fn a_damaged_vault_is_replaced_by_its_backup() {
    for damage in ["truncated", "zeroed", "foreign"] {
        let (place, file) = backed_up();
        let whole = std::fs::read(place.file("vault.db")).unwrap();
        let bytes = match damage {
            "truncated" => whole[..whole.len() / 2].to_vec(),
            "zeroed" => vec![0; whole.len()],
            _ => b"something else".to_vec(),
        };
        std::fs::write(place.file("vault.db"), &bytes).unwrap();
        assert!(first_error(&place).is_some());
        let report = restore_with(&file, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap();
        assert_eq!(std::fs::read(report.replaced.unwrap()).unwrap(), bytes);
        assert!(first_error(&place).is_none(), "{damage}");
    }
}

#[test]
fn a_changed_or_cut_backup_is_refused_and_nothing_is_replaced() {
    let (place, file) = backed_up();
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let bad = place.top.path().join("bad");
    let refuse = |bytes: &[u8], what: String| {
        std::fs::write(&bad, bytes).unwrap();
        let error = restore_with(&bad, &place.dir(), &factor(), REPLACE, &place.witness()).unwrap_err();
        let UnlockError::Vault(error) = error else { panic!("{what}: {error}") };
        assert!(error.is_damage(), "{what}: {error}");
        assert!(std::fs::read(place.file("vault.db")).unwrap() == before, "{what}");
    };
    for length in (0..whole.len()).step_by(whole.len() / 40).chain([whole.len() - 1]) {
        refuse(&whole[..length], format!("cut at {length}"));
    }
    // The header's bytes are bound to the rest; so is every byte of the rest.
    let places: Vec<_> = (0..400).chain((400..whole.len()).step_by(whole.len() / 60)).collect();
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        // A flip in the header can make another slot of it, which then opens nothing.
        std::fs::write(&bad, &bytes).unwrap();
        match restore_with(&bad, &place.dir(), &factor(), REPLACE, &place.witness()) {
            Err(UnlockError::Vault(error)) => assert!(error.is_damage(), "byte {at}: {error}"),
            Err(_) => {}
            Ok(_) => panic!("byte {at} was changed and nothing noticed"),
        }
        assert!(std::fs::read(place.file("vault.db")).unwrap() == before, "byte {at}");
    }
    assert!(left_over(&place).is_empty());
}

#[test]
fn a_wrong_factor_opens_no_backup() {
    let (_place, file) = backed_up();
    let other = Place::empty();
    let wrong = Factor::KeyFile(KeyFile::new(vec![9; 40]).unwrap());
    let error = restore_with(&file, &other.dir(), &wrong, PLAIN, &other.witness()).unwrap_err();
    assert!(matches!(error, UnlockError::Wrong), "{error}");
    assert!(!Vault::exists(&other.dir()));
}

#[test]
fn a_backup_overwrites_nothing() {
    let (place, file) = backed_up();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    assert!(matches!(unlocked.backup(&file), Err(VaultError::FileExists { .. })));
    #[cfg(unix)]
    {
        let link = place.top.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(matches!(unlocked.backup(&link), Err(VaultError::FileExists { .. })));
    }
    assert!(unlocked.backup(&place.top.path().join("no/such/dir")).is_err());
}

#[test]
fn a_backup_of_a_vault_that_was_changed_by_others_is_not_called_done() {
    let (place, _) = backed_up();
    place.sql("UPDATE entry SET ciphertext = randomblob(18) WHERE version = 1");
    let file = place.top.path().join("second");
    let mut vault = place.open();
    assert!(matches!(unlock(&mut vault).backup(&file), Err(VaultError::EntryChanged { .. })));
    assert!(!file.exists());
    let hidden = std::fs::read_dir(place.top.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".envseal-backup"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn backups_are_taken_whole_while_others_write() {
    let place = Place::new();
    let mut vault = place.open();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = place.open();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                other.append(&run()).unwrap();
                unlock(&mut other).put(&name("A"), &value("a"), &[]).unwrap();
            }
        });
        let mut unlocked = unlock(&mut vault);
        for number in 0..5 {
            unlocked.backup(&place.top.path().join(format!("backup{number}"))).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(first_error(&place).is_none());
}
