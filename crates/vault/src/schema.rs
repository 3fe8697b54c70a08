//! The tables of the vault file, and the check that they are exactly these.
//!
//! SQLite keeps the text of each `CREATE` statement, so that a table, index, trigger or view that somebody else
//! added or changed shows as a difference of text.

use rusqlite::Connection;

use crate::VaultError;

/// Every object of the file: its name and the statement that made it, in order.
pub(crate) const OBJECTS: &[(&str, &str)] = &[
    (
        "vault",
        "CREATE TABLE vault (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL, public_key BLOB NOT NULL, \
         private_key BLOB NOT NULL, log_origin BLOB NOT NULL) STRICT",
    ),
    (
        "manifest",
        "CREATE TABLE manifest (one INTEGER PRIMARY KEY CHECK (one = 1), counter INTEGER NOT NULL, \
         next_grant INTEGER NOT NULL, next_slot INTEGER NOT NULL, place BLOB NOT NULL, slots BLOB NOT NULL, \
         grants BLOB NOT NULL, log_sequence INTEGER NOT NULL, log_hash BLOB NOT NULL, log_key BLOB NOT NULL, \
         mac BLOB NOT NULL, branches BLOB NOT NULL) STRICT",
    ),
    (
        "state",
        "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), failures INTEGER NOT NULL) STRICT",
    ),
    (
        "slot",
        "CREATE TABLE slot (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, \
         created INTEGER NOT NULL, parameters TEXT NOT NULL, salt BLOB NOT NULL, wrapped BLOB NOT NULL, \
         checksum BLOB NOT NULL) STRICT",
    ),
    ("branch", "CREATE TABLE branch (id INTEGER PRIMARY KEY, leaves BLOB NOT NULL) STRICT"),
    (
        "entry",
        "CREATE TABLE entry (id INTEGER PRIMARY KEY, leaf INTEGER NOT NULL, name TEXT NOT NULL, \
         version INTEGER NOT NULL, mac BLOB NOT NULL, created INTEGER NOT NULL, hosts TEXT NOT NULL, \
         item BLOB NOT NULL, suite INTEGER NOT NULL, enc BLOB NOT NULL, ciphertext BLOB NOT NULL) STRICT",
    ),
    ("entry_place", "CREATE UNIQUE INDEX entry_place ON entry (leaf, name, version)"),
    (
        "inbox",
        "CREATE TABLE inbox (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created INTEGER NOT NULL, \
         hosts TEXT NOT NULL, item BLOB NOT NULL, suite INTEGER NOT NULL, enc BLOB NOT NULL, \
         ciphertext BLOB NOT NULL) STRICT",
    ),
    ("inbox_name", "CREATE INDEX inbox_name ON inbox (name)"),
    ("grants", "CREATE TABLE grants (id INTEGER PRIMARY KEY, mac BLOB NOT NULL, body TEXT NOT NULL) STRICT"),
    (
        "audit",
        "CREATE TABLE audit (sequence INTEGER PRIMARY KEY, time INTEGER NOT NULL, event TEXT NOT NULL, \
         previous BLOB NOT NULL, hash BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
];

/// Makes the tables in an empty file.
pub(crate) fn create(conn: &Connection) -> Result<(), VaultError> {
    for (_, statement) in OBJECTS {
        conn.execute_batch(statement)?;
    }
    Ok(())
}

/// Checks that the file has these objects, made by these statements, and nothing else.
pub(crate) fn check(conn: &Connection) -> Result<(), VaultError> {
    let differs = |what: String| Err(VaultError::Schema { what });
    let mut statement = conn.prepare_cached("SELECT name, sql FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = statement.query(())?;
    for (name, made_by) in OBJECTS {
        let Some(row) = rows.next()? else { return differs(format!("{name} is missing")) };
        let (found, text) = (row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?);
        if found != *name {
            return differs(format!("{} where {name} should be", found.escape_debug()));
        }
        if text.as_deref() != Some(*made_by) {
            return differs(format!("{name} is defined otherwise"));
        }
    }
    match rows.next()? {
        Some(row) => differs(format!("{} was added", row.get::<_, String>(0)?.escape_debug())),
        None => Ok(()),
    }
}
