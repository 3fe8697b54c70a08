//! Unlocking: from a factor to the vault key, and the checks before it is used.

use crate::change::{Base, Rebuild, is_owner, rebuild};
use crate::keys::VaultKey;
use crate::log::End;
use crate::slot::Opened;
use crate::{
    Event, EventKind, Factor, SlotId, SlotKind, UnlockError, Unlocked, Vault, VaultError, Witness, log_key,
    slot,
};

/// Proof that a factor opens a vault: its key, not yet in use.
///
/// It lets a caller ask first and open later; it borrows nothing.
pub struct Proof {
    key: VaultKey,
    slot: SlotId,
    kind: SlotKind,
    /// Every slot that was opened.
    proven: Vec<SlotId>,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// Rows of the log after which unlocking writes a manifest for the log's sake.
const LOG_LAG: u64 = 64;

impl Vault {
    /// Opens the vault with a factor, checks what its manifest covers, and gives it unlocked.
    ///
    /// What does not open is counted, written to the log, and said in the same words whatever was wrong with it.
    pub fn unlock(&mut self, factor: &Factor) -> Result<Unlocked<'_>, UnlockError> {
        let proof = self.prove(factor)?;
        Ok(self.unlock_with(proof)?)
    }

    /// Tries a factor on every key slot of its kind.
    ///
    /// Only a guess is counted: not a factor that no slot is for, nor what Windows keeps for somebody else.
    pub fn prove(&mut self, factor: &Factor) -> Result<Proof, UnlockError> {
        let slots = self.db.read(slot::all)?;
        match slot::open(&slots, self.id, factor) {
            Ok(Opened { key, slot, proven }) => return Ok(Proof { key, slot, kind: factor.kind(), proven }),
            Err(UnlockError::Wrong) => {}
            Err(error) => return Err(error),
        }
        let mut event = Event::new(EventKind::UnlockFailed);
        event.note = Some(factor.kind().to_string());
        self.append_with(&event, |conn| {
            conn.execute("UPDATE state SET failures = min(max(failures, 0), 1000000000) + 1", ())?;
            Ok(())
        })?;
        Err(UnlockError::Wrong)
    }

    /// Unlocks with a factor that was proven to open this vault.
    pub fn unlock_with(&mut self, proof: Proof) -> Result<Unlocked<'_>, VaultError> {
        let Proof { key, slot, proven, .. } = proof;
        // The notes first: another process may change the vault, and then its notes, at this very moment.
        let seen = self.witness.seen(&key);
        let (base, failures) = self.db.read(|conn| {
            let base = Base::load(conn, &key, 0)?;
            base.grants(&key)?;
            Ok((base, crate::vault::failures(conn)?))
        })?;
        if let Some(witness_counter) = seen.highest.filter(|highest| *highest > base.manifest.counter) {
            return Err(VaultError::RolledBack { vault_counter: base.manifest.counter, witness_counter });
        }
        let here = self.witness.place(self.dir.path());
        let has_notes = here != Witness::NOWHERE;
        let is_here = base.manifest.place == here;
        if has_notes && is_here && seen.state.is_none() {
            return Err(VaultError::WitnessMissing);
        }
        let mut notices = Vec::new();
        let mut moved = has_notes && !is_here;
        if moved && seen.state.is_none() && base.manifest.place != Witness::NOWHERE {
            let text =
                "this vault was last used in another place; that it is the latest copy cannot be known here";
            notices.push(text.to_owned());
        }
        if moved && let Err(error) = self.witness.record(&key, base.manifest.counter, base.own.fingerprint())
        {
            notices.push(format!(
                "the vault's state cannot be noted ({error}); an older copy could not be told"
            ));
            moved = false;
        }
        if !key.is_locked() {
            notices.push("the limit on locked memory is reached: keys could be swapped to disk".to_owned());
        }
        for slot in base.slots.iter().filter(|slot| slot.kind == SlotKind::Dpapi) {
            notices.push(format!(
                "key slot {id} has no passphrase: every program of its Windows user can open the vault's file by it; \
                 take it away: envseal slot remove {id}",
                id = slot.id
            ));
        }
        let recorded = self.db.read(|conn| End::recorded(conn, &base.own, &base.manifest, &key));
        let mut unlocked = Unlocked {
            owner: is_owner(&base.slots, slot),
            proven,
            failures,
            notices,
            seen: base.manifest.counter,
            end: None,
            key,
            vault: self,
        };
        unlocked.settle(recorded, failures > 0, moved)?;
        Ok(unlocked)
    }

    /// Takes the vault file as it stands, on the word of its owner: an older copy that was put back on purpose, one
    /// whose notes of its state are lost, one whose log was changed. Every grant that allows is withdrawn, and the
    /// vault's counter goes above every one noted. Gives how many grants were withdrawn.
    ///
    /// Secrets whose own MAC is wrong are still refused; a backup has them.
    pub fn accept_state(&mut self, factor: &Factor) -> Result<usize, UnlockError> {
        let Proof { key, slot, kind, .. } = self.prove(factor)?;
        let seen = self.witness.seen(&key);
        let mut noted = None;
        let rebuilt = self.db.write(&self.dir, |conn| {
            // With the slots in doubt, a key file is nobody's word.
            let owner = match Base::load(conn, &key, 0) {
                Ok(base) => is_owner(&base.slots, slot),
                Err(VaultError::SlotsChanged | VaultError::ManifestChanged) => kind.is_of_owner(),
                Err(_) if kind.is_of_owner() => true,
                Err(error) => return Err(error),
            };
            if !owner {
                return Err(VaultError::NeedsOwner);
            }
            let own = crate::manifest::Own::load(conn)?;
            let above = seen.highest.unwrap_or(0);
            let place = match self.witness.record(&key, above, own.fingerprint()) {
                Ok(()) => self.witness.place(self.dir.path()),
                Err(_) => Witness::NOWHERE,
            };
            noted = Some(own.fingerprint());
            let mut event = Event::new(EventKind::AcceptState);
            let slots = slot::all(conn)?;
            let slots: Vec<_> = slots.iter().map(|slot| format!("{} ({})", slot.id, slot.kind)).collect();
            event.note = Some(format!("with key slots {}", slots.join(", ")));
            rebuild(conn, &key, Rebuild { above, keep_grants: false, place, event })
        })?;
        log_key::replace(&self.dir, self.id, &rebuilt.end.state())?;
        if let Some(fingerprint) = noted {
            let _ = self.witness.record(&key, rebuilt.counter, fingerprint);
        }
        Ok(rebuilt.withdrawn)
    }
}

impl Unlocked<'_> {
    /// What an unlocking has to write: the end of a panic, a new place, a log that has grown, the failures' count.
    fn settle(
        &mut self,
        recorded: Result<End, VaultError>,
        failed: bool,
        moved: bool,
    ) -> Result<(), VaultError> {
        let id = self.vault.id;
        let followed = recorded.and_then(|mut end| {
            let from = end.sequence;
            self.vault.db.read(|conn| end.follow(conn, id))?;
            Ok((from, end))
        });
        let (from, end) = match followed {
            Ok(followed) => followed,
            // Reading and checking the log must still be possible; every change and every run is refused.
            Err(error @ VaultError::LogChanged { .. }) => {
                self.notices
                    .push(format!("{error}; nothing runs until the owner has looked: envseal audit verify"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let panicked = end.panicked;
        let lags = end.sequence - from > LOG_LAG;
        self.end = Some(end);
        if panicked || lags || moved {
            match self.transact(true, |_| Ok(())) {
                Ok(()) if panicked => {
                    self.notices.push("`envseal panic` was called: every grant is withdrawn".into())
                }
                Ok(()) => {}
                Err(error) => self.notices.push(format!("{error}; nothing runs until that is put right")),
            }
        }
        if failed {
            let reset = self.vault.db.write(&self.vault.dir, |conn| {
                conn.execute("UPDATE state SET failures = 0", ())?;
                Ok(())
            });
            if let Err(error) = reset {
                self.notices.push(error.to_string());
            }
        }
        Ok(())
    }
}
