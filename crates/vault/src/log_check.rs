//! What was done to a log that does not verify.

use rusqlite::Connection;
use serde::Serialize;

use crate::keys::{SubKey, VaultId, VaultKey};
use crate::log::{End, Row, last_sequence, next_key};
use crate::log_key::KeyState;
use crate::manifest::{Manifest, Own};
use crate::{Digest, VaultError};

/// What a check of the whole log found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditReport {
    /// Rows in the log.
    pub rows: u64,
    /// Hash of the last good row.
    pub head: Digest,
    /// The first bad row and what was done: edit, removal, reorder, insertion or truncation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<(u64, String)>,
}

/// Rows after the first bad one that are looked at to tell what was done.
const WINDOW: usize = 64;

/// Names what was done at row `bad`, whose key is `key`; the rows before it are good.
///
/// Each row in a window is tried with each key in the window: a row that was written as another one was moved.
pub(crate) fn classify(
    conn: &Connection,
    id: VaultId,
    bad: u64,
    key: &SubKey,
) -> Result<&'static str, VaultError> {
    let rows = Row::load_from(conn, bad, WINDOW)?;
    let mut keys = vec![key.clone()];
    while keys.len() < WINDOW {
        keys.extend(keys.last().map(next_key));
    }
    let written_as =
        |row: &Row| (bad..).zip(&keys).find(|(n, key)| row.was_written_as(id, *n, key)).map(|(n, _)| n);
    let written: Vec<_> = rows.iter().map(written_as).collect();
    let original_is_elsewhere = written.iter().skip(1).any(|n| *n == Some(bad));
    Ok(match rows.first().zip(written.first()) {
        None => "truncation",
        Some((row, _)) if row.sequence != bad => {
            if written.contains(&Some(bad)) {
                "reorder"
            } else {
                "removal"
            }
        }
        Some((_, Some(n))) if *n != bad => {
            if original_is_elsewhere {
                "reorder"
            } else {
                "removal"
            }
        }
        Some((_, None)) if original_is_elsewhere => "insertion",
        Some(_) => "edit",
    })
}

/// Checks the whole log from its first row: chain, MACs, the manifest's recorded head, and the key file when there is
/// one.
pub(crate) fn check(
    conn: &Connection,
    own: &Own,
    manifest: &Manifest,
    key: &VaultKey,
    state: Option<&KeyState>,
) -> Result<AuditReport, VaultError> {
    let mut end = End::origin(own.log_origin(key)?);
    let mut first_bad = match end.follow(conn, own.id) {
        Ok(()) => after_the_rows(conn, own, manifest, key, state, &end)?,
        Err(VaultError::LogChanged { row, change }) => Some((row, change)),
        Err(error) => return Err(error),
    };
    // A row that nobody had a key for yet was put at the end.
    if let (Some((row, change)), Some(state)) = (&mut first_bad, state)
        && *row >= state.sequence
        && change == "edit"
    {
        *change = "insertion".into();
    }
    let rows = conn.query_row("SELECT count(*) FROM audit", (), |row| row.get::<_, i64>(0))?;
    Ok(AuditReport { rows: crate::row::unsigned(rows)?, head: Digest::new(end.hash), first_bad })
}

fn after_the_rows(
    conn: &Connection,
    own: &Own,
    manifest: &Manifest,
    key: &VaultKey,
    state: Option<&KeyState>,
    end: &End,
) -> Result<Option<(u64, String)>, VaultError> {
    match End::recorded(conn, own, manifest, key) {
        Ok(_) => {}
        Err(VaultError::LogChanged { row, change }) => return Ok(Some((row, change))),
        Err(error) => return Err(error),
    }
    let last = last_sequence(conn)?;
    let vanished = state.is_some_and(|state| state.sequence > last + 1) || end.sequence < last;
    Ok(vanished.then(|| (last + 1, "truncation".into())))
}
