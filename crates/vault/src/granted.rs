//! Grants as they are stored: JSON under a MAC, and a digest of all of them.

use rusqlite::Connection;

use crate::encode::Transcript;
use crate::keys::{VaultId, VaultKey, purpose};
use crate::row::{signed, unsigned};
use crate::{Grant, GrantId, VaultError};

/// A grant's row.
pub(crate) struct Stored {
    pub(crate) id: GrantId,
    mac: Vec<u8>,
    body: String,
}

impl Stored {
    /// Puts a grant under its MAC.
    pub(crate) fn new(key: &VaultKey, id: GrantId, grant: &Grant) -> Result<Self, VaultError> {
        let body = serde_json::to_string(grant).map_err(|error| VaultError::corrupt(error.to_string()))?;
        let mac = transcript(key.id(), id, &body).mac(&key.sub(purpose::GRANT_MAC)).to_vec();
        Ok(Self { id, mac, body })
    }

    /// Writes it, over the one of its number.
    pub(crate) fn store(&self, conn: &Connection) -> Result<(), VaultError> {
        let mut statement = conn.prepare_cached("INSERT OR REPLACE INTO grants VALUES (?1, ?2, ?3)")?;
        statement.execute((signed(self.id.0)?, &self.mac, &self.body))?;
        Ok(())
    }

    /// The grant, MAC unchecked.
    pub(crate) fn unverified(&self) -> Result<Grant, VaultError> {
        serde_json::from_str(&self.body).map_err(|_| VaultError::GrantChanged { id: self.id })
    }

    /// The grant, MAC checked.
    pub(crate) fn verified(&self, key: &VaultKey) -> Result<Grant, VaultError> {
        match transcript(key.id(), self.id, &self.body).has_mac(&key.sub(purpose::GRANT_MAC), &self.mac) {
            true => self.unverified(),
            false => Err(VaultError::GrantChanged { id: self.id }),
        }
    }
}

fn transcript(vault: VaultId, id: GrantId, body: &str) -> Transcript {
    Transcript::new("grant").bytes(&vault.0).number(id.0).text(body)
}

/// Every grant's row, in the order of their numbers.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Stored>, VaultError> {
    let mut statement = conn.prepare_cached("SELECT id, mac, body FROM grants ORDER BY id")?;
    let mut rows = statement.query(())?;
    let mut grants = Vec::new();
    while let Some(row) = rows.next()? {
        grants.push(Stored { id: GrantId(unsigned(row.get(0)?)?), mac: row.get(1)?, body: row.get(2)? });
    }
    Ok(grants)
}

/// The digest of all grants that the manifest holds.
pub(crate) fn root(grants: &[Stored]) -> [u8; 32] {
    let start = Transcript::new("grants").number(grants.len() as u64);
    grants.iter().fold(start, |so_far, grant| so_far.number(grant.id.0).bytes(&grant.mac)).sha256()
}

/// Removes a grant.
pub(crate) fn delete(conn: &Connection, id: GrantId) -> Result<(), VaultError> {
    conn.prepare_cached("DELETE FROM grants WHERE id = ?1")?.execute([signed(id.0)?])?;
    Ok(())
}
