//! The audit log: rows chained by hash, each under a MAC whose key evolves and is erased.
//!
//! Row n has the MAC key K(n); K(n+1) follows from K(n) and not the other way round. Whoever takes the key of today
//! cannot write another yesterday.

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow};
use serde::Serialize;

use crate::encode::Transcript;
use crate::keys::{self, SubKey, VaultId, VaultKey};
use crate::log_key::KeyState;
use crate::manifest::{Manifest, Own};
use crate::row::{array, signed, unsigned};
use crate::{Digest, Event, EventKind, VaultError, log_check};

/// A row of the log as it is listed. Not verified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditRow {
    /// Its number, from 1.
    pub sequence: u64,
    /// The clock when it was written, milliseconds since 1970; never earlier than the row before.
    pub time: i64,
    /// What it says.
    pub event: Event,
    /// Its hash, which the next row contains.
    pub hash: Digest,
}

/// A row as it is stored.
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) time: i64,
    pub(crate) event: String,
    pub(crate) previous: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) mac: Vec<u8>,
}

impl Row {
    fn read(row: &SqlRow<'_>) -> Result<Self, VaultError> {
        Ok(Self {
            sequence: unsigned(row.get(0)?)?,
            time: row.get(1)?,
            event: row.get(2)?,
            previous: row.get(3)?,
            hash: row.get(4)?,
            mac: row.get(5)?,
        })
    }

    /// Whether these bytes were written as row `sequence` by whoever held its key.
    pub(crate) fn was_written_as(&self, id: VaultId, sequence: u64, key: &SubKey) -> bool {
        let hash = hash(id, sequence, self.time, &self.event, &self.previous);
        hash == *self.hash && mac(&hash).has_mac(key, &self.mac)
    }

    fn listed(self) -> Result<AuditRow, VaultError> {
        let changed = |change: &str| VaultError::LogChanged { row: self.sequence, change: change.into() };
        Ok(AuditRow {
            sequence: self.sequence,
            time: self.time,
            event: serde_json::from_str(&self.event).map_err(|_| changed("its text cannot be read"))?,
            hash: Digest::new(array(&self.hash, "a hash of the log")?),
        })
    }
}

fn hash(id: VaultId, sequence: u64, time: i64, event: &str, previous: &[u8]) -> [u8; 32] {
    Transcript::new("log row").bytes(&id.0).number(sequence).signed(time).text(event).bytes(previous).sha256()
}

fn mac(hash: &[u8; 32]) -> Transcript {
    Transcript::new("log row mac").bytes(hash)
}

/// The key of the row after the one of `key`.
pub(crate) fn next_key(key: &SubKey) -> SubKey {
    keys::derive(&[], key.as_slice(), &Transcript::new("log key next"))
}

/// The end of the log as far as it was verified: the last good row, and the key of the next.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) key: SubKey,
    /// A row that was followed says that everything is to be stopped.
    pub(crate) panicked: bool,
}

impl End {
    /// Before the first row.
    pub(crate) fn origin(key: SubKey) -> Self {
        Self { sequence: 0, hash: [0; 32], key, panicked: false }
    }

    /// The head that the manifest recorded, checked to be there.
    pub(crate) fn recorded(
        conn: &Connection,
        own: &Own,
        manifest: &Manifest,
        key: &VaultKey,
    ) -> Result<Self, VaultError> {
        let next = manifest.log_key(own, key)?;
        let (row, id) = (manifest.log_sequence, own.id);
        if row > 0 {
            let found = Row::load(conn, row)?;
            let changed = |change: &str| VaultError::LogChanged { row, change: change.into() };
            match found {
                None if last_sequence(conn)? < row => {
                    return Err(VaultError::LogChanged {
                        row: last_sequence(conn)? + 1,
                        change: "truncation".into(),
                    });
                }
                None => return Err(changed("removal")),
                Some(found) => {
                    let computed = hash(id, found.sequence, found.time, &found.event, &found.previous);
                    if computed != manifest.log_hash || *found.hash != manifest.log_hash {
                        return Err(changed("edit"));
                    }
                }
            }
        }
        Ok(Self { sequence: row, hash: manifest.log_hash, key: next, panicked: false })
    }

    /// The end for a process without the vault key: by the key file. Rows that the key file has not seen (a writer
    /// was killed) are verified and followed.
    pub(crate) fn locked(conn: &Connection, id: VaultId, state: KeyState) -> Result<Self, VaultError> {
        let last = last_sequence(conn)?;
        if state.sequence > last + 1 {
            return Err(VaultError::LogChanged { row: last + 1, change: "truncation".into() });
        }
        let before = state.sequence - 1;
        let hash = match before {
            0 => [0; 32],
            _ => match Row::load(conn, before)? {
                Some(row) => array(&row.hash, "a hash of the log")?,
                None => return Err(VaultError::LogChanged { row: before, change: "removal".into() }),
            },
        };
        let mut end = Self { sequence: before, hash, key: state.key, panicked: false };
        end.follow(conn, id)?;
        Ok(end)
    }

    /// Verifies and takes in the rows that follow; an error names the first bad one.
    pub(crate) fn follow(&mut self, conn: &Connection, id: VaultId) -> Result<(), VaultError> {
        let mut statement = conn.prepare_cached(
            "SELECT sequence, time, event, previous, hash, mac FROM audit WHERE sequence > ?1 ORDER BY sequence",
        )?;
        let mut rows = statement.query([signed(self.sequence)?])?;
        while let Some(row) = rows.next()? {
            let row = Row::read(row)?;
            let expected = self.sequence + 1;
            if row.sequence != expected
                || *row.previous != self.hash
                || !row.was_written_as(id, expected, &self.key)
            {
                let change = log_check::classify(conn, id, expected, &self.key)?;
                return Err(VaultError::LogChanged { row: expected, change: change.into() });
            }
            self.panicked |=
                serde_json::from_str::<Event>(&row.event).is_ok_and(|e| e.kind == EventKind::Panic);
            self.hash = array(&row.hash, "a hash of the log")?;
            self.sequence = expected;
            self.key = next_key(&self.key);
        }
        Ok(())
    }

    /// Takes the stored end for good, whatever the rows say; the key is evolved to it.
    pub(crate) fn skip_to_last(&mut self, conn: &Connection) -> Result<(), VaultError> {
        /// More rows than this are not in one log.
        const MOST: u64 = 50_000_000;
        let last = last_sequence(conn)?;
        if last.saturating_sub(self.sequence) > MOST {
            return Err(VaultError::LogChanged { row: last, change: "insertion".into() });
        }
        while self.sequence < last {
            self.key = next_key(&self.key);
            self.sequence += 1;
        }
        if let Some(row) = Row::load(conn, last)? {
            self.hash = array(&row.hash, "a hash of the log")?;
        }
        Ok(())
    }

    /// Writes a row; gives its number.
    pub(crate) fn append(
        &mut self,
        conn: &Connection,
        id: VaultId,
        event: &Event,
    ) -> Result<u64, VaultError> {
        let sequence = self.sequence + 1;
        // Time in the log never goes back, so that a clock that was set back revives no grant that had ended.
        // Only when the owner accepts a state does it begin anew: a row could have been written with a wrong clock.
        let floor = match event.kind {
            EventKind::AcceptState => i64::MIN,
            _ => last_time(conn)?.unwrap_or(i64::MIN),
        };
        let time = floor.max(crate::clock::now());
        let text = serde_json::to_string(event).map_err(|error| VaultError::corrupt(error.to_string()))?;
        let hash = hash(id, sequence, time, &text, &self.hash);
        let mac = mac(&hash).mac(&self.key);
        let mut statement = conn.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        statement.execute((signed(sequence)?, time, &text, self.hash, hash, mac))?;
        self.key = next_key(&self.key);
        (self.sequence, self.hash) = (sequence, hash);
        Ok(sequence)
    }

    /// What the key file shall hold.
    pub(crate) fn state(&self) -> KeyState {
        KeyState { sequence: self.sequence + 1, key: self.key.clone() }
    }
}

impl Row {
    pub(crate) fn load(conn: &Connection, sequence: u64) -> Result<Option<Self>, VaultError> {
        let mut statement = conn.prepare_cached(
            "SELECT sequence, time, event, previous, hash, mac FROM audit WHERE sequence = ?1",
        )?;
        let mut rows = statement.query([signed(sequence)?])?;
        rows.next()?.map(Self::read).transpose()
    }

    /// Up to `limit` rows from `from` on.
    pub(crate) fn load_from(conn: &Connection, from: u64, limit: usize) -> Result<Vec<Self>, VaultError> {
        let mut statement = conn.prepare_cached(
            "SELECT sequence, time, event, previous, hash, mac FROM audit WHERE sequence >= ?1 ORDER BY sequence \
             LIMIT ?2",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((signed(from)?, limit))?;
        let mut read: Vec<Self> = Vec::new();
        while let Some(row) = rows.next()? {
            let row = Self::read(row)?;
            // A damaged index can give rows in any order, again and again: whoever reads page by page must get on.
            if row.sequence < from || read.last().is_some_and(|last| last.sequence >= row.sequence) {
                return Err(VaultError::LogChanged { row: row.sequence, change: "reorder".into() });
            }
            read.push(row);
        }
        Ok(read)
    }
}

/// The number of the last row; 0 when there is none.
pub(crate) fn last_sequence(conn: &Connection) -> Result<u64, VaultError> {
    let mut statement = conn.prepare_cached("SELECT sequence FROM audit ORDER BY sequence DESC LIMIT 1")?;
    statement.query_row((), |row| row.get(0)).optional()?.map_or(Ok(0), unsigned)
}

/// The time of the last row.
pub(crate) fn last_time(conn: &Connection) -> Result<Option<i64>, VaultError> {
    let mut statement = conn.prepare_cached("SELECT time FROM audit ORDER BY sequence DESC LIMIT 1")?;
    Ok(statement.query_row((), |row| row.get(0)).optional()?)
}

/// Up to `limit` rows from number `from` on, as they are listed.
pub(crate) fn list(conn: &Connection, from: u64, limit: usize) -> Result<Vec<AuditRow>, VaultError> {
    Row::load_from(conn, from, limit)?.into_iter().map(Row::listed).collect()
}
