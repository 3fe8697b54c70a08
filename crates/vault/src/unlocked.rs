//! The vault as its owner has it: unlocked. Every change is one transaction that verifies, changes and binds anew.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::Serialize;

use crate::change::{Base, Change, Finished};
use crate::entry::{self, Entry};
use crate::keys::VaultKey;
use crate::log::End;
use crate::{
    Event, EventKind, SecretBytes, SecretInfo, SecretName, SlotId, Vault, VaultError, Witness, inbox, log,
    log_key, tree,
};

/// An unlocked vault. Dropping it locks the vault again.
///
/// There is no function that gives out a value without a row in the log: [`Unlocked::begin_run`] is the only one that
/// gives any.
pub struct Unlocked<'v> {
    pub(crate) vault: &'v mut Vault,
    pub(crate) key: VaultKey,
    pub(crate) owner: bool,
    /// The key slots that were opened.
    pub(crate) proven: Vec<SlotId>,
    pub(crate) failures: u64,
    pub(crate) notices: Vec<String>,
    /// The highest manifest counter that this process has seen.
    pub(crate) seen: u64,
    /// The end of the log as far as it was verified; `None` when it did not verify.
    pub(crate) end: Option<End>,
}

/// A program that was let have a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SecretUser {
    /// Its path, as the log has it.
    pub program: String,
    /// When it was started last, milliseconds since 1970.
    pub last: i64,
    /// How often it was started.
    pub runs: u64,
}

impl Deref for Unlocked<'_> {
    type Target = Vault;

    fn deref(&self) -> &Vault {
        self.vault
    }
}

impl std::fmt::Debug for Unlocked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unlocked")
            .field("vault", &self.vault)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl Unlocked<'_> {
    /// Whether the vault was opened as its owner: by passphrase or recovery code, or by the key file of a vault that
    /// has no passphrase. Another key file may use what is allowed, and change nothing.
    pub fn is_owner(&self) -> bool {
        self.owner
    }

    /// Failed attempts to unlock between the last success and this one.
    pub fn last_failures(&self) -> u64 {
        self.failures
    }

    /// What the owner should be told: lines for a person.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The manifest's counter, which every change moves up.
    pub fn counter(&self) -> u64 {
        self.seen
    }

    /// Stores a value, accepted at once; a new version when there is a secret of the name.
    pub fn put(
        &mut self,
        name: &SecretName,
        value: &SecretBytes,
        hosts: &[String],
    ) -> Result<SecretInfo, VaultError> {
        let hosts = entry::hosts_to(hosts)?;
        self.change(|change| {
            let entry = add_version(change, name, value, hosts)?;
            change.log_secret(
                EventKind::Store,
                name,
                Some(format!("accepted as version {}", entry.version)),
            )?;
            entry.info()
        })
    }

    /// Stores many values, accepted at once, in one transaction and one row of the log: all or none.
    pub fn put_all(
        &mut self,
        secrets: impl IntoIterator<Item = (SecretName, SecretBytes, Vec<String>)>,
    ) -> Result<Vec<SecretInfo>, VaultError> {
        self.change(|change| {
            // Everything is checked once and bound once, instead of a place in the tree for each.
            tree::verify_all(change.conn, &change.base.manifest)?;
            let (mut infos, mut event) = (Vec::new(), Event::new(EventKind::Store));
            for (name, value, hosts) in secrets {
                let entry = insert_version(change, &name, &value, entry::hosts_to(&hosts)?)?;
                infos.push(entry.info()?);
                event.secrets.push(name);
            }
            tree::rebuild(change.conn, &mut change.base.manifest)?;
            event.note = Some("accepted at once".into());
            change.log(&event)?;
            Ok(infos)
        })
    }

    /// Makes the newest waiting value of each name usable; older ones of the name are thrown away. All or none.
    pub fn accept(&mut self, names: &[SecretName]) -> Result<Vec<SecretInfo>, VaultError> {
        self.change(|change| {
            let private = change.base.private_key(change.key)?;
            let mut infos = Vec::new();
            for name in names {
                let item =
                    inbox::newest(change.conn, name)?.ok_or_else(|| VaultError::NotInInbox(name.clone()))?;
                let value = item.open(change.base.own.id, &private)?;
                let entry = add_version(change, name, &value, item.hosts)?;
                inbox::delete(change.conn, name)?;
                change.log_secret(EventKind::Accept, name, Some(format!("version {}", entry.version)))?;
                infos.push(entry.info()?);
            }
            Ok(infos)
        })
    }

    /// Throws every waiting value of each name away. All or none.
    pub fn reject(&mut self, names: &[SecretName]) -> Result<usize, VaultError> {
        self.change(|change| {
            let mut count = 0;
            for name in names {
                match inbox::delete(change.conn, name)? {
                    0 => return Err(VaultError::NotInInbox(name.clone())),
                    deleted => count += deleted,
                }
                change.log_secret(EventKind::Reject, name, None)?;
            }
            Ok(count)
        })
    }

    /// Removes a secret with all its versions; gives how many.
    pub fn remove(&mut self, name: &SecretName) -> Result<usize, VaultError> {
        self.change(|change| {
            change.check(name)?;
            let count = match entry::delete_below(change.conn, name, i64::MAX as u64)? {
                0 => return Err(VaultError::NoSuchSecret(name.clone())),
                count => count,
            };
            change.update(name)?;
            change.log_secret(EventKind::Remove, name, None)?;
            Ok(count)
        })
    }

    /// Gives a secret, with all its versions, another name, which must be free.
    pub fn rename(&mut self, old: &SecretName, new: &SecretName) -> Result<SecretInfo, VaultError> {
        self.change(|change| {
            change.check(old)?;
            change.check(new)?;
            let versions = entry::versions(change.conn, old)?;
            if versions.is_empty() {
                return Err(VaultError::NoSuchSecret(old.clone()));
            }
            if entry::newest_version(change.conn, new)?.is_some() {
                return Err(VaultError::NameTaken(new.clone()));
            }
            entry::delete_below(change.conn, old, i64::MAX as u64)?;
            let mut info = None;
            for mut version in versions {
                version.verify(change.key)?;
                version.name = new.clone();
                version.authenticate(change.key);
                version.insert(change.conn)?;
                info = Some(version.info()?);
            }
            change.update(old)?;
            change.update(new)?;
            let mut event = Event::new(EventKind::Rename);
            event.secrets = vec![old.clone(), new.clone()];
            change.log(&event)?;
            info.ok_or_else(|| VaultError::NoSuchSecret(old.clone()))
        })
    }

    /// Gives a secret another value; its hosts stay. The old version is kept, encrypted, until [`Unlocked::purge`].
    pub fn rotate(&mut self, name: &SecretName, value: &SecretBytes) -> Result<SecretInfo, VaultError> {
        self.change(|change| {
            change.check(name)?;
            let old =
                entry::newest(change.conn, name)?.ok_or_else(|| VaultError::NoSuchSecret(name.clone()))?;
            old.verify(change.key)?;
            let entry = add_version(change, name, value, old.hosts)?;
            change.log_secret(EventKind::Rotate, name, Some(format!("version {}", entry.version)))?;
            entry.info()
        })
    }

    /// Erases the old versions of a secret; gives how many.
    pub fn purge(&mut self, name: &SecretName) -> Result<usize, VaultError> {
        let count = self.change(|change| {
            change.check(name)?;
            let newest = entry::newest_version(change.conn, name)?;
            let newest = newest.ok_or_else(|| VaultError::NoSuchSecret(name.clone()))?;
            let count = entry::delete_below(change.conn, name, newest)?;
            change.update(name)?;
            change.log_secret(EventKind::Purge, name, Some(format!("{count} versions")))?;
            Ok(count)
        })?;
        // So that the write-ahead log does not keep the pages. Others that read it now keep it a little longer.
        let _ = self.vault.db.checkpoint();
        Ok(count)
    }

    /// Which programs were let have a secret, by the log: the one started last comes first.
    pub fn users_of(&self, name: &SecretName) -> Result<Vec<SecretUser>, VaultError> {
        const PAGE: usize = 1_000;
        let mut users = BTreeMap::<String, (i64, u64)>::new();
        let mut from = 1;
        loop {
            let rows = self.vault.db.read(|conn| log::list(conn, from, PAGE))?;
            let Some(last) = rows.last() else { break };
            from = last.sequence + 1;
            for row in
                rows.iter().filter(|row| row.event.kind == EventKind::Run && row.event.secrets.contains(name))
            {
                let user =
                    users.entry(row.event.program.clone().unwrap_or_default()).or_insert((row.time, 0));
                *user = (user.0.max(row.time), user.1 + 1);
            }
        }
        let user = |(program, (last, runs))| SecretUser { program, last, runs };
        let mut users: Vec<_> = users.into_iter().map(user).collect();
        users.sort_by_key(|user| std::cmp::Reverse(user.last));
        Ok(users)
    }

    /// Writes a row of the log; synced when it returns. Gives its number.
    pub fn append(&mut self, event: &Event) -> Result<u64, VaultError> {
        self.vault.append(event)
    }

    /// Makes the log's key file anew, when it is lost or damaged. The log says so.
    pub fn repair_audit_key(&mut self) -> Result<(), VaultError> {
        self.need_owner()?;
        let event = Event::new(EventKind::RepairAuditKey);
        let vault = &*self.vault;
        let end = vault.db.write(&vault.dir, |conn| {
            let mut change = Change::begin(conn, &self.key, None, self.seen, None)?;
            change.log(&event)?;
            Ok(change.finish(|_, manifest| manifest.place)?.end)
        })?;
        log_key::replace(&vault.dir, vault.id, &end.state())?;
        self.end = Some(end);
        Ok(())
    }

    /// One change by the owner.
    pub(crate) fn change<T>(
        &mut self,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.need_owner()?;
        self.transact(true, work)
    }

    pub(crate) fn need_owner(&self) -> Result<(), VaultError> {
        if self.owner { Ok(()) } else { Err(VaultError::NeedsOwner) }
    }

    /// One verified transaction. With `always`, the manifest is written even if the work asked for no change.
    pub(crate) fn transact<T>(
        &mut self,
        always: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let (vault, key) = (&*self.vault, &self.key);
        let here = vault.witness.place(vault.dir.path());
        let (done, finished) = vault.db.write(&vault.dir, |conn| {
            let mut change = Change::begin(conn, key, Some(&vault.dir), self.seen, self.end.as_ref())?;
            let done = work(&mut change)?;
            change.dirty |= always;
            let finished = change.finish(|own, manifest| match manifest.place == here {
                true => here,
                // A place counts from when a note lies there. Where none can lie, the last place stays: otherwise an
                // environment without a state directory would end the protection of the one that has it.
                false if here == Witness::NOWHERE => manifest.place,
                false if vault.witness.record(key, manifest.counter, own.fingerprint()).is_ok() => here,
                false => manifest.place,
            })?;
            Ok((done, finished))
        })?;
        let Finished { counter, written, fingerprint, end } = finished;
        // Both may lag behind the vault without harm; the next change brings them up.
        let _ = log_key::advance(&vault.dir, vault.id, &end.state(), || vault.db.is_in_place());
        if written {
            let _ = vault.witness.record(key, counter, fingerprint);
        }
        self.end = Some(end);
        self.seen = counter;
        Ok(done)
    }

    /// What the manifest covers, verified now.
    pub(crate) fn base(&self) -> Result<Base, VaultError> {
        self.vault.db.read(|conn| Base::load(conn, &self.key, self.seen))
    }
}

/// Seals a value as the next version of a secret.
fn add_version(
    change: &mut Change<'_>,
    name: &SecretName,
    value: &SecretBytes,
    hosts: String,
) -> Result<Entry, VaultError> {
    change.check(name)?;
    let entry = insert_version(change, name, value, hosts)?;
    change.update(name)?;
    Ok(entry)
}

/// The same, with the tree left to the caller.
fn insert_version(
    change: &Change<'_>,
    name: &SecretName,
    value: &SecretBytes,
    hosts: String,
) -> Result<Entry, VaultError> {
    let version = entry::newest_version(change.conn, name)?.unwrap_or(0) + 1;
    let entry = Entry::seal(change.key, &change.base.own.public_key, name, version, hosts, value)?;
    entry.insert(change.conn)?;
    Ok(entry)
}
