//! Key slots of a Windows user: what they open, for whom, and that they never make an owner without a passphrase.
#![cfg(windows)]
#![allow(clippy::print_stdout, reason = "what a system cannot do is said")]

mod support;

use envseal_vault::*;
use support::children::*;
use support::*;

/// A vault that is opened by a passphrase or a key file.
fn made() -> Place {
    let place = Place::empty();
    let new = NewVault {
        passphrase: Some("correct horse".into()),
        recovery: false,
        keyfile: Some(key()),
        kdf: KdfTarget::Floor,
    };
    Vault::create_with(&place.dir(), new, place.witness()).unwrap();
    let mut vault = place.open();
    vault.unlock(&owner()).unwrap().put(&name("A"), &value("a"), &[]).unwrap();
    place
}

fn owner() -> Factor {
    Factor::Passphrase("correct horse".into())
}

fn with(passphrase: &str) -> Factor {
    Factor::Dpapi(passphrase.into())
}

fn add(place: &Place, passphrase: &str) -> Result<SlotId, VaultError> {
    let mut vault = place.open();
    let mut unlocked = vault.unlock(&if passphrase_slots(place) { owner() } else { factor() }).unwrap();
    let new = NewSlot::Dpapi(passphrase.into());
    unlocked.add_slot_costing(new, "this machine", KdfTarget::Floor).map(|(id, _)| id)
}

fn passphrase_slots(place: &Place) -> bool {
    place.open().slots().unwrap().iter().any(|slot| slot.kind == SlotKind::Passphrase)
}

fn opens(place: &Place, factor: &Factor) -> bool {
    place.open().unlock(factor).is_ok()
}

#[test]
fn a_slot_without_a_passphrase_cannot_be_made() {
    let place = made();
    assert!(matches!(add(&place, ""), Err(VaultError::EmptyPassphrase)));
    assert!(place.open().slots().unwrap().iter().all(|slot| slot.kind != SlotKind::DpapiPassphrase));
}

#[test]
fn only_a_wrong_passphrase_is_counted_and_not_what_no_slot_is_for() {
    let place = made();
    let mut vault = place.open();
    assert!(matches!(vault.unlock(&with("second")), Err(UnlockError::NoSlot { .. })));
    assert_eq!(vault.failed_unlocks().unwrap(), 0);
    add(&place, "second").unwrap();
    for wrong in ["correct horse", ""] {
        assert!(matches!(vault.unlock(&with(wrong)), Err(UnlockError::Wrong)), "{wrong}");
    }
    assert_eq!(vault.failed_unlocks().unwrap(), 2);
    vault.unlock(&with("second")).unwrap();
}

#[test]
fn with_a_passphrase_both_are_needed_and_the_owner_is_there() {
    let place = made();
    let id = add(&place, "second").unwrap();
    let slot = place.open().slots().unwrap().pop().unwrap();
    assert_eq!((slot.id, slot.kind), (id, SlotKind::DpapiPassphrase));
    assert_eq!(slot.cost(), "dpapi, argon2id 64 MiB, 3 passes, 4 lanes");
    assert!(place.open().unlock(&with("second")).unwrap().is_owner());
    for wrong in [with("correct horse"), with(""), Factor::Passphrase("second".into())] {
        assert!(matches!(place.open().unlock(&wrong), Err(UnlockError::Wrong)), "{wrong:?}");
    }
}

#[test]
fn what_is_lost_with_the_machine_is_never_the_owners_only_way_in() {
    // The key file is this vault's owner, until somebody types a passphrase.
    let place = Place::new();
    assert!(matches!(add(&place, "second"), Err(VaultError::OnlyOfMachine)));

    let place = made();
    add(&place, "second").unwrap();
    let mut vault = place.open();
    let mut owner = vault.unlock(&with("second")).unwrap();
    assert!(matches!(owner.remove_slot(SlotId(1)), Err(VaultError::LastOwnerSlot(SlotId(1)))));
    // Without any passphrase the key file would become the owner's.
    owner.add_slot(NewSlot::Recovery, "").unwrap();
    owner.remove_slot(SlotId(1)).unwrap();
    assert!(matches!(owner.remove_slot(SlotId(3)), Err(VaultError::LastOwnerSlot(SlotId(3)))));
    drop(owner);
    assert!(!vault.unlock(&factor()).unwrap().is_owner());
}

#[test]
fn a_new_passphrase_replaces_the_old_one_in_both_kinds_of_slot() {
    let place = made();
    add(&place, "correct horse").unwrap();
    let mut vault = place.open();
    let mut unlocked = vault.unlock(&with("correct horse")).unwrap();
    unlocked.change_passphrase_costing(&"battery staple".into(), KdfTarget::Floor).unwrap();
    drop(unlocked);
    drop(vault);
    for (factor, opened) in [
        (owner(), false),
        (with("correct horse"), false),
        (Factor::Passphrase("battery staple".into()), true),
        (with("battery staple"), true),
    ] {
        assert_eq!(opens(&place, &factor), opened, "{factor:?}");
    }
}

#[test]
fn a_slot_of_another_vault_opens_nothing() {
    let (a, b) = (made(), made());
    add(&a, "second").unwrap();
    add(&b, "second").unwrap();
    let copy = "UPDATE slot SET (parameters, salt, wrapped, checksum) = \
                (SELECT parameters, salt, wrapped, checksum FROM other.slot WHERE kind LIKE 'dpapi%') WHERE kind LIKE 'dpapi%'";
    let attacker = a.attacker();
    attacker.execute("ATTACH ?1 AS other", [b.file("vault.db").to_str().unwrap()]).unwrap();
    attacker.execute_batch(copy).unwrap();
    drop(attacker);
    assert!(matches!(
        a.open().unlock(&with("second")),
        Err(UnlockError::Vault(VaultError::SlotDamaged { .. }))
    ));
}

#[test]
fn a_backup_is_restored_by_the_same_user_with_the_passphrase() {
    let place = made();
    add(&place, "second").unwrap();
    let file = place.top.path().join("backup");
    place.open().unlock(&factor()).unwrap().backup(&file).unwrap();
    let other = Place::empty();
    let restored = |factor: &Factor| {
        restore_with(&file, &other.dir(), factor, RestoreOptions::default(), &other.witness()).map(|_| ())
    };
    assert!(matches!(restored(&with("third")), Err(UnlockError::Wrong)));
    assert!(matches!(restored(&factor()), Err(UnlockError::Vault(VaultError::NeedsOwner))));
    restored(&with("second")).unwrap();
}

#[test]
#[ignore = "run as another user by another_user_opens_nothing"]
fn child_of_another_user() {
    let mut vault = open_child();
    let told = [with("second"), with("wrong"), owner()].map(|factor| match vault.unlock(&factor) {
        Ok(_) => "open",
        Err(UnlockError::Wrong) => "wrong",
        Err(UnlockError::NotThisUser) => "not this user",
        Err(error) => panic!("{error}"),
    });
    let counted = vault.audit_last(10).unwrap();
    let counted = counted.iter().filter(|row| row.event.kind == EventKind::UnlockFailed).count();
    let told = format!("{}, {counted} counted", told.join(", "));
    let result = top().join(std::env::var("VAULT_TEST_RESULT").unwrap());
    std::fs::write(result.with_extension("new"), told).unwrap();
    std::fs::rename(result.with_extension("new"), result).unwrap();
}

/// Wine derives DPAPI's key from the name of the user, which it takes from `USER` when it starts; Windows from the
/// user's password and profile. So this shows that the slot rests on DPAPI's answer; that DPAPI tells users apart is
/// Windows' word. Wine starts programs of the system beneath it, and so itself anew, but gives no handle of them.
#[test]
fn another_user_opens_nothing() {
    let Ok(wine) = std::env::var("WINELOADER") else {
        println!("SKIPPED: only Wine lets a test run as another user");
        return;
    };
    let place = made();
    add(&place, "second").unwrap();
    let opened_as = |name: &str| {
        let mut command = std::process::Command::new(r"\\?\unix\usr\bin\env");
        command.arg(format!("USER={name}")).arg(&wine).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "child_of_another_user", "--ignored"]);
        let _ = command.env("VAULT_TEST_TOP", place.top.path()).env("VAULT_TEST_RESULT", name).spawn();
        let result = place.top.path().join(name);
        let waits = (0..600).take_while(|_| !result.exists());
        waits.for_each(|_| std::thread::sleep(std::time::Duration::from_millis(100)));
        std::fs::read_to_string(&result).unwrap_or_else(|error| panic!("as {name}: {error}"))
    };
    assert_eq!(opened_as("somebody"), "not this user, not this user, open, 0 counted");
    assert_eq!(opened_as(&std::env::var("USERNAME").unwrap()), "open, wrong, open, 1 counted");
}

/// The slot of this user in a backup that was restored elsewhere: the passphrase is changed without it, and it stands.
#[test]
fn a_slot_that_was_not_proven_stands_with_its_own_passphrase() {
    let place = made();
    let id = add(&place, "second").unwrap();
    let mut vault = place.open();
    let mut unlocked = vault.unlock(&owner()).unwrap();
    let changed = unlocked.change_passphrase_costing(&"battery staple".into(), KdfTarget::Floor).unwrap();
    assert_eq!(changed.standing.iter().map(|slot| slot.id).collect::<Vec<_>>(), [id]);
    drop(unlocked);
    for (factor, opened) in
        [(owner(), false), (Factor::Passphrase("battery staple".into()), true), (with("second"), true)]
    {
        assert_eq!(vault.unlock(&factor).is_ok(), opened, "{factor:?}");
    }
    // Proven, it is changed, and keeps its name; another one of the same user that was not does not.
    let mut unlocked = vault.unlock(&with("second")).unwrap();
    unlocked.add_slot_costing(NewSlot::Dpapi("third".into()), "also", KdfTarget::Floor).unwrap();
    let changed = unlocked.change_passphrase_costing(&"fourth".into(), KdfTarget::Floor).unwrap();
    assert_eq!(changed.standing.iter().map(|slot| slot.label.as_str()).collect::<Vec<_>>(), ["also"]);
    drop(unlocked);
    let labels: Vec<_> = vault.slots().unwrap().into_iter().map(|slot| slot.label).collect();
    assert!(labels.contains(&"this machine".to_owned()), "{labels:?}");
    for (factor, opened) in [(with("second"), false), (with("third"), true), (with("fourth"), true)] {
        assert_eq!(vault.unlock(&factor).is_ok(), opened, "{factor:?}");
    }
}

#[test]
fn where_only_slots_of_machines_have_a_passphrase_the_way_on_is_said() {
    let place = made();
    add(&place, "second").unwrap();
    let mut vault = place.open();
    let mut unlocked = vault.unlock(&with("second")).unwrap();
    let (_, code) = unlocked.add_slot(NewSlot::Recovery, "").unwrap();
    unlocked.remove_slot(SlotId(1)).unwrap();
    drop(unlocked);
    let mut unlocked = vault.unlock(&Factor::Recovery(code.unwrap())).unwrap();
    let refused = unlocked.change_passphrase_costing(&"x".into(), KdfTarget::Floor).unwrap_err();
    assert!(matches!(&refused, VaultError::PassphraseOfMachine { slots } if slots == "3"), "{refused}");
    assert!(vault.unlock(&with("second")).is_ok());
}
