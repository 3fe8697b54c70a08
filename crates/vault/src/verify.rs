//! The check of everything, from the first row to the last.

use rusqlite::Connection;
use serde::Serialize;

use crate::change::Base;
use crate::keys::VaultKey;
use crate::log_check::{self, AuditReport};
use crate::log_key::KeyState;
use crate::{Unlocked, VaultError, entry, log_key, tree};

/// What was verified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VerifyReport {
    /// The manifest's counter.
    pub counter: u64,
    /// Secrets.
    pub secrets: usize,
    /// Their versions.
    pub versions: usize,
    /// Grants.
    pub grants: usize,
    /// Key slots.
    pub slots: usize,
    /// Rows of the log.
    pub rows: u64,
}

impl Unlocked<'_> {
    /// Verifies everything: the file, the manifest, every slot, grant, version and row of the log.
    pub fn verify(&self) -> Result<VerifyReport, VaultError> {
        self.vault.db.read(|conn| {
            let state = log_key::read(&self.vault.dir, self.vault.id)?;
            everything(conn, &self.key, self.seen, &state)
        })
    }

    /// Verifies the log from its first row. A log that was changed is a report, not an error.
    pub fn verify_audit(&self) -> Result<AuditReport, VaultError> {
        self.vault.db.read(|conn| {
            let state = log_key::read(&self.vault.dir, self.vault.id).ok();
            let base = Base::load(conn, &self.key, self.seen)?;
            log_check::check(conn, &base.own, &base.manifest, &self.key, state.as_ref())
        })
    }
}

/// Verifies a whole vault file.
pub(crate) fn everything(
    conn: &Connection,
    key: &VaultKey,
    seen: u64,
    state: &KeyState,
) -> Result<VerifyReport, VaultError> {
    let said: String = conn.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if said != "ok" {
        return Err(VaultError::corrupt(said));
    }
    let base = Base::load(conn, key, seen)?;
    base.slots.iter().try_for_each(|slot| slot.info(key.id()).map(|_| ()))?;
    let grants = base.grants(key)?.len();
    let mut versions = 0;
    entry::each(conn, |entry| {
        versions += 1;
        entry.verify(key)
    })?;
    tree::verify_all(conn, &base.manifest)?;
    let log = log_check::check(conn, &base.own, &base.manifest, key, Some(state))?;
    if let Some((row, change)) = log.first_bad {
        return Err(VaultError::LogChanged { row, change });
    }
    Ok(VerifyReport {
        counter: base.manifest.counter,
        secrets: entry::infos(conn)?.len(),
        versions,
        grants,
        slots: base.slots.len(),
        rows: log.rows,
    })
}
