//! The log: what was written stays as it was, or the first changed row is named with what was done to it.

mod support;

use envseal_vault::*;
use support::*;

/// A vault whose log has `rows` rows, all but the first few of them after the manifest's recorded head.
fn logged(rows: u64) -> Place {
    let place = Place::new();
    let mut vault = place.open();
    for number in 2..=rows {
        let mut event = Event::new(EventKind::Refuse);
        event.note = Some(format!("row {number}"));
        assert_eq!(vault.append(&event).unwrap(), number);
    }
    place
}

/// The same, with the manifest's recorded head at the last row.
fn bound(rows: u64) -> Place {
    let place = logged(rows - 1);
    let mut vault = place.open();
    unlock(&mut vault).add_grant(&grant("A", None)).unwrap();
    drop(vault);
    place
}

fn first_bad(place: &Place) -> Option<(u64, String)> {
    let mut vault = place.open();
    unlock(&mut vault).verify_audit().unwrap().first_bad
}

const COPY: &str = "CREATE TEMP TABLE t AS SELECT * FROM audit; ";

#[test]
fn every_kind_of_change_is_named_with_its_first_row() {
    let cases = [
        ("UPDATE audit SET event = replace(event, 'row 5', 'row X') WHERE sequence = 5", 5, "edit"),
        ("UPDATE audit SET time = time + 1 WHERE sequence = 7", 7, "edit"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE sequence = 3", 3, "edit"),
        ("UPDATE audit SET mac = zeroblob(32) WHERE sequence = 3", 3, "edit"),
        ("UPDATE audit SET previous = zeroblob(32) WHERE sequence = 3", 3, "edit"),
        ("UPDATE audit SET event = 'x' WHERE sequence = 9", 9, "edit"),
        ("DELETE FROM audit WHERE sequence = 4", 4, "removal"),
        ("DELETE FROM audit WHERE sequence = 1", 1, "removal"),
        (
            "DELETE FROM audit WHERE sequence = 4; UPDATE audit SET sequence = sequence + 100 WHERE sequence > 4; \
             UPDATE audit SET sequence = sequence - 101 WHERE sequence > 100",
            4,
            "removal",
        ),
        (
            "UPDATE audit SET sequence = 1004 WHERE sequence = 4; UPDATE audit SET sequence = 4 WHERE sequence = 6; \
             UPDATE audit SET sequence = 6 WHERE sequence = 1004",
            4,
            "reorder",
        ),
        (
            "UPDATE audit SET sequence = sequence + 100 WHERE sequence >= 4; \
             UPDATE audit SET sequence = sequence - 99 WHERE sequence > 100; \
             INSERT INTO audit SELECT 4, time, event, previous, hash, mac FROM t WHERE sequence = 3",
            4,
            "insertion",
        ),
        (
            "INSERT INTO audit SELECT 13, time, event, previous, hash, mac FROM t WHERE sequence = 12",
            13,
            "insertion",
        ),
        ("DELETE FROM audit WHERE sequence > 9", 10, "truncation"),
        ("DELETE FROM audit WHERE sequence = 12", 12, "truncation"),
        ("DELETE FROM audit", 1, "truncation"),
    ];
    for make in [logged, bound] {
        for (change, row, what) in cases {
            let place = make(12);
            assert_eq!(first_bad(&place), None);
            place.sql(&format!("{COPY}{change}"));
            assert_eq!(first_bad(&place), Some((row, what.to_owned())), "{change}");
            let error = refused(&place);
            assert!(matches!(error, VaultError::LogChanged { row: r, .. } if r == row), "{change}: {error}");
        }
    }
}

#[test]
fn a_changed_tail_stops_runs_and_changes_until_the_owner_takes_it() {
    let place = logged(12);
    unlock(&mut place.open()).put(&name("A"), &value("a"), &[]).unwrap();
    place.open().append(&run()).unwrap();
    place.sql("UPDATE audit SET event = replace(event, 'run', 'exit') WHERE sequence = 14");
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    assert!(unlocked.notices()[0].contains("row 14"), "{:?}", unlocked.notices());
    assert!(matches!(
        unlocked.begin_run(&run(), None, &[name("A")]),
        Err(VaultError::LogChanged { row: 14, .. })
    ));
    assert!(matches!(
        unlocked.put(&name("A"), &value("b"), &[]),
        Err(VaultError::LogChanged { row: 14, .. })
    ));
    drop(unlocked);
    vault.accept_state(&factor()).unwrap();
    let mut unlocked = unlock(&mut vault);
    assert_eq!(value_of(&mut unlocked, "A"), b"a");
    // What was done is not forgotten by that.
    assert_eq!(unlocked.verify_audit().unwrap().first_bad, Some((14, "edit".into())));
    let rows = unlocked.audit_last(2).unwrap();
    assert!(rows[0].event.note.as_deref().is_some_and(|note| note.contains("row 14")));
}

#[test]
fn a_truncated_log_takes_no_more_rows_from_a_locked_vault() {
    let place = logged(12);
    place.sql("DELETE FROM audit WHERE sequence > 9");
    let error = place.open().append(&run()).unwrap_err();
    assert!(matches!(error, VaultError::LogChanged { row: 10, .. }), "{error}");
    let error = place.open().store(&name("A"), &value("a"), &[]).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(place.open().inbox().unwrap().is_empty());
}

#[test]
fn a_panic_row_that_was_taken_out_does_not_save_the_grants() {
    let place = logged(3);
    let mut vault = place.open();
    let id = unlock(&mut vault).add_grant(&grant("A", None)).unwrap();
    vault.panic().unwrap();
    place.sql("DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)");
    let mut unlocked = unlock(&mut vault);
    let error = unlocked.begin_run(&run(), Some(id), &[]).unwrap_err();
    assert!(matches!(error, VaultError::LogChanged { .. }), "{error}");
}

/// The key file's key, as a thief reads it: magic, vault id, sequence, key, checksum.
fn stolen(place: &Place) -> (u64, [u8; 32]) {
    let bytes = std::fs::read(place.file("audit.key")).unwrap();
    (u64::from_be_bytes(bytes[24..32].try_into().unwrap()), bytes[32..64].try_into().unwrap())
}

#[test]
fn a_thief_of_the_current_key_cannot_rewrite_the_past() {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest as _, Sha256};

    let transcript = |label: &str, fields: &[&[u8]]| {
        let mut bytes = Vec::new();
        for field in [b"envseal/1".as_slice(), label.as_bytes()].iter().chain(fields) {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    };
    let forge = |place: &Place, row: u64, with: &[u8; 32]| {
        let attacker = place.attacker();
        let id: Vec<u8> = attacker.query_row("SELECT id FROM vault", (), |r| r.get(0)).unwrap();
        let previous: Vec<u8> = attacker
            .query_row("SELECT hash FROM audit WHERE sequence = ?1", [row as i64 - 1], |r| r.get(0))
            .unwrap();
        let event = r#"{"kind":"exit"}"#;
        let fields: [&[u8]; 5] = [&id, &row.to_be_bytes(), &7i64.to_be_bytes(), event.as_bytes(), &previous];
        let hash = Sha256::digest(transcript("log row", &fields)).to_vec();
        let mut mac = Hmac::<Sha256>::new_from_slice(with).unwrap();
        mac.update(&transcript("log row mac", &[&hash]));
        let mac = mac.finalize().into_bytes().to_vec();
        attacker
            .execute(
                "INSERT OR REPLACE INTO audit VALUES (?1, 7, ?2, ?3, ?4, ?5)",
                (row as i64, event, previous, hash, mac),
            )
            .unwrap();
    };

    // The forgery itself is right: with the key of the next row, a next row can be made. That is the limit.
    let place = logged(12);
    let (next, key) = stolen(&place);
    assert_eq!(next, 13);
    forge(&place, 13, &key);
    assert_eq!(first_bad(&place), None);

    for row in 2..=12 {
        let place = logged(12);
        let (_, key) = stolen(&place);
        forge(&place, row, &key);
        assert_eq!(first_bad(&place), Some((row, "edit".into())));
    }
}

#[test]
fn old_keys_of_the_log_are_nowhere_in_the_files() {
    let place = logged(2);
    let (_, old) = stolen(&place);
    let mut vault = place.open();
    vault.append(&run()).unwrap();
    for entry in std::fs::read_dir(place.dir()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(32).any(|window| window == old), "{}", path.display());
    }
}

#[test]
fn a_lost_or_damaged_key_file_is_made_anew_by_the_owner_only() {
    for damage in ["lost", "flipped", "older"] {
        let place = logged(5);
        let older = std::fs::read(place.file("audit.key")).unwrap();
        place.open().append(&run()).unwrap();
        let path = place.file("audit.key");
        match damage {
            "lost" => std::fs::remove_file(&path).unwrap(),
            "flipped" => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[40] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
            _ => std::fs::write(&path, older).unwrap(),
        }
        let mut vault = place.open();
        if damage == "older" {
            // A key file that lags is what a killed writer leaves: the next one follows the rows.
            assert_eq!(vault.append(&run()).unwrap(), 7);
            continue;
        }
        let error = vault.append(&run()).unwrap_err();
        assert!(matches!(error, VaultError::AuditKey { .. }), "{damage}: {error}");
        let mut unlocked = unlock(&mut vault);
        assert!(unlocked.put(&name("A"), &value("a"), &[]).unwrap_err().is_damage());
        unlocked.repair_audit_key().unwrap();
        unlocked.put(&name("A"), &value("a"), &[]).unwrap();
        assert_eq!(unlocked.audit(7, 1).unwrap()[0].event.kind, EventKind::RepairAuditKey);
        assert_eq!(unlocked.verify_audit().unwrap().first_bad, None);
    }
}

#[test]
fn a_key_file_of_another_vault_is_refused() {
    let (place, other) = (logged(3), logged(3));
    std::fs::copy(other.file("audit.key"), place.file("audit.key")).unwrap();
    assert!(matches!(place.open().append(&run()), Err(VaultError::AuditKey { .. })));
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_does_not_stop_the_check() {
    let place = logged(5);
    place.sql("UPDATE audit SET event = 'not json' WHERE sequence = 3");
    let mut vault = place.open();
    assert!(matches!(vault.audit(1, 9), Err(VaultError::LogChanged { row: 3, .. })));
    assert_eq!(unlock(&mut vault).verify_audit().unwrap().first_bad, Some((3, "edit".into())));
}

#[test]
fn a_number_at_the_end_of_all_numbers_does_no_harm() {
    let place = logged(5);
    place.sql("INSERT INTO audit SELECT 9223372036854775807, time, event, previous, hash, mac FROM audit WHERE sequence = 5");
    assert!(place.open().append(&run()).is_err());
    assert_eq!(first_bad(&place), Some((6, "removal".into())));
    assert!(place.open().accept_state(&factor()).is_err());
}
