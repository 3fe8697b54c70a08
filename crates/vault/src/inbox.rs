//! What was stored while the vault was locked. Anyone may put something here; it is not usable until accepted.

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::encode::Transcript;
use crate::keys::{self, SubKey, VaultId};
use crate::row::unsigned;
use crate::seal::{self, Sealed};
use crate::{SecretBytes, SecretName, VaultError, entry};

/// A value that waits for the owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InboxItem {
    /// Its number in the inbox; a higher one came later.
    pub id: u64,
    /// The name it was stored under.
    pub name: SecretName,
    /// When it was stored, milliseconds since 1970, by the word of whoever stored it.
    pub created: i64,
    /// The hosts it may be sent to as a placeholder, once accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The version of the accepted secret that it would replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
}

/// An item as it is stored.
pub(crate) struct Item {
    id: u64,
    pub(crate) name: SecretName,
    created: i64,
    pub(crate) hosts: String,
    item: Vec<u8>,
    sealed: Sealed,
}

const COLUMNS: &str = "id, name, created, hosts, item, suite, enc, ciphertext";

impl Item {
    /// Seals a value into the inbox.
    pub(crate) fn store(
        conn: &Connection,
        vault: VaultId,
        public: &[u8; 32],
        name: &SecretName,
        value: &SecretBytes,
        hosts: &[String],
    ) -> Result<Self, VaultError> {
        let (item, hosts) = (keys::random::<16>()?.to_vec(), entry::hosts_to(hosts)?);
        let sealed = seal::seal(vault, public, &bound(vault, name, &item, &hosts), value)?;
        let created = crate::clock::now();
        let mut statement = conn.prepare_cached(
            "INSERT INTO inbox (name, created, hosts, item, suite, enc, ciphertext) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let row = (name.as_str(), created, &hosts, &item, sealed.suite, &sealed.enc, &sealed.ciphertext);
        let id = unsigned(statement.insert(row)?)?;
        Ok(Self { id, name: name.clone(), created, hosts, item, sealed })
    }

    fn read(row: &Row<'_>) -> Result<Self, VaultError> {
        Ok(Self {
            id: unsigned(row.get(0)?)?,
            name: entry::name(row.get(1)?)?,
            created: row.get(2)?,
            hosts: row.get(3)?,
            item: row.get(4)?,
            sealed: Sealed { suite: row.get(5)?, enc: row.get(6)?, ciphertext: row.get(7)? },
        })
    }

    /// Opens the value: only what was sealed to this vault, under this name and for these hosts, opens.
    pub(crate) fn open(&self, vault: VaultId, private: &SubKey) -> Result<SecretBytes, VaultError> {
        seal::open(vault, private, &bound(vault, &self.name, &self.item, &self.hosts), &self.sealed)
            .ok_or_else(|| VaultError::InboxUnreadable { name: self.name.clone() })
    }

    /// What is listed of it.
    pub(crate) fn info(&self, conn: &Connection) -> Result<InboxItem, VaultError> {
        Ok(InboxItem {
            id: self.id,
            name: self.name.clone(),
            created: self.created,
            hosts: entry::hosts_from(&self.hosts)?,
            replaces: entry::newest_version(conn, &self.name)?,
        })
    }
}

fn bound(vault: VaultId, name: &SecretName, item: &[u8], hosts: &str) -> Transcript {
    Transcript::new("inbox value").bytes(&vault.0).text(name.as_str()).bytes(item).text(hosts)
}

/// Every item, oldest first.
pub(crate) fn all(conn: &Connection) -> Result<Vec<InboxItem>, VaultError> {
    let mut statement = conn.prepare_cached("SELECT id, name, created, hosts FROM inbox ORDER BY id")?;
    let mut rows = statement.query(())?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, hosts) = (entry::name(row.get(1)?)?, row.get::<_, String>(3)?);
        items.push(InboxItem {
            id: unsigned(row.get(0)?)?,
            replaces: entry::newest_version(conn, &name)?,
            name,
            created: row.get(2)?,
            hosts: entry::hosts_from(&hosts)?,
        });
    }
    Ok(items)
}

/// The newest item of a name.
pub(crate) fn newest(conn: &Connection, name: &SecretName) -> Result<Option<Item>, VaultError> {
    let mut statement = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM inbox WHERE name = ?1 ORDER BY id DESC LIMIT 1"))?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(Item::read).transpose()
}

/// Throws away every item of a name; gives how many.
pub(crate) fn delete(conn: &Connection, name: &SecretName) -> Result<usize, VaultError> {
    Ok(conn.prepare_cached("DELETE FROM inbox WHERE name = ?1")?.execute([name.as_str()])?)
}
