//! Rows changed by somebody who has the file and not the key: each change is found and named.

mod support;

use envseal_vault::*;
use support::*;

/// A vault with two secrets (one of them with two versions), two grants and some log.
fn filled() -> Place {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a1"), &["a.example".into()]).unwrap();
    unlocked.put(&name("A"), &value("a2"), &["a.example".into()]).unwrap();
    unlocked.put(&name("B"), &value("b1"), &[]).unwrap();
    unlocked.add_grant(&grant("A", Some(3))).unwrap();
    unlocked.add_grant(&grant("B", None)).unwrap();
    drop(unlocked);
    drop(vault);
    assert!(first_error(&place).is_none());
    place
}

/// Demands that a run of `A` is refused as damage too, which looks at less than a full check.
fn run_refused(place: &Place) -> VaultError {
    let mut vault = place.open();
    let error = match vault.unlock(&factor()) {
        Ok(mut unlocked) => unlocked.begin_run(&run(), None, &[name("A")]).unwrap_err(),
        Err(UnlockError::Vault(error)) => error,
        Err(other) => panic!("{other}"),
    };
    assert!(error.is_damage(), "{error}");
    error
}

#[test]
fn a_changed_entry_is_named() {
    for change in [
        "ciphertext = randomblob(18)",
        "enc = randomblob(32)",
        "hosts = '[\"evil.example\"]'",
        "created = created + 1",
        "suite = 1",
        "item = randomblob(16)",
    ] {
        let place = filled();
        place.sql(&format!("UPDATE entry SET {change} WHERE name = 'A' AND version = 2"));
        let error = refused(&place);
        assert!(
            matches!(&error, VaultError::EntryChanged { name } if name.as_str() == "A"),
            "{change}: {error}"
        );
        assert!(matches!(run_refused(&place), VaultError::EntryChanged { .. }), "{change}");
    }
}

#[test]
fn swapped_removed_copied_and_rolled_back_versions_are_found() {
    for (change, what) in [
        ("DELETE FROM entry WHERE name = 'A' AND version = 2", "the newest version is gone"),
        ("DELETE FROM entry WHERE name = 'A'", "all versions are gone"),
        ("UPDATE entry SET version = 9 WHERE name = 'A' AND version = 2", "another number"),
        (
            "UPDATE entry SET version = 3 - version + 10 WHERE name = 'A'; \
             UPDATE entry SET version = version - 10 WHERE name = 'A'",
            "versions swapped",
        ),
        ("UPDATE entry SET mac = randomblob(32) WHERE name = 'A'", "another MAC"),
    ] {
        let place = filled();
        place.sql(change);
        let error = refused(&place);
        assert!(error.to_string().contains("secret A") || what == "all versions are gone", "{what}: {error}");
        run_refused(&place);
    }
}

#[test]
fn an_entry_under_another_name_is_found() {
    let place = filled();
    // B's value where A's is expected, with A's place in the tree.
    place.sql(
        "CREATE TEMP TABLE t AS SELECT item, suite, enc, mac, ciphertext FROM entry WHERE name = 'B'; \
         UPDATE entry SET (item, suite, enc, mac, ciphertext) = (SELECT * FROM t) WHERE name = 'A' AND version = 2",
    );
    assert!(matches!(refused(&place), VaultError::EntryChanged { .. }));
    let place = filled();
    place.sql("UPDATE entry SET name = 'C' WHERE name = 'B'");
    assert!(refused(&place).is_damage());
}

#[test]
fn a_row_that_was_put_back_after_a_removal_is_found() {
    let place = filled();
    let attacker = place.attacker();
    attacker
        .execute_batch("ATTACH ':memory:' AS kept; CREATE TABLE kept.entry AS SELECT * FROM main.entry")
        .unwrap();
    let mut vault = place.open();
    unlock(&mut vault).remove(&name("A")).unwrap();
    attacker.execute_batch("INSERT INTO main.entry SELECT * FROM kept.entry WHERE name = 'A'").unwrap();
    drop((attacker, vault));
    assert!(matches!(refused(&place), VaultError::EntriesMoved { name } if name == "A"));
    run_refused(&place);
}

#[test]
fn an_owners_change_does_not_launder_a_changed_place_in_the_tree() {
    for change in
        ["DELETE FROM entry WHERE name = 'A' AND version = 2", "UPDATE branch SET leaves = zeroblob(8192)"]
    {
        let place = filled();
        place.sql(change);
        let mut vault = place.open();
        let mut unlocked = unlock(&mut vault);
        for error in [
            unlocked.put(&name("A"), &value("x"), &[]).unwrap_err(),
            unlocked.rotate(&name("A"), &value("x")).unwrap_err(),
            unlocked.rename(&name("A"), &name("C")).unwrap_err(),
            unlocked.rename(&name("B"), &name("A")).unwrap_err(),
            unlocked.remove(&name("A")).unwrap_err(),
            unlocked.purge(&name("A")).unwrap_err(),
        ] {
            assert!(error.is_damage(), "{change}: {error}");
        }
        drop(unlocked);
        drop(vault);
        refused(&place);
    }
}

#[test]
fn grants_changed_removed_added_or_revived_are_named() {
    let place = filled();
    place.sql("UPDATE grants SET body = replace(body, '\"uses\":3', '\"uses\":9') WHERE id = 1");
    assert!(matches!(refused(&place), VaultError::GrantChanged { id: GrantId(1) }));

    for change in [
        "DELETE FROM grants WHERE id = 1",
        "INSERT INTO grants SELECT 7, mac, body FROM grants WHERE id = 1",
        "UPDATE grants SET id = 3 - id + 10; UPDATE grants SET id = id - 10",
    ] {
        let place = filled();
        place.sql(change);
        let error = refused(&place);
        assert!(
            matches!(error, VaultError::GrantsMoved | VaultError::GrantChanged { .. }),
            "{change}: {error}"
        );
        run_refused(&place);
    }
}

#[test]
fn a_revoked_grant_that_is_put_back_is_found() {
    let place = filled();
    let attacker = place.attacker();
    attacker
        .execute_batch("ATTACH ':memory:' AS kept; CREATE TABLE kept.g AS SELECT * FROM main.grants")
        .unwrap();
    let mut vault = place.open();
    unlock(&mut vault).revoke(GrantId(1)).unwrap();
    attacker.execute_batch("INSERT OR REPLACE INTO main.grants SELECT * FROM kept.g").unwrap();
    drop((attacker, vault));
    assert!(matches!(refused(&place), VaultError::GrantsMoved));
}

#[test]
fn a_counted_grant_does_not_get_its_uses_back() {
    let place = filled();
    let attacker = place.attacker();
    attacker
        .execute_batch("ATTACH ':memory:' AS kept; CREATE TABLE kept.g AS SELECT * FROM main.grants")
        .unwrap();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.begin_run(&run(), Some(GrantId(1)), &[name("A")]).unwrap();
    attacker.execute_batch("INSERT OR REPLACE INTO main.grants SELECT * FROM kept.g").unwrap();
    assert!(matches!(
        unlocked.begin_run(&run(), Some(GrantId(1)), &[name("A")]),
        Err(VaultError::GrantsMoved)
    ));
}

#[test]
fn the_manifest_and_the_vaults_keys_are_under_their_mac() {
    for (change, expected) in [
        ("UPDATE manifest SET counter = counter + 1", "manifest"),
        ("UPDATE manifest SET next_grant = 1", "manifest"),
        ("UPDATE manifest SET place = zeroblob(32)", "manifest"),
        ("UPDATE manifest SET log_sequence = 1", "manifest"),
        ("UPDATE manifest SET mac = zeroblob(32)", "manifest"),
        ("UPDATE manifest SET branches = zeroblob(8192)", "manifest"),
        ("DELETE FROM manifest", "manifest"),
        ("UPDATE vault SET public_key = randomblob(32)", "public key"),
        ("UPDATE vault SET private_key = randomblob(72)", "public key"),
        ("UPDATE vault SET log_origin = randomblob(72)", "manifest"),
        ("DELETE FROM vault", "no rows"),
        ("DELETE FROM branch", "table of secrets"),
        ("UPDATE branch SET leaves = zeroblob(8192)", "table of secrets"),
        ("UPDATE vault SET id = randomblob(16)", "slot"),
    ] {
        let place = filled();
        place.sql(change);
        let error = refused(&place);
        assert!(error.to_string().contains(expected), "{change}: {error}");
    }
}

#[test]
fn a_value_is_not_sealed_to_a_replaced_public_key() {
    let place = filled();
    place.sql("UPDATE vault SET public_key = randomblob(32)");
    let mut vault = place.open();
    assert!(matches!(vault.store(&name("X"), &value("x"), &[]), Err(VaultError::PublicKey)));
    assert!(vault.inbox().unwrap().is_empty());
}

#[test]
fn an_inbox_item_opens_only_under_the_name_it_was_stored_for() {
    for change in
        ["name = 'B'", "hosts = '[\"evil\"]'", "ciphertext = randomblob(40)", "item = randomblob(16)"]
    {
        let place = filled();
        let mut vault = place.open();
        vault.store(&name("NEW"), &value("n"), &[]).unwrap();
        place.sql(&format!("UPDATE inbox SET {change}"));
        let waiting = vault.inbox().unwrap()[0].name.clone();
        let error = unlock(&mut vault).accept(&[waiting]).unwrap_err();
        assert!(matches!(error, VaultError::InboxUnreadable { .. }), "{change}: {error}");
    }
}

#[test]
fn a_removed_passphrase_slot_does_not_make_the_key_file_the_owners() {
    let place = Place::empty();
    let new = NewVault {
        passphrase: Some("correct horse".into()),
        recovery: true,
        keyfile: Some(key()),
        kdf: KdfTarget::Floor,
    };
    drop(Vault::create_with(&place.dir(), new, place.witness()).unwrap());
    assert!(!unlock(&mut place.open()).is_owner());
    place.sql("DELETE FROM slot WHERE kind = 'passphrase'");
    assert!(matches!(refused(&place), VaultError::SlotsChanged));
    // Nor does taking the state as it is, on the key file's word.
    let error = place.open().accept_state(&factor()).unwrap_err();
    assert!(matches!(error, UnlockError::Vault(VaultError::NeedsOwner)), "{error}");
}

#[test]
fn added_or_exchanged_slots_are_found() {
    let (place, other) = (filled(), filled());
    let attacker = place.attacker();
    let attach = format!("ATTACH '{}' AS other", other.file("vault.db").display());
    attacker.execute_batch(&attach).unwrap();
    attacker.execute_batch("INSERT INTO main.slot SELECT 2, kind, label, created, parameters, salt, wrapped, checksum FROM other.slot").unwrap();
    drop(attacker);
    assert!(matches!(refused(&place), VaultError::SlotDamaged { .. }));
    let place = filled();
    place.sql(
        "INSERT INTO slot SELECT 2, kind, label, created, parameters, salt, wrapped, checksum FROM slot",
    );
    assert!(refused(&place).is_damage());
}

#[test]
fn added_triggers_views_tables_and_changed_definitions_are_refused() {
    for change in [
        "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM grants; END",
        "CREATE VIEW v AS SELECT * FROM entry",
        "CREATE TABLE more (x)",
        "CREATE INDEX i ON audit (time)",
        "DROP INDEX inbox_name",
        "ALTER TABLE inbox ADD COLUMN more TEXT",
        "DROP TABLE inbox; CREATE VIEW inbox AS SELECT 1",
    ] {
        let place = filled();
        place.sql(change);
        assert!(matches!(refused(&place), VaultError::Schema { .. }), "{change}");
    }
}

#[test]
fn a_trigger_added_while_the_vault_is_open_never_fires() {
    let place = filled();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    place.sql("CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM grants; END");
    assert!(matches!(unlocked.put(&name("X"), &value("x"), &[]), Err(VaultError::Schema { .. })));
    place.sql("DROP TRIGGER t");
    unlocked.put(&name("X"), &value("x"), &[]).unwrap();
    assert_eq!(unlocked.grants().unwrap().len(), 2);
}

#[test]
fn an_older_copy_is_refused_and_the_owner_can_take_it() {
    let place = filled();
    let older = std::fs::read(place.file("vault.db")).unwrap();
    let older_key = std::fs::read(place.file("audit.key")).unwrap();
    let mut vault = place.open();
    unlock(&mut vault).revoke(GrantId(1)).unwrap();
    drop(vault);
    std::fs::write(place.file("vault.db"), older).unwrap();
    assert!(matches!(refused(&place), VaultError::RolledBack { .. }));
    std::fs::write(place.file("audit.key"), older_key).unwrap();
    assert!(matches!(refused(&place), VaultError::RolledBack { .. }));

    assert_eq!(place.open().accept_state(&factor()).unwrap(), 2, "every grant is withdrawn");
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    assert!(unlocked.grants().unwrap().is_empty());
    assert_eq!(value_of(&mut unlocked, "A"), b"a2");
    unlocked.verify().unwrap();
    assert_eq!(unlocked.audit_last(2).unwrap()[0].event.kind, EventKind::AcceptState);
}

#[test]
fn an_older_copy_with_its_notes_removed_is_refused_where_it_was_used_last() {
    let place = filled();
    for dir in ["state", "run"] {
        std::fs::remove_dir_all(place.top.path().join(dir)).unwrap();
    }
    assert!(matches!(refused(&place), VaultError::WitnessMissing));
    place.open().accept_state(&factor()).unwrap();
    assert!(first_error(&place).is_none());
}

#[test]
fn a_note_that_was_flipped_counts_as_missing() {
    let place = filled();
    for dir in ["state", "run"] {
        for entry in std::fs::read_dir(place.top.path().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "witness") {
                continue;
            }
            let mut note = std::fs::read(&path).unwrap();
            note[30] ^= 1;
            std::fs::write(path, note).unwrap();
        }
    }
    assert!(matches!(refused(&place), VaultError::WitnessMissing));
}

#[test]
fn the_runtime_note_alone_still_tells_an_older_copy() {
    let place = filled();
    let older = std::fs::read(place.file("vault.db")).unwrap();
    let mut vault = place.open();
    unlock(&mut vault).revoke(GrantId(1)).unwrap();
    drop(vault);
    std::fs::write(place.file("vault.db"), older).unwrap();
    std::fs::remove_dir_all(place.top.path().join("state")).unwrap();
    assert!(matches!(refused(&place), VaultError::RolledBack { .. }));
}

#[test]
fn a_vault_that_was_moved_opens_with_a_notice_and_is_at_home_from_then_on() {
    let place = filled();
    let moved = Place::empty();
    std::fs::rename(place.dir(), moved.dir()).unwrap();
    let mut vault = moved.open();
    let notices = |vault: &mut Vault| unlock(vault).notices().len();
    assert_eq!((notices(&mut vault), notices(&mut vault)), (1, 0));
    std::fs::remove_dir_all(moved.top.path().join("state")).unwrap();
    std::fs::remove_dir_all(moved.top.path().join("run")).unwrap();
    assert!(matches!(vault.unlock(&factor()), Err(UnlockError::Vault(VaultError::WitnessMissing))));
}

#[test]
fn an_environment_without_a_state_directory_does_not_end_the_protection_of_the_one_with_it() {
    let place = filled();
    let older = std::fs::read(place.file("vault.db")).unwrap();
    let older_key = std::fs::read(place.file("audit.key")).unwrap();
    let mut vault = Vault::open_with(&place.dir(), Witness::none()).unwrap();
    unlock(&mut vault).put(&name("A"), &value("x"), &[]).unwrap();
    drop(vault);
    assert!(first_error(&place).is_none());
    std::fs::write(place.file("vault.db"), older).unwrap();
    std::fs::write(place.file("audit.key"), older_key).unwrap();
    std::fs::remove_dir_all(place.top.path().join("state")).unwrap();
    std::fs::remove_dir_all(place.top.path().join("run")).unwrap();
    assert!(matches!(refused(&place), VaultError::WitnessMissing));
}

#[test]
fn a_manifest_put_back_under_an_open_vault_is_refused() {
    let place = filled();
    let attacker = place.attacker();
    let kept = "ATTACH ':memory:' AS kept; CREATE TABLE kept.m AS SELECT * FROM main.manifest; \
                CREATE TABLE kept.g AS SELECT * FROM main.grants";
    attacker.execute_batch(kept).unwrap();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.revoke(GrantId(1)).unwrap();
    let back = "DELETE FROM main.grants; INSERT INTO main.grants SELECT * FROM kept.g; \
                DELETE FROM main.manifest; INSERT INTO main.manifest SELECT * FROM kept.m";
    attacker.execute_batch(back).unwrap();
    let error = unlocked.begin_run(&run(), Some(GrantId(1)), &[name("A")]).unwrap_err();
    assert!(matches!(error, VaultError::RolledBack { .. }), "{error}");
    assert!(unlocked.grants().is_err());
}

#[cfg(unix)]
#[test]
fn a_file_replaced_under_an_open_vault_is_not_written() {
    let place = filled();
    let mut vault = place.open();
    let copy = std::fs::read(place.file("vault.db")).unwrap();
    std::fs::remove_file(place.file("vault.db")).unwrap();
    std::fs::write(place.file("vault.db"), copy).unwrap();
    make_private(&place.file("vault.db"));
    assert!(matches!(vault.append(&run()), Err(VaultError::Replaced)));
}

/// The system does not let it come to that.
#[cfg(windows)]
#[test]
fn a_file_under_an_open_vault_cannot_be_replaced_or_moved_away() {
    let place = filled();
    let mut vault = place.open();
    let (file, other) = (place.file("vault.db"), place.file("other"));
    std::fs::copy(&file, &other).unwrap();
    assert!(std::fs::remove_file(&file).is_err());
    assert!(std::fs::rename(&file, place.file("moved")).is_err());
    assert!(std::fs::rename(&other, &file).is_err());
    vault.append(&run()).unwrap();
}
