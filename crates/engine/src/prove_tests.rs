//! Tests of how often the owner is asked for what opens the vault.

use envseal_vault::{Factor, KdfTarget, KeyFile, NewVault, Passphrase, Witness};

use super::*;

/// One who gives a factor again and again.
struct Stubborn {
    factor: fn() -> Factor,
    asked: u32,
}

impl Owner for Stubborn {
    fn unlock(&mut self, _again: Option<&str>) -> Result<Option<Factor>, OwnerError> {
        self.asked += 1;
        Ok(Some((self.factor)()))
    }

    fn approve(&mut self, _: &Prompt, _: Option<&str>) -> Result<Option<Answer>, OwnerError> {
        Ok(None)
    }

    fn notice(&mut self, _text: &str) {}

    fn detail(&mut self, _text: &str) {}
}

fn keyfile(byte: u8) -> KeyFile {
    KeyFile::new(vec![byte; 40]).expect("long enough")
}

#[test]
fn a_wrong_factor_is_asked_for_again_and_one_that_no_slot_is_for_is_not() {
    let top = tempfile::tempdir().expect("a directory");
    let new =
        NewVault { passphrase: None, recovery: false, keyfile: Some(keyfile(1)), kdf: KdfTarget::Floor };
    let mut vault = Vault::create_with(&top.path().join("v"), new, Witness::none()).expect("a vault").vault;

    let mut owner = Stubborn { factor: || Factor::Passphrase(Passphrase::from("p")), asked: 0 };
    let refused = prove(&mut vault, &mut owner).expect_err("there is no passphrase");
    assert!(matches!(refused, RunError::Unlock(UnlockError::NoSlot { .. })), "{refused}");
    assert_eq!((owner.asked, vault.failed_unlocks().expect("read")), (1, 0));

    let mut owner = Stubborn { factor: || Factor::KeyFile(keyfile(2)), asked: 0 };
    let refused = prove(&mut vault, &mut owner).expect_err("another key file");
    assert!(matches!(refused, RunError::Unlock(UnlockError::Wrong)), "{refused}");
    assert_eq!((owner.asked, vault.failed_unlocks().expect("read")), (TRIES, TRIES.into()));
}
