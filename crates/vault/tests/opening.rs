//! What opens the vault, what does not, and what is said about it.

mod support;

use envseal_vault::*;
use support::*;

/// A vault with a passphrase, a recovery code and a key file.
fn made() -> (Place, RecoveryCode) {
    let place = Place::empty();
    let new = NewVault {
        passphrase: Some("correct horse".into()),
        recovery: true,
        keyfile: Some(key()),
        kdf: KdfTarget::Floor,
    };
    let created = Vault::create_with(&place.dir(), new, place.witness()).unwrap();
    (place, created.recovery.unwrap())
}

fn passphrase(text: &str) -> Factor {
    Factor::Passphrase(text.into())
}

fn last_event(vault: &Vault) -> Event {
    vault.audit_last(1).unwrap().remove(0).event
}

#[test]
fn each_factor_opens_and_only_passphrase_and_recovery_code_are_the_owners() {
    let (place, code) = made();
    let mut vault = place.open();
    let typed = code.expose().to_lowercase().replace('-', " ").parse().unwrap();
    for (factor, owner) in
        [(passphrase("correct horse"), true), (Factor::Recovery(typed), true), (factor(), false)]
    {
        assert_eq!(vault.unlock(&factor).unwrap().is_owner(), owner);
    }
    let kinds: Vec<_> = vault.slots().unwrap().iter().map(|slot| (slot.kind, slot.cost())).collect();
    assert_eq!(kinds.len(), 3);
    assert_eq!(kinds[0], (SlotKind::Passphrase, "argon2id 64 MiB, 3 passes, 4 lanes".into()));
}

#[test]
fn what_is_wrong_is_said_in_the_same_words_counted_and_written_down() {
    let (place, _) = made();
    let mut vault = place.open();
    let other_code = Vault::create_with(
        &Place::empty().dir(),
        NewVault { passphrase: None, recovery: true, keyfile: None, kdf: KdfTarget::Floor },
        Witness::none(),
    );
    let other_code = other_code.unwrap().recovery.unwrap();
    let wrong = [
        passphrase("wrong"),
        passphrase(""),
        Factor::Recovery(other_code),
        Factor::KeyFile(KeyFile::new(vec![1; 32]).unwrap()),
    ];
    let mut said = std::collections::BTreeSet::new();
    for (count, factor) in (1..).zip(&wrong) {
        let error = vault.unlock(factor).unwrap_err();
        assert!(matches!(error, UnlockError::Wrong));
        said.insert(error.to_string());
        assert_eq!(vault.failed_unlocks().unwrap(), count);
        assert_eq!(last_event(&vault).kind, EventKind::UnlockFailed);
        assert_eq!(place.open().failed_unlocks().unwrap(), count, "the count is on disk");
    }
    assert_eq!(said.len(), 1);
    assert_eq!(vault.unlock(&factor()).unwrap().last_failures(), 4);
    assert_eq!((vault.failed_unlocks().unwrap(), vault.unlock(&factor()).unwrap().last_failures()), (0, 0));
}

#[test]
fn a_key_file_beside_a_passphrase_may_use_and_not_change() {
    let (place, _) = made();
    let mut vault = place.open();
    let mut owner = vault.unlock(&passphrase("correct horse")).unwrap();
    owner.put(&name("A"), &value("a"), &[]).unwrap();
    let allow = owner.add_grant(&grant("A", None)).unwrap();
    let deny = owner.add_grant(&Grant { effect: Effect::Deny, ..grant("A", None) }).unwrap();
    drop(owner);
    vault.store(&name("B"), &value("b"), &[]).unwrap();

    let mut user = vault.unlock(&factor()).unwrap();
    user.begin_run(&run(), Some(allow), &[name("A")]).unwrap();
    user.verify().unwrap();
    user.backup(&place.top.path().join("backup")).unwrap();
    let a = name("A");
    let refused: Vec<VaultError> = vec![
        user.put(&a, &value("x"), &[]).unwrap_err(),
        user.accept(&[name("B")]).unwrap_err(),
        user.reject(&[name("B")]).unwrap_err(),
        user.remove(&a).unwrap_err(),
        user.rename(&a, &name("C")).unwrap_err(),
        user.rotate(&a, &value("x")).unwrap_err(),
        user.purge(&a).unwrap_err(),
        user.add_grant(&grant("A", None)).unwrap_err(),
        user.revoke(deny).unwrap_err(),
        user.add_slot(NewSlot::Recovery, "x").unwrap_err(),
        user.remove_slot(SlotId(1)).unwrap_err(),
        user.change_passphrase(&"other".into()).unwrap_err(),
        user.repair_audit_key().unwrap_err(),
    ];
    assert!(refused.iter().all(|error| matches!(error, VaultError::NeedsOwner)), "{refused:?}");
    assert_eq!(user.revoke_all().unwrap(), 1, "narrowing is anyone's who may use");
    assert_eq!(user.grants().unwrap().len(), 1);
}

#[test]
fn a_new_passphrase_replaces_the_old_one() {
    let (place, code) = made();
    let mut vault = place.open();
    let mut unlocked = vault.unlock(&Factor::Recovery(code)).unwrap();
    unlocked.put(&name("A"), &value("a"), &[]).unwrap();
    unlocked.change_passphrase_costing(&"battery staple".into(), KdfTarget::Floor).unwrap();
    drop(unlocked);
    assert!(matches!(vault.unlock(&passphrase("correct horse")), Err(UnlockError::Wrong)));
    let mut unlocked = vault.unlock(&passphrase("battery staple")).unwrap();
    assert_eq!(value_of(&mut unlocked, "A"), b"a");
    unlocked.verify().unwrap();
}

#[test]
fn the_last_slot_of_the_owner_stays() {
    let (place, _) = made();
    let mut vault = place.open();
    let mut owner = vault.unlock(&passphrase("correct horse")).unwrap();
    let (id, code) = owner.add_slot(NewSlot::Recovery, "in the safe").unwrap();
    assert!(code.is_some());
    assert!(matches!(owner.remove_slot(SlotId(99)), Err(VaultError::NoSuchSlot(_))));
    // Without a passphrase the key file would become the owner's.
    assert!(matches!(owner.remove_slot(SlotId(1)), Err(VaultError::LastOwnerSlot(_))));
    owner.remove_slot(id).unwrap();
    owner.remove_slot(SlotId(2)).unwrap();
    owner.remove_slot(SlotId(3)).unwrap();
    assert!(matches!(owner.remove_slot(SlotId(1)), Err(VaultError::LastOwnerSlot(SlotId(1)))));
    assert_ne!(owner.add_slot(NewSlot::Recovery, "").unwrap().0, id, "a number is never given twice");
    drop(owner);
    // What no slot is for is no guess.
    let error = vault.unlock(&factor()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this vault has no key slot of the kind keyfile: it is opened by passphrase, recovery"
    );
    assert_eq!(vault.failed_unlocks().unwrap(), 0);
    assert_ne!(last_event(&vault).kind, EventKind::UnlockFailed);
}

#[test]
fn a_proof_is_of_one_vault_only() {
    let (a, b) = (Place::new(), Place::new());
    let proof = a.open().prove(&factor()).unwrap();
    assert!(b.open().unlock_with(proof).is_err());
}

#[test]
fn a_clock_before_1970_is_no_panic() {
    // The stored times may be anything; what is listed is what is stored.
    let place = Place::new();
    place.sql("UPDATE audit SET time = -5000 WHERE sequence = 1");
    assert_eq!(place.open().last_time().unwrap(), Some(0));
    assert_eq!(place.open().audit(1, 1).unwrap()[0].time, -5000);
}
