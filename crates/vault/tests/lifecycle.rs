//! What the vault does for its owner when nobody interferes.

mod support;

use envseal_vault::*;
use support::*;

#[test]
fn what_is_stored_while_locked_is_usable_only_once_accepted() {
    let place = Place::new();
    let mut vault = place.open();
    let item = vault.store(&name("A"), &value("first"), &["h.example".into()]).unwrap();
    assert_eq!((item.name.as_str(), item.replaces), ("A", None));
    assert!(vault.secret(&name("A")).unwrap().is_none());

    let mut unlocked = unlock(&mut vault);
    assert!(matches!(unlocked.begin_run(&run(), None, &[name("A")]), Err(VaultError::NoSuchSecret(_))));
    let infos = unlocked.accept(&[name("A")]).unwrap();
    assert_eq!((infos[0].version, infos[0].hosts.as_slice()), (1, ["h.example".to_owned()].as_slice()));
    assert_eq!(value_of(&mut unlocked, "A"), b"first");
    assert!(unlocked.inbox().unwrap().is_empty());
    unlocked.verify().unwrap();
}

#[test]
fn accepting_takes_the_newest_and_drops_the_older_ones() {
    let place = Place::new();
    let mut vault = place.open();
    for text in ["one", "two", "three"] {
        vault.store(&name("A"), &value(text), &[]).unwrap();
    }
    vault.store(&name("B"), &value("b"), &[]).unwrap();
    let mut unlocked = unlock(&mut vault);
    unlocked.accept(&[name("A")]).unwrap();
    assert_eq!(value_of(&mut unlocked, "A"), b"three");
    assert_eq!(unlocked.inbox().unwrap().len(), 1);
    assert_eq!(unlocked.reject(&[name("B")]).unwrap(), 1);
    assert!(matches!(unlocked.reject(&[name("B")]), Err(VaultError::NotInInbox(_))));
    unlocked.verify().unwrap();
}

#[test]
fn accepting_several_is_all_or_nothing() {
    let place = Place::new();
    let mut vault = place.open();
    vault.store(&name("A"), &value("a"), &[]).unwrap();
    let mut unlocked = unlock(&mut vault);
    assert!(matches!(unlocked.accept(&[name("A"), name("NONE")]), Err(VaultError::NotInInbox(_))));
    assert_eq!((unlocked.secrets().unwrap().len(), unlocked.inbox().unwrap().len()), (0, 1));
    unlocked.verify().unwrap();
}

#[test]
fn versions_survive_a_rename_and_only_a_purge_erases_them() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("OLD"), &value("v1"), &["h".into()]).unwrap();
    assert_eq!(unlocked.rotate(&name("OLD"), &value("v2")).unwrap().version, 2);
    unlocked.put(&name("TAKEN"), &value("t"), &[]).unwrap();
    assert!(matches!(unlocked.rename(&name("OLD"), &name("TAKEN")), Err(VaultError::NameTaken(_))));
    let info = unlocked.rename(&name("OLD"), &name("NEW")).unwrap();
    assert_eq!((info.version, info.hosts.as_slice()), (2, ["h".to_owned()].as_slice()));
    assert!(unlocked.secret(&name("OLD")).unwrap().is_none());
    assert_eq!(value_of(&mut unlocked, "NEW"), b"v2");
    assert_eq!(unlocked.verify().unwrap().versions, 3);
    assert_eq!(unlocked.purge(&name("NEW")).unwrap(), 1);
    assert_eq!(value_of(&mut unlocked, "NEW"), b"v2");
    assert_eq!(unlocked.remove(&name("NEW")).unwrap(), 1);
    assert!(matches!(unlocked.rotate(&name("NEW"), &value("x")), Err(VaultError::NoSuchSecret(_))));
    assert_eq!(unlocked.verify().unwrap().secrets, 1);
}

#[test]
fn values_of_every_length_and_any_bytes_come_out_as_they_went_in() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    let any: Vec<u8> = (0..=255).collect();
    for bytes in [vec![0], vec![0xff; 1 << 20], any] {
        unlocked.put(&name("A"), &SecretBytes::new(bytes.clone()).unwrap(), &[]).unwrap();
        assert_eq!(value_of(&mut unlocked, "A"), bytes);
    }
}

#[test]
fn a_counted_grant_is_used_up_and_an_uncovered_secret_is_not_given() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a"), &[]).unwrap();
    unlocked.put(&name("B"), &value("b"), &[]).unwrap();
    let id = unlocked.add_grant(&grant("A", Some(2))).unwrap();
    for left in [1, 0] {
        unlocked.begin_run(&run(), Some(id), &[name("A")]).unwrap();
        assert_eq!(unlocked.grants().unwrap()[0].1.uses, Some(left));
    }
    assert!(matches!(unlocked.begin_run(&run(), Some(id), &[name("A")]), Err(VaultError::GrantUsedUp(_))));
    assert!(matches!(unlocked.begin_run(&run(), Some(id), &[name("B")]), Err(VaultError::NotGranted { .. })));
    assert!(matches!(
        unlocked.begin_run(&run(), Some(GrantId(9)), &[name("A")]),
        Err(VaultError::NoSuchGrant(_))
    ));
    let deny = unlocked.add_grant(&Grant { effect: Effect::Deny, ..grant("A", None) }).unwrap();
    assert!(matches!(
        unlocked.begin_run(&run(), Some(deny), &[name("A")]),
        Err(VaultError::NotGranted { .. })
    ));
    unlocked.revoke(id).unwrap();
    assert!(matches!(unlocked.revoke(id), Err(VaultError::NoSuchGrant(_))));
    assert_ne!(unlocked.add_grant(&grant("A", None)).unwrap(), id, "a number is never given twice");
    unlocked.verify().unwrap();
}

#[test]
fn a_refused_run_leaves_no_row_and_takes_no_use() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    let id = unlocked.add_grant(&grant("A", Some(1))).unwrap();
    let before = unlocked.audit_last(1).unwrap()[0].sequence;
    assert!(unlocked.begin_run(&run(), Some(id), &[name("A")]).is_err());
    assert_eq!(unlocked.audit_last(1).unwrap()[0].sequence, before);
    assert_eq!(unlocked.grants().unwrap()[0].1.uses, Some(1));
}

#[test]
fn the_log_says_who_used_a_secret() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a"), &[]).unwrap();
    for program in ["/bin/x", "/bin/y", "/bin/x"] {
        let event = Event { program: Some(program.into()), secrets: vec![name("A")], ..run() };
        unlocked.begin_run(&event, None, &[name("A")]).unwrap();
    }
    let mut users: Vec<_> =
        unlocked.users_of(&name("A")).unwrap().into_iter().map(|u| (u.program, u.runs)).collect();
    users.sort();
    assert_eq!(users, [("/bin/x".to_owned(), 2), ("/bin/y".to_owned(), 1)]);
    assert!(unlocked.users_of(&name("B")).unwrap().is_empty());
}

#[test]
fn panic_withdraws_what_allows_before_anything_else_happens() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a"), &[]).unwrap();
    let id = unlocked.add_grant(&grant("A", None)).unwrap();
    unlocked.add_grant(&Grant { effect: Effect::Deny, ..grant("A", None) }).unwrap();

    // Another process panics while this one is unlocked.
    place.open().panic().unwrap();
    assert!(matches!(unlocked.begin_run(&run(), Some(id), &[name("A")]), Err(VaultError::Panicked)));
    assert!(matches!(unlocked.begin_run(&run(), Some(id), &[name("A")]), Err(VaultError::NoSuchGrant(_))));
    assert_eq!(unlocked.grants().unwrap().len(), 1, "what denies stays");
    unlocked.add_grant(&grant("A", None)).unwrap();
    drop(unlocked);

    // And one panics while it is locked.
    vault.panic().unwrap();
    let unlocked = unlock(&mut vault);
    assert!(unlocked.notices().iter().any(|line| line.contains("panic")));
    assert_eq!(unlocked.grants().unwrap().len(), 1);
    drop(unlocked);
    let unlocked = unlock(&mut vault);
    assert!(unlocked.notices().is_empty());
    unlocked.verify().unwrap();
}

#[test]
fn panic_unlocked_withdraws_at_once() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.add_grant(&grant("A", None)).unwrap();
    assert_eq!(unlocked.panic().unwrap(), 1);
    let id = unlocked.add_grant(&grant("A", None)).unwrap();
    drop(unlocked);
    assert_eq!(unlock(&mut vault).grants().unwrap()[0].0, id, "what was given after it holds");
}

#[test]
fn a_long_log_is_followed_and_bound_into_the_manifest_again() {
    let place = Place::new();
    let mut vault = place.open();
    for _ in 0..100 {
        vault.append(&Event::new(EventKind::Exit)).unwrap();
    }
    let before = unlock(&mut vault).counter();
    assert_eq!(unlock(&mut vault).counter(), before, "nothing more to write");
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("a"), &[]).unwrap();
    for _ in 0..600 {
        unlocked.begin_run(&run(), None, &[name("A")]).unwrap();
    }
    let report = unlocked.verify_audit().unwrap();
    assert_eq!((report.rows, report.first_bad), (702, None));
    assert_eq!(unlocked.audit(1, 3).unwrap()[0].event.kind, EventKind::Init);
    assert_eq!(unlocked.audit_last(5).unwrap().len(), 5);
    assert!(unlocked.last_time().unwrap().unwrap() > 1_500_000_000_000);
}

#[test]
fn two_unlocked_vaults_of_one_process_see_each_others_changes() {
    let place = Place::new();
    let (mut a, mut b) = (place.open(), place.open());
    let (mut a, mut b) = (unlock(&mut a), unlock(&mut b));
    a.put(&name("A"), &value("1"), &[]).unwrap();
    b.put(&name("A"), &value("2"), &[]).unwrap();
    b.add_grant(&grant("A", None)).unwrap();
    assert_eq!(a.grants().unwrap().len(), 1);
    assert_eq!(value_of(&mut a, "A"), b"2");
    assert_eq!(a.secret(&name("A")).unwrap().unwrap().version, 2);
    assert_eq!(a.verify().unwrap(), b.verify().unwrap());
}
