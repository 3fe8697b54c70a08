//! A backup becomes the vault again.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::backup::{Backup, verify_unpacked};
use crate::change::{Rebuild, rebuild};
use crate::db::{self, Db};
use crate::files::Dir;
use crate::keys::VaultKey;
use crate::manifest::{Manifest, Own};
use crate::vault::{beside, install};
use crate::{Event, EventKind, Factor, UnlockError, VaultError, Witness, log_key, slot};

/// How a backup is restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RestoreOptions {
    /// Replace a vault that is there; its file is kept under another name.
    pub replace: bool,
    /// Keep the backup's grants. Without it every one that allows is withdrawn: what was revoked since the backup was
    /// made would hold again.
    pub keep_grants: bool,
}

/// What a restore did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RestoreReport {
    /// Secrets.
    pub secrets: usize,
    /// Grants of the backup that do not hold any more.
    pub grants_withdrawn: usize,
    /// Where the vault that was there is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<PathBuf>,
    /// The manifest's counter: above the backup's and every one that was noted on this machine.
    pub counter: u64,
}

/// Restores a backup to `dir`. Everything in it is verified before anything is replaced.
pub fn restore(
    file: &Path,
    dir: &Path,
    factor: &Factor,
    options: RestoreOptions,
) -> Result<RestoreReport, UnlockError> {
    restore_with(file, dir, factor, options, &Witness::of_platform())
}

/// The same, with notes of the vault's state kept in other places.
pub fn restore_with(
    file: &Path,
    dir: &Path,
    factor: &Factor,
    options: RestoreOptions,
    witness: &Witness,
) -> Result<RestoreReport, UnlockError> {
    let backup = Backup::read(file)?;
    let vault = backup.header.vault();
    let (key, slot) = slot::open(&backup.header.slots, vault, factor)?.ok_or(UnlockError::Wrong)?;
    let at = Dir::open_or_create(dir)?;
    let _held = at.hold().map_err(UnlockError::Vault)?;
    let there = at.check(db::FILE)?.is_some();
    if there && !options.replace {
        return Err(VaultError::Exists { dir: at.path().into() }.into());
    }
    let scratch = at.scratch()?;
    backup.unpack(file, &key, &scratch)?;
    let verified = verify_unpacked(&scratch, &key)?;

    let database = Db::open(&scratch.0)?;
    let seen = witness.seen(&key).highest.unwrap_or(0);
    let (rebuilt, fingerprint) = database.write(&scratch.0, |conn| {
        let own = Own::load(conn)?;
        if !crate::change::is_owner(&slot::all(conn)?, slot) {
            return Err(VaultError::NeedsOwner);
        }
        // A new place counts from when a note lies there.
        let place = match witness.record(&key, verified.counter, own.fingerprint()) {
            Ok(()) => witness.place(at.path()),
            Err(_) => Witness::NOWHERE,
        };
        let mut event = Event::new(EventKind::Restore);
        event.note = Some(file.to_string_lossy().into_owned());
        let with = Rebuild { above: seen, keep_grants: options.keep_grants, place, event };
        Ok((rebuild(conn, &key, with)?, own.fingerprint()))
    })?;
    database.checkpoint()?;
    drop(database);
    log_key::replace(&scratch.0, vault, &rebuilt.end.state())?;
    let replaced = if there {
        at.wait_until_replaceable(db::FILE)
            .map_err(|error| VaultError::io(beside(&at, db::FILE).display().to_string(), error))?;
        Some(keep_old(&at, &key)?)
    } else {
        None
    };
    install(&at, &scratch, there)?;
    let _ = witness.record(&key, rebuilt.counter, fingerprint);
    Ok(RestoreReport {
        secrets: verified.secrets,
        grants_withdrawn: rebuilt.withdrawn,
        replaced,
        counter: rebuilt.counter,
    })
}

/// Gives the vault file that is there a second name, its write-ahead log moved into it as far as it can be read.
fn keep_old(at: &Dir, key: &VaultKey) -> Result<PathBuf, VaultError> {
    let failed = |error: std::io::Error| VaultError::io(at.path().display().to_string(), error);
    let counter = Db::open(at).and_then(|old| {
        old.checkpoint()?;
        old.read(|conn| {
            let (manifest, _) = Manifest::load_unverified(conn)?;
            Ok((manifest.counter, Own::load(conn)?.id == key.id()))
        })
    });
    let base = match counter {
        Ok((counter, _)) => format!("{}.replaced-{counter}", db::FILE),
        Err(_) => format!("{}.replaced-damaged", db::FILE),
    };
    let taken = |name: &str| beside(at, name).symlink_metadata().is_ok();
    let names = std::iter::once(base.clone()).chain((2..10_000).map(|n| format!("{base}-{n}")));
    let name = names
        .into_iter()
        .find(|name| !taken(name))
        .ok_or_else(|| VaultError::Exists { dir: at.path().into() })?;
    at.link(db::FILE, &name).map_err(failed)?;
    // The log of a file that could not be read goes with it.
    let wal = format!("{}-wal", db::FILE);
    if taken(&wal) {
        at.rename(&wal, &format!("{name}-wal")).map_err(failed)?;
    }
    Ok(beside(at, &name))
}
