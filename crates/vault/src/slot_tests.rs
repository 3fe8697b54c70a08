//! Tests of the key slots.

use super::*;
use crate::kdf::tests::CALLS;

fn derivations(work: impl FnOnce()) -> usize {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

fn is_damaged(opened: Result<Opened, UnlockError>) -> bool {
    matches!(opened, Err(UnlockError::Vault(VaultError::SlotDamaged { .. })))
}

fn passphrase(text: &str) -> Factor {
    Factor::Passphrase(text.into())
}

#[test]
fn every_passphrase_costs_the_same_number_of_derivations() {
    let vault = VaultId([3; 16]);
    let key = VaultKey::generate(vault).unwrap();
    let slots: Vec<_> = ["first", "second", "third"]
        .into_iter()
        .zip(1..)
        .map(|(text, id)| Slot::new(SlotId(id), &key, &passphrase(text), "", Argon2Cost::FLOOR).unwrap())
        .collect();
    for (text, opens) in [("first", true), ("third", true), ("wrong", false), ("", false)] {
        let mut opened = false;
        let calls = derivations(|| opened = open(&slots, vault, &passphrase(text)).is_ok());
        assert_eq!((calls, opened), (3, opens), "{text}");
    }
    let file = Factor::KeyFile(KeyFile::new(vec![1; 32]).unwrap());
    let none = || assert!(matches!(open(&slots, vault, &file), Err(UnlockError::NoSlot { .. })));
    assert_eq!(derivations(none), 0);
}

#[test]
fn a_flipped_bit_in_a_slot_is_damage_and_not_a_wrong_key() {
    let vault = VaultId([3; 16]);
    let key = VaultKey::generate(vault).unwrap();
    let file = Factor::KeyFile(KeyFile::new(vec![1; 32]).unwrap());
    let good = Slot::new(SlotId(1), &key, &file, "x", Argon2Cost::FLOOR).unwrap();
    assert_eq!(open(std::slice::from_ref(&good), vault, &file).unwrap().key.expose(), key.expose());
    let changes: [fn(&mut Slot); 6] = [
        |slot| slot.wrapped[3] ^= 1,
        |slot| slot.salt[3] ^= 1,
        |slot| slot.kind = SlotKind::Recovery,
        |slot| slot.created += 1,
        |slot| slot.parameters.push(' '),
        |slot| slot.checksum[0] ^= 1,
    ];
    for change in changes {
        let mut slot = good.clone();
        change(&mut slot);
        assert!(is_damaged(open(&[slot], vault, &file)));
    }
    assert!(is_damaged(open(&[good], VaultId([4; 16]), &file)));
}

#[test]
fn a_cost_that_would_take_all_memory_is_refused_before_it_is_paid() {
    let vault = VaultId([3; 16]);
    let key = VaultKey::generate(vault).unwrap();
    let mut slot = Slot::new(SlotId(1), &key, &passphrase("p"), "", Argon2Cost::FLOOR).unwrap();
    slot.parameters = r#"{"kdf":"argon2id","memory_kib":4294967295,"passes":3,"lanes":4}"#.into();
    slot.checksum = slot.sum(vault).to_vec();
    assert!(is_damaged(open(&[slot], vault, &passphrase("p"))));
}

/// A slot as Windows could have made it; nobody opens it.
fn of_windows(kind: SlotKind, parameters: &str, vault: VaultId) -> Slot {
    let key = VaultKey::generate(vault).unwrap();
    let file = Factor::KeyFile(KeyFile::new(vec![9; 32]).unwrap());
    let mut slot = Slot::new(SlotId(7), &key, &file, "desk", Argon2Cost::FLOOR).unwrap();
    (slot.kind, slot.parameters) = (kind, parameters.into());
    slot.checksum = slot.sum(vault).to_vec();
    slot
}

const ALONE: &str = r#"{"kdf":"dpapi","blob":[1,0,0,0]}"#;
const BOTH: &str = r#"{"kdf":"dpapi","blob":[1,0],"argon2id":{"memory_kib":65536,"passes":3,"lanes":4}}"#;

#[test]
fn a_slot_of_a_windows_user_is_listed_everywhere_and_opens_nothing_elsewhere() {
    let vault = VaultId([3; 16]);
    let key = VaultKey::generate(vault).unwrap();
    let file = Factor::KeyFile(KeyFile::new(vec![1; 32]).unwrap());
    let slots = [
        of_windows(SlotKind::Dpapi, ALONE, vault),
        of_windows(SlotKind::DpapiPassphrase, BOTH, vault),
        Slot::new(SlotId(9), &key, &file, "", Argon2Cost::FLOOR).unwrap(),
    ];
    let said: Vec<_> = slots.iter().map(|slot| slot.info(vault).unwrap()).collect();
    assert_eq!((said[0].kind.to_string(), said[0].cost()), ("dpapi".into(), "dpapi".into()));
    let both = (said[1].kind.to_string(), said[1].cost());
    assert_eq!(both, ("dpapi+passphrase".into(), "dpapi, argon2id 64 MiB, 3 passes, 4 lanes".into()));
    assert_eq!(serde_json::to_value(said[1].kind).unwrap(), "dpapi+passphrase");
    assert_eq!(open(&slots, vault, &file).unwrap().slot, SlotId(9));
    match open(&slots, vault, &Factor::Dpapi("p".into())) {
        Err(UnlockError::NotThisUser) if cfg!(windows) => {}
        Err(UnlockError::Vault(VaultError::OnlyOnWindows)) if !cfg!(windows) => {}
        other => panic!("{:?}", other.map(|opened| opened.slot)),
    }
    #[cfg(not(windows))]
    assert!(matches!(
        Slot::new(SlotId(1), &key, &Factor::Dpapi("p".into()), "", Argon2Cost::FLOOR),
        Err(VaultError::OnlyOnWindows)
    ));
}

/// Windows of the tests: a blob begins with what it answers.
fn windows(_: VaultId, _: &[u8], blob: &[u8]) -> Result<Option<SubKey>, VaultError> {
    match blob {
        [1, ..] => Ok(Some(SubKey::new([7; 32]))),
        [2, ..] => Ok(None),
        _ => Err(VaultError::Dpapi("no such service".into())),
    }
}

/// A slot that [`windows`] and a passphrase open.
pub(crate) fn of_both(id: u64, answer: u8, text: &str, key: &VaultKey) -> Slot {
    let mut slot = of_windows(SlotKind::DpapiPassphrase, BOTH, key.id());
    slot.id = SlotId(id);
    slot.parameters = BOTH.replace("[1,0]", &format!("[{answer},0]"));
    let parameters: Parameters = serde_json::from_str(&slot.parameters).unwrap();
    // Made while Windows answered, whatever it answers now.
    let open = |_: VaultId, _: &[u8], _: &[u8]| Ok(Some(SubKey::new([7; 32])));
    let wrapping =
        derive(&parameters, &Factor::Dpapi(text.into()), key.id(), &slot.salt, open).unwrap().unwrap();
    slot.wrapped = keys::wrap(&wrapping, &slot.bound(key.id()), key.expose()).unwrap();
    slot.checksum = slot.sum(key.id()).to_vec();
    slot
}

#[test]
fn only_a_passphrase_that_was_tried_is_a_wrong_one() {
    let vault = VaultId([3; 16]);
    let key = VaultKey::generate(vault).unwrap();
    let [mine, theirs, failing] =
        [(1, 1), (2, 2), (3, 3)].map(|(id, answer)| of_both(id, answer, "right", &key));
    let open = |slots: &[&Slot], text: &str| {
        let slots: Vec<_> = slots.iter().map(|slot| (*slot).clone()).collect();
        open_by(&slots, vault, &Factor::Dpapi(text.into()), windows).map(|opened| opened.proven)
    };
    for slots in [&[&mine, &theirs, &failing], &[&failing, &theirs, &mine]] {
        assert_eq!(open(slots, "right").unwrap(), [SlotId(1)]);
        assert!(matches!(open(slots, "wrong"), Err(UnlockError::Wrong)));
    }
    assert!(matches!(open(&[&theirs], "right"), Err(UnlockError::NotThisUser)));
    for slots in [&[&theirs, &failing], &[&failing, &theirs]] {
        assert!(matches!(open(slots, "right"), Err(UnlockError::Vault(VaultError::Dpapi(_)))));
    }
    let again = of_both(4, 1, "right", &key);
    assert_eq!(open(&[&mine, &again], "right").unwrap(), [SlotId(1), SlotId(4)]);
}

#[test]
fn a_slot_of_a_windows_user_without_a_passphrase_is_refused_with_the_way_on() {
    let vault = VaultId([3; 16]);
    let slots = [of_windows(SlotKind::Dpapi, ALONE, vault)];
    let refused = open_by(&slots, vault, &Factor::Dpapi("p".into()), windows).err().unwrap();
    assert!(matches!(refused, UnlockError::DpapiAlone(SlotId(7))), "{refused}");
    assert!(refused.to_string().contains("envseal slot remove 7"), "{refused}");
    let refused = open_by(&slots, vault, &passphrase("p"), windows).err().unwrap();
    assert_eq!(
        refused.to_string(),
        "this vault has no key slot of the kind passphrase: it is opened by dpapi"
    );
}

#[test]
fn an_empty_passphrase_makes_no_slot() {
    let key = VaultKey::generate(VaultId([3; 16])).unwrap();
    for factor in [passphrase(""), Factor::Dpapi("".into())] {
        let made = Slot::new(SlotId(1), &key, &factor, "", Argon2Cost::FLOOR);
        assert!(matches!(made, Err(VaultError::EmptyPassphrase)), "{factor:?}");
    }
}

#[test]
fn a_slot_of_a_windows_user_with_parameters_of_another_kind_is_damaged() {
    let vault = VaultId([3; 16]);
    let long = format!(r#"{{"kdf":"dpapi","blob":{:?}}}"#, vec![1; dpapi::LONGEST_BLOB + 1]);
    let cheap = BOTH.replace("65536", "64");
    for (kind, parameters) in [
        (SlotKind::Dpapi, BOTH),
        (SlotKind::DpapiPassphrase, ALONE),
        (SlotKind::DpapiPassphrase, &cheap),
        (SlotKind::Dpapi, &long),
        (SlotKind::Dpapi, r#"{"kdf":"hkdf"}"#),
        (SlotKind::KeyFile, ALONE),
        (SlotKind::Passphrase, BOTH),
    ] {
        let slot = of_windows(kind, parameters, vault);
        assert!(matches!(slot.info(vault), Err(VaultError::SlotDamaged { .. })), "{kind} {parameters}");
    }
}
