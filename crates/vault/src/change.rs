//! One transaction of an unlocked vault: everything that it relies on is verified in it, then changed, then bound
//! into a new manifest.

use rusqlite::Connection;

use crate::files::Dir;
use crate::granted::{self, Stored};
use crate::keys::{SubKey, VaultKey};
use crate::log::End;
use crate::manifest::{Manifest, Own};
use crate::slot::{self, Slot};
use crate::{
    Effect, Event, EventKind, Grant, GrantId, SecretName, SlotId, SlotKind, VaultError, entry, log_key, tree,
};

/// What the manifest covers besides the secrets, verified.
pub(crate) struct Base {
    pub(crate) own: Own,
    pub(crate) manifest: Manifest,
    pub(crate) slots: Vec<Slot>,
    pub(crate) grants: Vec<Stored>,
}

impl Base {
    /// Reads and verifies. `seen` is the highest counter that this process knows of.
    pub(crate) fn load(conn: &Connection, key: &VaultKey, seen: u64) -> Result<Self, VaultError> {
        let own = Own::load(conn)?;
        if own.id != key.id() {
            return Err(VaultError::KeyChanged { what: "id" });
        }
        // The key first: a replaced public key has a name of its own.
        own.private_key(key)?;
        let manifest = Manifest::load(conn, &own, key)?;
        if manifest.counter < seen {
            return Err(VaultError::RolledBack { vault_counter: manifest.counter, witness_counter: seen });
        }
        let slots = slot::all(conn)?;
        if slot::root(&slots, own.id) != manifest.slots {
            return Err(VaultError::SlotsChanged);
        }
        let grants = granted::all(conn)?;
        if granted::root(&grants) != manifest.grants {
            // One that was changed is named before the set is found to be another.
            grants.iter().try_for_each(|grant| grant.verified(key).map(|_| ()))?;
            return Err(VaultError::GrantsMoved);
        }
        Ok(Self { own, manifest, slots, grants })
    }

    /// Every grant, MAC checked.
    pub(crate) fn grants(&self, key: &VaultKey) -> Result<Vec<(GrantId, Grant)>, VaultError> {
        self.grants.iter().map(|stored| Ok((stored.id, stored.verified(key)?))).collect()
    }

    /// The private key.
    pub(crate) fn private_key(&self, key: &VaultKey) -> Result<SubKey, VaultError> {
        self.own.private_key(key)
    }
}

/// Whether a slot opens the vault as its owner: a passphrase and a recovery code do, a key file where there is no
/// passphrase. A Windows user without a passphrase never did: that is every program of the user's.
pub(crate) fn is_owner(slots: &[Slot], id: SlotId) -> bool {
    let kind = slots.iter().find(|slot| slot.id == id).map(|slot| slot.kind);
    match kind {
        Some(SlotKind::KeyFile) => slots.iter().all(|slot| !slot.kind.has_passphrase()),
        Some(kind) => kind.is_of_owner(),
        None => false,
    }
}

/// A change in the making.
pub(crate) struct Change<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) key: &'c VaultKey,
    pub(crate) base: Base,
    pub(crate) end: End,
    /// The manifest is to be written.
    pub(crate) dirty: bool,
    /// A row of the log asked for everything to be stopped, and the grants were withdrawn.
    pub(crate) panicked: bool,
}

/// Rows after which a manifest is written for the log's sake alone.
const LOG_LAG: u64 = 256;

impl<'c> Change<'c> {
    /// Verifies what the vault says now. `known` is the end of the log as this process verified it last.
    pub(crate) fn begin(
        conn: &'c Connection,
        key: &'c VaultKey,
        dir: Option<&Dir>,
        seen: u64,
        known: Option<&End>,
    ) -> Result<Self, VaultError> {
        let base = Base::load(conn, key, seen)?;
        let recorded = End::recorded(conn, &base.own, &base.manifest, key)?;
        let mut end = match known {
            Some(known) if known.sequence >= recorded.sequence => known.clone(),
            _ => recorded,
        };
        end.follow(conn, base.own.id)?;
        if let Some(dir) = dir {
            let state = log_key::read(dir, base.own.id)?;
            if state.sequence > end.sequence + 1 {
                return Err(VaultError::LogChanged { row: end.sequence + 1, change: "truncation".into() });
            }
            if state.sequence == end.sequence + 1 && *state.key != *end.key {
                return Err(VaultError::AuditKey { why: "it is not the key of the next row".into() });
            }
        }
        let mut change = Self { conn, key, base, end, dirty: false, panicked: false };
        if change.end.panicked {
            change.stop()?;
        }
        Ok(change)
    }

    fn stop(&mut self) -> Result<(), VaultError> {
        (self.end.panicked, self.panicked) = (false, true);
        let mut event = Event::new(EventKind::Revoke);
        event.note = Some(format!("every grant, because of `panic`: {} withdrawn", self.withdraw_all()?));
        self.log(&event)?;
        Ok(())
    }

    /// Writes a row of the log.
    pub(crate) fn log(&mut self, event: &Event) -> Result<u64, VaultError> {
        self.end.append(self.conn, self.base.own.id, event)
    }

    /// Writes a row of the log about one secret.
    pub(crate) fn log_secret(
        &mut self,
        kind: EventKind,
        name: &SecretName,
        note: Option<String>,
    ) -> Result<u64, VaultError> {
        let mut event = Event::new(kind);
        event.secrets.push(name.clone());
        event.note = note;
        self.log(&event)
    }

    /// Checks the versions of a secret before they are used or changed.
    pub(crate) fn check(&self, name: &SecretName) -> Result<(), VaultError> {
        tree::verify(self.conn, &self.base.manifest, tree::leaf(name.as_str()), name.as_str())
    }

    /// Takes the versions of a secret as they are now. They were checked before they were changed.
    pub(crate) fn update(&mut self, name: &SecretName) -> Result<(), VaultError> {
        self.dirty = true;
        tree::update(self.conn, &mut self.base.manifest, tree::leaf(name.as_str()))
    }

    /// Takes the grants' rows as they are now.
    pub(crate) fn update_grants(&mut self) -> Result<(), VaultError> {
        self.dirty = true;
        self.base.grants = granted::all(self.conn)?;
        self.base.manifest.grants = granted::root(&self.base.grants);
        Ok(())
    }

    /// Takes the slots' rows as they are now.
    pub(crate) fn update_slots(&mut self) -> Result<(), VaultError> {
        self.dirty = true;
        self.base.slots = slot::all(self.conn)?;
        self.base.manifest.slots = slot::root(&self.base.slots, self.base.own.id);
        Ok(())
    }

    /// Withdraws every grant that allows; what denies stays. Gives how many.
    pub(crate) fn withdraw_all(&mut self) -> Result<usize, VaultError> {
        let grants = self.base.grants(self.key)?;
        let allowing: Vec<_> =
            grants.into_iter().filter(|(_, grant)| grant.effect == Effect::Allow).collect();
        allowing.iter().try_for_each(|(id, _)| granted::delete(self.conn, *id))?;
        self.update_grants()?;
        Ok(allowing.len())
    }

    /// Writes the manifest if anything that it covers was changed, or the log has grown long since it was written.
    /// `place` notes the counter it is given and says where. Gives the counter and the log's end.
    pub(crate) fn finish(
        mut self,
        place: impl FnOnce(&Own, &Manifest) -> [u8; 32],
    ) -> Result<Finished, VaultError> {
        let written = self.dirty || self.end.sequence - self.base.manifest.log_sequence > LOG_LAG;
        if written {
            let manifest = &mut self.base.manifest;
            manifest.place = place(&self.base.own, manifest);
            manifest.counter += 1;
            manifest.set_log(self.key, self.end.sequence, self.end.hash, &self.end.key)?;
            manifest.store(self.conn, &self.base.own, self.key)?;
        }
        let fingerprint = self.base.own.fingerprint();
        Ok(Finished { counter: self.base.manifest.counter, written, fingerprint, end: self.end })
    }
}

/// What a change came to.
pub(crate) struct Finished {
    pub(crate) counter: u64,
    pub(crate) written: bool,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) end: End,
}

/// What [`rebuild`] is told.
pub(crate) struct Rebuild {
    /// The counter goes above this one.
    pub(crate) above: u64,
    /// Grants that allow stay.
    pub(crate) keep_grants: bool,
    /// Where it happens.
    pub(crate) place: [u8; 32],
    /// What the log says about it.
    pub(crate) event: Event,
}

/// What [`rebuild`] did.
pub(crate) struct Rebuilt {
    pub(crate) counter: u64,
    pub(crate) end: End,
    pub(crate) withdrawn: usize,
}

/// Binds the rows as they are into a manifest of their own, whatever the old one says: for a new vault, for a restored
/// one, and when the owner accepts the file as it stands. Rows whose own MAC is wrong are still refused.
pub(crate) fn rebuild(conn: &Connection, key: &VaultKey, with: Rebuild) -> Result<Rebuilt, VaultError> {
    let own = Own::load(conn)?;
    own.private_key(key)?;
    entry::each(conn, |entry| entry.verify(key))?;
    // Numbers of an authentic manifest count; those of another could be anything.
    let old = Manifest::load(conn, &own, key).unwrap_or_else(|_| Manifest::empty());
    let mut manifest = Manifest::empty();
    manifest.counter = old.counter.max(with.above).saturating_add(1);
    manifest.place = with.place;
    let slots = slot::all(conn)?;
    slots.iter().try_for_each(|slot| slot.info(own.id).map(|_| ()))?;
    manifest.slots = slot::root(&slots, own.id);
    manifest.next_slot = slots.iter().map(|slot| slot.id.0 + 1).fold(old.next_slot, u64::max);

    let mut withdrawn = 0;
    let stored = granted::all(conn)?;
    manifest.next_grant = stored.iter().map(|grant| grant.id.0 + 1).fold(old.next_grant, u64::max);
    for grant in stored {
        match grant.verified(key) {
            Ok(held) if held.effect == Effect::Deny || with.keep_grants => {}
            _ => {
                granted::delete(conn, grant.id)?;
                withdrawn += 1;
            }
        }
    }
    manifest.grants = granted::root(&granted::all(conn)?);
    tree::rebuild(conn, &mut manifest)?;

    let mut end = End::origin(own.log_origin(key)?);
    let mut event = with.event;
    match end.follow(conn, own.id) {
        Ok(()) => {}
        Err(VaultError::LogChanged { row, change }) => {
            let said = event.note.take().map_or_else(String::new, |note| format!("{note}; "));
            event.note = Some(format!("{said}the log had been changed at row {row} ({change})"));
            end.skip_to_last(conn)?;
        }
        Err(error) => return Err(error),
    }
    end.panicked = false;
    end.append(conn, own.id, &event)?;
    manifest.set_log(key, end.sequence, end.hash, &end.key)?;
    manifest.store(conn, &own, key)?;
    Ok(Rebuilt { counter: manifest.counter, end, withdrawn })
}
