//! Accepted versions of secrets: sealed, each under a MAC of the vault key.

use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::Serialize;

use crate::encode::Transcript;
use crate::keys::{self, SubKey, VaultId, VaultKey, purpose};
use crate::row::{signed, unsigned};
use crate::seal::{self, Sealed};
use crate::{SecretBytes, SecretName, VaultError, tree};

/// What is known of a secret besides its value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// Its newest version, from 1.
    pub version: u64,
    /// When that version was accepted, milliseconds since 1970.
    pub created: i64,
    /// The hosts it may be sent to as a placeholder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// One version of a secret as it is stored.
pub(crate) struct Entry {
    pub(crate) name: SecretName,
    pub(crate) version: u64,
    pub(crate) created: i64,
    /// JSON array of strings.
    pub(crate) hosts: String,
    /// Random number of the sealing, which binds the ciphertext to this row.
    item: Vec<u8>,
    sealed: Sealed,
    mac: Vec<u8>,
}

const COLUMNS: &str = "name, version, created, hosts, item, suite, enc, mac, ciphertext";

impl Entry {
    /// Seals a value as a version of a secret.
    pub(crate) fn seal(
        key: &VaultKey,
        public: &[u8; 32],
        name: &SecretName,
        version: u64,
        hosts: String,
        value: &SecretBytes,
    ) -> Result<Self, VaultError> {
        let item = keys::random::<16>()?.to_vec();
        let sealed = seal::seal(key.id(), public, &bound(key.id(), &item), value)?;
        let created = crate::clock::now();
        let mut entry = Self { name: name.clone(), version, created, hosts, item, sealed, mac: Vec::new() };
        entry.authenticate(key);
        Ok(entry)
    }

    /// Computes the MAC anew, after a change of name.
    pub(crate) fn authenticate(&mut self, key: &VaultKey) {
        self.mac = self.transcript(key.id()).mac(&key.sub(purpose::ENTRY_MAC)).to_vec();
    }

    /// Checks the MAC.
    pub(crate) fn verify(&self, key: &VaultKey) -> Result<(), VaultError> {
        match self.transcript(key.id()).has_mac(&key.sub(purpose::ENTRY_MAC), &self.mac) {
            true => Ok(()),
            false => Err(VaultError::EntryChanged { name: self.name.clone() }),
        }
    }

    /// Opens the value. The MAC was checked.
    pub(crate) fn open(&self, id: VaultId, private: &SubKey) -> Result<SecretBytes, VaultError> {
        seal::open(id, private, &bound(id, &self.item), &self.sealed)
            .ok_or_else(|| VaultError::EntryChanged { name: self.name.clone() })
    }

    fn transcript(&self, id: VaultId) -> Transcript {
        Transcript::new("entry")
            .bytes(&id.0)
            .text(self.name.as_str())
            .number(self.version)
            .signed(self.created)
            .text(&self.hosts)
            .bytes(&self.item)
            .signed(self.sealed.suite)
            .bytes(&self.sealed.enc)
            .bytes(&self.sealed.ciphertext)
    }

    fn read(row: &Row<'_>) -> Result<Self, VaultError> {
        Ok(Self {
            name: name(row.get(0)?)?,
            version: unsigned(row.get(1)?)?,
            created: row.get(2)?,
            hosts: row.get(3)?,
            item: row.get(4)?,
            sealed: Sealed { suite: row.get(5)?, enc: row.get(6)?, ciphertext: row.get(8)? },
            mac: row.get(7)?,
        })
    }

    pub(crate) fn insert(&self, conn: &Connection) -> Result<(), VaultError> {
        let mut statement = conn.prepare_cached(
            "INSERT INTO entry (leaf, name, version, created, hosts, item, suite, enc, mac, ciphertext) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        statement.execute((
            tree::leaf(self.name.as_str()),
            self.name.as_str(),
            signed(self.version)?,
            self.created,
            &self.hosts,
            &self.item,
            self.sealed.suite,
            &self.sealed.enc,
            &self.mac,
            &self.sealed.ciphertext,
        ))?;
        Ok(())
    }

    /// What is listed of it.
    pub(crate) fn info(&self) -> Result<SecretInfo, VaultError> {
        let (name, hosts) = (self.name.clone(), hosts_from(&self.hosts)?);
        Ok(SecretInfo { name, version: self.version, created: self.created, hosts })
    }
}

/// What a sealed version is bound to. Its name is bound by the MAC, so that a rename need not open it.
fn bound(id: VaultId, item: &[u8]) -> Transcript {
    Transcript::new("entry value").bytes(&id.0).bytes(item)
}

/// A stored name.
pub(crate) fn name(text: String) -> Result<SecretName, VaultError> {
    text.parse().map_err(|_| VaultError::corrupt("a secret's name cannot be read"))
}

/// Hosts as they are stored.
pub(crate) fn hosts_to(hosts: &[String]) -> Result<String, VaultError> {
    serde_json::to_string(hosts).map_err(|error| VaultError::corrupt(error.to_string()))
}

/// Stored hosts.
pub(crate) fn hosts_from(text: &str) -> Result<Vec<String>, VaultError> {
    serde_json::from_str(text).map_err(|_| VaultError::corrupt("a secret's hosts cannot be read"))
}

/// The newest version of a secret, MAC unchecked.
pub(crate) fn newest(conn: &Connection, name: &SecretName) -> Result<Option<Entry>, VaultError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entry WHERE leaf = ?1 AND name = ?2 ORDER BY version DESC LIMIT 1"
    ))?;
    let mut rows = statement.query((tree::leaf(name.as_str()), name.as_str()))?;
    rows.next()?.map(Entry::read).transpose()
}

/// Every version of a secret, oldest first, MACs unchecked.
pub(crate) fn versions(conn: &Connection, name: &SecretName) -> Result<Vec<Entry>, VaultError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entry WHERE leaf = ?1 AND name = ?2 ORDER BY version"
    ))?;
    let mut rows = statement.query((tree::leaf(name.as_str()), name.as_str()))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(Entry::read(row)?);
    }
    Ok(entries)
}

/// Gives every version in the vault to `each`, one at a time.
pub(crate) fn each(
    conn: &Connection,
    mut each: impl FnMut(Entry) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS}, leaf FROM entry"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let entry = Entry::read(row)?;
        if row.get::<_, i64>(9)? != i64::from(tree::leaf(entry.name.as_str())) {
            return Err(VaultError::EntriesMoved { name: entry.name.to_string() });
        }
        each(entry)?;
    }
    Ok(())
}

/// What is listed of the newest version of a secret, unchecked.
pub(crate) fn info(conn: &Connection, name: &SecretName) -> Result<Option<SecretInfo>, VaultError> {
    let mut statement = conn.prepare_cached(
        "SELECT name, version, created, hosts FROM entry WHERE leaf = ?1 AND name = ?2 ORDER BY version DESC LIMIT 1",
    )?;
    let mut rows = statement.query((tree::leaf(name.as_str()), name.as_str()))?;
    rows.next()?.map(read_info).transpose()
}

/// What is listed of the newest version of every secret, by name, unchecked.
pub(crate) fn infos(conn: &Connection) -> Result<Vec<SecretInfo>, VaultError> {
    let mut statement = conn
        .prepare_cached("SELECT name, max(version), created, hosts FROM entry GROUP BY name ORDER BY name")?;
    let mut rows = statement.query(())?;
    let mut infos = Vec::new();
    while let Some(row) = rows.next()? {
        infos.push(read_info(row)?);
    }
    Ok(infos)
}

fn read_info(row: &Row<'_>) -> Result<SecretInfo, VaultError> {
    let hosts: String = row.get(3)?;
    Ok(SecretInfo {
        name: name(row.get(0)?)?,
        version: unsigned(row.get(1)?)?,
        created: row.get(2)?,
        hosts: hosts_from(&hosts)?,
    })
}

/// The newest version's number, unchecked.
pub(crate) fn newest_version(conn: &Connection, name: &SecretName) -> Result<Option<u64>, VaultError> {
    let mut statement = conn.prepare_cached(
        "SELECT version FROM entry WHERE leaf = ?1 AND name = ?2 ORDER BY version DESC LIMIT 1",
    )?;
    let version =
        statement.query_row((tree::leaf(name.as_str()), name.as_str()), |row| row.get(0)).optional()?;
    version.map(unsigned).transpose()
}

/// Removes the versions of a secret below a number; gives how many.
pub(crate) fn delete_below(conn: &Connection, name: &SecretName, version: u64) -> Result<usize, VaultError> {
    let mut statement =
        conn.prepare_cached("DELETE FROM entry WHERE leaf = ?1 AND name = ?2 AND version < ?3")?;
    Ok(statement.execute((tree::leaf(name.as_str()), name.as_str(), signed(version)?))?)
}
