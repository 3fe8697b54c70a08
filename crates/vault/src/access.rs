//! Who may open the vault, and who may use what is in it: key slots, grants, runs.

use crate::change::{Change, is_owner};
use crate::entry::{self, Entry};
use crate::granted::{self, Stored};
use crate::kdf::Argon2Cost;
use crate::slot::Slot;
use crate::{
    Effect, Event, EventKind, Factor, Grant, GrantId, KdfTarget, KeyFile, Passphrase, RecoveryCode,
    SecretBytes, SecretName, SlotId, SlotInfo, SlotKind, Unlocked, VaultError,
};

/// A key slot to add.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewSlot {
    /// One more passphrase.
    Passphrase(Passphrase),
    /// One more recovery code, which is made now.
    Recovery,
    /// A key file.
    KeyFile(KeyFile),
    /// The Windows user whose process this is, and a passphrase: both are needed, and it opens as its owner.
    Dpapi(Passphrase),
}

/// What a change of the passphrase came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassphraseChange {
    /// The first slot that the new one opens.
    pub slot: SlotId,
    /// Slots of Windows users that were not proven: each is opened by its own passphrase on its machine, as before.
    pub standing: Vec<SlotInfo>,
}

/// What a run was given.
#[derive(Debug)]
pub struct Released {
    /// The row of the log that says so.
    pub sequence: u64,
    /// The values, in the order asked for.
    pub secrets: Vec<(SecretName, SecretBytes)>,
}

impl Unlocked<'_> {
    /// The grants, each one's MAC and the whole set verified.
    pub fn grants(&self) -> Result<Vec<(GrantId, Grant)>, VaultError> {
        self.base()?.grants(&self.key)
    }

    /// Adds a grant; gives its number.
    pub fn add_grant(&mut self, grant: &Grant) -> Result<GrantId, VaultError> {
        self.change(|change| {
            let id = GrantId(change.base.manifest.next_grant);
            change.base.manifest.next_grant += 1;
            Stored::new(change.key, id, grant)?.store(change.conn)?;
            change.update_grants()?;
            let kind = if grant.effect == Effect::Allow { EventKind::Allow } else { EventKind::Deny };
            let mut event = Event::new(kind);
            event.grant = Some(id);
            event.program = Some(grant.program.path.to_string_lossy().into_owned());
            event.sha256 = Some(grant.program.sha256);
            event.tier = Some(grant.tier);
            let names: Vec<_> = grant.secrets.iter().map(|rule| rule.name.to_string()).collect();
            event.note = Some(names.join(" "));
            change.log(&event)?;
            Ok(id)
        })
    }

    /// Withdraws a grant. One that denies is the owner's to withdraw; one that allows, whoever may use it.
    pub fn revoke(&mut self, id: GrantId) -> Result<(), VaultError> {
        let owner = self.owner;
        self.transact(true, |change| {
            let grant = find(change, id)?;
            if grant.effect == Effect::Deny && !owner {
                return Err(VaultError::NeedsOwner);
            }
            granted::delete(change.conn, id)?;
            change.update_grants()?;
            let mut event = Event::new(EventKind::Revoke);
            event.grant = Some(id);
            change.log(&event)?;
            Ok(())
        })
    }

    /// Withdraws every grant that allows; what denies stays. Gives how many.
    pub fn revoke_all(&mut self) -> Result<usize, VaultError> {
        self.transact(true, |change| {
            let count = change.withdraw_all()?;
            let mut event = Event::new(EventKind::Revoke);
            event.note = Some(format!("every grant: {count} withdrawn"));
            change.log(&event)?;
            Ok(count)
        })
    }

    /// Says in the log that everything is stopped and withdraws every grant that allows, at once. Gives how many.
    pub fn panic(&mut self) -> Result<usize, VaultError> {
        self.transact(true, |change| {
            let count = change.withdraw_all()?;
            let mut event = Event::new(EventKind::Panic);
            event.note = Some(format!("{count} grants withdrawn"));
            change.log(&event)?;
            Ok(count)
        })
    }

    /// Records a run and gives it its secrets.
    ///
    /// One transaction verifies the manifest, the grant and the secrets, takes one of the grant's uses if they are
    /// counted, and writes the row of the log. Only when that is synced are the values opened. The work depends on how
    /// many secrets are asked for, not on how many there are.
    pub fn begin_run(
        &mut self,
        event: &Event,
        grant: Option<GrantId>,
        names: &[SecretName],
    ) -> Result<Released, VaultError> {
        // Each run moves the manifest on, so that a copy of the vault from before it is an older one.
        let recorded = self.transact(true, |change| {
            if change.panicked {
                return Ok(None);
            }
            if let Some(id) = grant {
                use_grant(change, id, names)?;
            }
            let entries = names.iter().map(|name| checked(change, name)).collect::<Result<Vec<_>, _>>()?;
            let private = change.base.private_key(change.key)?;
            Ok(Some((change.log(event)?, entries, private)))
        })?;
        let (sequence, entries, private) = recorded.ok_or(VaultError::Panicked)?;
        let opened = entries.into_iter().map(|entry| {
            let value = entry.open(self.key.id(), &private)?;
            Ok((entry.name, value))
        });
        Ok(Released { sequence, secrets: opened.collect::<Result<_, VaultError>>()? })
    }

    /// Adds a key slot. Gives its number, and the code when it is a recovery code.
    pub fn add_slot(
        &mut self,
        new: NewSlot,
        label: &str,
    ) -> Result<(SlotId, Option<RecoveryCode>), VaultError> {
        self.add_slot_costing(new, label, KdfTarget::Calibrated)
    }

    /// The same, with the cost of a passphrase's derivation chosen.
    pub fn add_slot_costing(
        &mut self,
        new: NewSlot,
        label: &str,
        kdf: KdfTarget,
    ) -> Result<(SlotId, Option<RecoveryCode>), VaultError> {
        self.need_owner()?;
        let (factor, cost) = match new {
            NewSlot::Passphrase(passphrase) => (Factor::Passphrase(passphrase), Argon2Cost::choose(kdf)?),
            NewSlot::Recovery => (Factor::Recovery(RecoveryCode::generate()?), Argon2Cost::FLOOR),
            NewSlot::KeyFile(file) => (Factor::KeyFile(file), Argon2Cost::FLOOR),
            NewSlot::Dpapi(passphrase) => (Factor::Dpapi(passphrase), Argon2Cost::choose(kdf)?),
        };
        let id = self.change(|change| {
            // It would take a key file's rights as the owner's away, and be lost with the machine.
            let is_owners = |slot: &Slot| slot.kind.is_of_owner() && !slot.kind.is_of_machine();
            if factor.kind() == SlotKind::DpapiPassphrase && !change.base.slots.iter().any(is_owners) {
                return Err(VaultError::OnlyOfMachine);
            }
            let id = insert_slot(change, &factor, label, cost)?;
            let mut event = Event::new(EventKind::SlotAdd);
            event.note = Some(format!("slot {id}: {} {label:?}", factor.kind()));
            change.log(&event)?;
            Ok(id)
        })?;
        let code = match factor {
            Factor::Recovery(code) => Some(code),
            _ => None,
        };
        Ok((id, code))
    }

    /// Removes a key slot; never the last one that opens the vault as its owner on any machine.
    pub fn remove_slot(&mut self, id: SlotId) -> Result<(), VaultError> {
        self.change(|change| {
            let slots = &change.base.slots;
            let slot = slots.iter().find(|slot| slot.id == id).ok_or(VaultError::NoSuchSlot(id))?;
            let kind = slot.kind;
            // With the last passphrase the key files would become the owner's: they never do by a removal.
            let others = slots.iter().filter(|slot| slot.id != id);
            let owners =
                others.clone().filter(|slot| is_owner(slots, slot.id) && !slot.kind.is_of_machine()).count();
            let passphrases = others.clone().filter(|slot| slot.kind.has_passphrase()).count();
            let keyfiles = others.filter(|slot| slot.kind == SlotKind::KeyFile).count();
            if owners == 0 || (kind.has_passphrase() && passphrases == 0 && keyfiles > 0) {
                return Err(VaultError::LastOwnerSlot(id));
            }
            Slot::delete(change.conn, id)?;
            change.update_slots()?;
            let mut event = Event::new(EventKind::SlotRemove);
            event.note = Some(format!("slot {id}: {kind}"));
            change.log(&event)?;
            Ok(())
        })
    }

    /// Replaces every passphrase by one new one. That of a Windows user is replaced where it was proven by unlocking
    /// with it; the others stand, since only their user can make them anew.
    ///
    /// An error when that leaves none to replace.
    pub fn change_passphrase(&mut self, new: &Passphrase) -> Result<PassphraseChange, VaultError> {
        self.change_passphrase_costing(new, KdfTarget::Calibrated)
    }

    /// The same, with the cost of the derivation chosen.
    pub fn change_passphrase_costing(
        &mut self,
        new: &Passphrase,
        kdf: KdfTarget,
    ) -> Result<PassphraseChange, VaultError> {
        self.need_owner()?;
        let cost = Argon2Cost::choose(kdf)?;
        let new = || Passphrase::new(new.as_bytes().to_vec());
        let factors = [
            (Factor::Passphrase(new()), "passphrase"),
            (Factor::Dpapi(new()), "Windows user and passphrase"),
        ];
        let proven = self.proven.clone();
        let (change, made) = self.change(|change| {
            let with_passphrase = change.base.slots.iter().filter(|slot| slot.kind.has_passphrase());
            let infos = with_passphrase.map(|slot| slot.info(change.key.id()));
            let infos = infos.collect::<Result<Vec<_>, _>>()?;
            let (old, standing): (Vec<_>, Vec<_>) =
                infos.into_iter().partition(|slot| !slot.kind.is_of_machine() || proven.contains(&slot.id));
            let mut made = Vec::new();
            for (factor, label) in &factors {
                if let Some(first) = old.iter().find(|slot| slot.kind == factor.kind()) {
                    // The owner's word for a machine stays with it.
                    let label = if first.kind.is_of_machine() { &first.label } else { *label };
                    made.push(insert_slot(change, factor, label, cost)?);
                }
            }
            let Some(slot) = made.first().copied() else {
                return Err(match standing.is_empty() {
                    true => VaultError::NoPassphraseSlot,
                    false => VaultError::PassphraseOfMachine { slots: numbers(&standing) },
                });
            };
            old.iter().try_for_each(|slot| Slot::delete(change.conn, slot.id))?;
            change.update_slots()?;
            let mut event = Event::new(EventKind::Passwd);
            event.note = Some(match standing.is_empty() {
                true => format!("slot {slot}"),
                false => format!("slot {slot}; left as they are: {}", numbers(&standing)),
            });
            change.log(&event)?;
            Ok((PassphraseChange { slot, standing }, made))
        })?;
        self.proven = made;
        Ok(change)
    }
}

fn numbers(slots: &[SlotInfo]) -> String {
    let numbers: Vec<_> = slots.iter().map(|slot| slot.id.to_string()).collect();
    numbers.join(", ")
}

fn insert_slot(
    change: &mut Change<'_>,
    factor: &Factor,
    label: &str,
    cost: Argon2Cost,
) -> Result<SlotId, VaultError> {
    let id = SlotId(change.base.manifest.next_slot);
    change.base.manifest.next_slot += 1;
    Slot::new(id, change.key, factor, label, cost)?.insert(change.conn)?;
    change.update_slots()?;
    Ok(id)
}

/// A grant, MAC checked.
fn find(change: &Change<'_>, id: GrantId) -> Result<Grant, VaultError> {
    let stored = change.base.grants.iter().find(|stored| stored.id == id);
    stored.ok_or(VaultError::NoSuchGrant(id))?.verified(change.key)
}

/// Checks that a grant allows the secrets and takes one of its uses.
fn use_grant(change: &mut Change<'_>, id: GrantId, names: &[SecretName]) -> Result<(), VaultError> {
    let mut grant = find(change, id)?;
    let covers = |name: &SecretName| grant.secrets.iter().any(|rule| rule.name.matches(name));
    if let Some(name) = names.iter().find(|name| grant.effect != Effect::Allow || !covers(name)) {
        return Err(VaultError::NotGranted { id, name: name.clone() });
    }
    let Some(left) = grant.uses else { return Ok(()) };
    grant.uses = Some(left.checked_sub(1).ok_or(VaultError::GrantUsedUp(id))?);
    Stored::new(change.key, id, &grant)?.store(change.conn)?;
    change.update_grants()
}

/// The newest version of a secret, its place in the tree and its MAC checked.
fn checked(change: &Change<'_>, name: &SecretName) -> Result<Entry, VaultError> {
    change.check(name)?;
    let entry = entry::newest(change.conn, name)?.ok_or_else(|| VaultError::NoSuchSecret(name.clone()))?;
    entry.verify(change.key)?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::tests::of_both;
    use crate::{NewVault, UnlockError, Vault, Witness};

    /// A vault with a passphrase, a recovery code, and a slot that was made on a machine with Windows.
    fn made(top: &std::path::Path) -> (Vault, RecoveryCode) {
        let new = NewVault {
            passphrase: Some("correct horse".into()),
            recovery: true,
            keyfile: None,
            kdf: KdfTarget::Floor,
        };
        let created = Vault::create_with(&top.join("v"), new, Witness::none()).unwrap();
        let (mut vault, code) = (created.vault, created.recovery.unwrap());
        let mut unlocked = vault.unlock(&Factor::Passphrase("correct horse".into())).unwrap();
        let add = |change: &mut Change<'_>| {
            change.base.manifest.next_slot = 4;
            of_both(3, 2, "second", change.key).insert(change.conn)?;
            change.update_slots()
        };
        unlocked.change(add).unwrap();
        drop(unlocked);
        (vault, code)
    }

    #[test]
    fn a_passphrase_is_changed_here_although_another_machine_has_one_which_stands() {
        for by_code in [false, true] {
            let top = tempfile::tempdir().unwrap();
            let (mut vault, code) = made(top.path());
            let given =
                if by_code { Factor::Recovery(code) } else { Factor::Passphrase("correct horse".into()) };
            let mut unlocked = vault.unlock(&given).unwrap();
            let changed =
                unlocked.change_passphrase_costing(&"battery staple".into(), KdfTarget::Floor).unwrap();
            let standing: Vec<_> = changed.standing.iter().map(|slot| (slot.id, slot.kind)).collect();
            assert_eq!(standing, [(SlotId(3), SlotKind::DpapiPassphrase)]);
            drop(unlocked);
            let kinds: Vec<_> = vault.slots().unwrap().iter().map(|slot| (slot.id.0, slot.kind)).collect();
            let expected =
                [(2, SlotKind::Recovery), (3, SlotKind::DpapiPassphrase), (4, SlotKind::Passphrase)];
            assert_eq!(kinds, expected);
            let opened =
                |vault: &mut Vault, text: &str| vault.unlock(&Factor::Passphrase(text.into())).is_ok();
            assert!(!opened(&mut vault, "correct horse"));
            assert!(opened(&mut vault, "battery staple"));
            let note =
                vault.audit_last(10).unwrap().into_iter().find(|row| row.event.kind == EventKind::Passwd);
            assert_eq!(note.unwrap().event.note.unwrap(), "slot 4; left as they are: 3");
        }
    }

    #[test]
    fn what_another_machine_keeps_is_no_wrong_passphrase() {
        let top = tempfile::tempdir().unwrap();
        let (mut vault, _) = made(top.path());
        let rows = vault.audit(1, 100).unwrap().len();
        match vault.unlock(&Factor::Dpapi("second".into())) {
            Err(UnlockError::NotThisUser) if cfg!(windows) => {}
            Err(UnlockError::Vault(VaultError::OnlyOnWindows)) if !cfg!(windows) => {}
            other => panic!("{:?}", other.map(|_| ())),
        }
        assert_eq!((vault.failed_unlocks().unwrap(), vault.audit(1, 100).unwrap().len()), (0, rows));
        assert!(matches!(vault.unlock(&Factor::Passphrase("second".into())), Err(UnlockError::Wrong)));
        assert_eq!((vault.failed_unlocks().unwrap(), vault.audit(1, 100).unwrap().len()), (1, rows + 1));
    }
}
