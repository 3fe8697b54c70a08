//! The vault as anyone with its file has it: locked. Values go in, names and metadata come out.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::change::{Rebuild, rebuild};
use crate::db::{self, Db};
use crate::files::{Dir, Scratch};
use crate::inbox::{self, InboxItem, Item};
use crate::kdf::Argon2Cost;
use crate::keys::{self, VaultKey};
use crate::log::{self, AuditRow, End};
use crate::manifest::Own;
use crate::slot::{self, Slot};
use crate::{
    Event, EventKind, Factor, Grant, GrantId, KdfTarget, KeyFile, Passphrase, RecoveryCode, SecretBytes,
    SecretInfo, SecretName, SlotId, SlotInfo, VaultError, VaultId, Witness, entry, granted, log_key, moment,
};

/// An open vault, locked.
///
/// Reads one snapshot a call; what it says is not verified before [`Vault::unlock`].
pub struct Vault {
    pub(crate) db: Db,
    pub(crate) dir: Dir,
    pub(crate) id: VaultId,
    pub(crate) witness: Witness,
}

/// What a new vault is opened with. At least one of the three is needed.
#[derive(Debug)]
pub struct NewVault {
    /// The owner's passphrase.
    pub passphrase: Option<Passphrase>,
    /// Make a recovery code.
    pub recovery: bool,
    /// A key file.
    pub keyfile: Option<KeyFile>,
    /// The cost of the passphrase's derivation.
    pub kdf: KdfTarget,
}

/// A vault that was made.
#[derive(Debug)]
pub struct Created {
    /// The vault, locked.
    pub vault: Vault,
    /// The recovery code, which is not kept anywhere.
    pub recovery: Option<RecoveryCode>,
}

impl Vault {
    /// Whether a directory has a vault file, of whatever kind.
    pub fn exists(dir: &Path) -> bool {
        dir.join(db::FILE).symlink_metadata().is_ok()
    }

    /// Makes a vault in `dir`, which is made too (mode 0700).
    pub fn create(dir: &Path, with: NewVault) -> Result<Created, VaultError> {
        Self::create_with(dir, with, Witness::of_platform())
    }

    /// The same, with notes of its state kept in other places.
    pub fn create_with(dir: &Path, with: NewVault, witness: Witness) -> Result<Created, VaultError> {
        let recovery = if with.recovery { Some(RecoveryCode::generate()?) } else { None };
        let factors = [
            with.passphrase.map(|passphrase| (Factor::Passphrase(passphrase), "passphrase")),
            recovery.map(|code| (Factor::Recovery(code), "recovery")),
            with.keyfile.map(|file| (Factor::KeyFile(file), "keyfile")),
        ];
        let factors: Vec<_> = factors.into_iter().flatten().collect();
        if factors.is_empty() {
            return Err(VaultError::NoFactor);
        }
        let at = Dir::open_or_create(dir)?;
        let held = at.hold()?;
        if at.check(db::FILE)?.is_some() {
            return Err(VaultError::Exists { dir: at.path().into() });
        }
        let scratch = at.scratch()?;
        let key = VaultKey::generate(VaultId(keys::random()?))?;
        let own = Own::new(&key)?;
        let cost = match with.kdf {
            KdfTarget::Calibrated
                if factors.iter().any(|(factor, _)| matches!(factor, Factor::Passphrase(_))) =>
            {
                Argon2Cost::choose(KdfTarget::Calibrated)?
            }
            _ => Argon2Cost::FLOOR,
        };
        let place = match witness.record(&key, 1, own.fingerprint()) {
            Ok(()) => witness.place(at.path()),
            Err(_) => Witness::NOWHERE,
        };
        let database = Db::create(&scratch.0)?;
        let built = database.write(&scratch.0, |conn| {
            own.insert(conn)?;
            conn.execute("INSERT INTO state VALUES (1, 0)", ())?;
            for ((factor, label), id) in factors.iter().zip(1..) {
                Slot::new(SlotId(id), &key, factor, label, cost)?.insert(conn)?;
            }
            rebuild(
                conn,
                &key,
                Rebuild { above: 0, keep_grants: false, place, event: Event::new(EventKind::Init) },
            )
        })?;
        database.checkpoint()?;
        drop(database);
        log_key::replace(&scratch.0, own.id, &built.end.state())?;
        install(&at, &scratch, false)?;
        drop(held);
        let recovery = factors.into_iter().find_map(|(factor, _)| match factor {
            Factor::Recovery(code) => Some(code),
            _ => None,
        });
        Ok(Created { vault: Self::open_with(dir, witness)?, recovery })
    }

    /// Opens the vault in `dir`, locked. Nothing is written, save for the last step of a restore that was killed before
    /// it, and on Windows the empty file by which openers and a restore keep out of each other's way.
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        Self::open_with(dir, Witness::of_platform())
    }

    /// The same, with notes of its state kept in other places.
    pub fn open_with(dir: &Path, witness: Witness) -> Result<Self, VaultError> {
        let dir = Dir::open(dir)?;
        if dir.check(log_key::COMING)?.is_some() {
            crate::restore::settle(&dir)?;
        }
        let db = Db::open(&dir)?;
        let id = db.read(Own::load)?.id;
        dir.check(log_key::FILE)?;
        Ok(Self { db, dir, id, witness })
    }

    /// Removes the notes of its state that this machine keeps beside it, for a vault that is thrown away.
    pub fn forget_notes(&self) -> Result<(), VaultError> {
        self.witness.forget(self.id)
    }

    /// The vault's directory, canonical.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Every directory in which this vault keeps something, whether it is there yet or not.
    pub fn places(&self) -> Vec<PathBuf> {
        std::iter::once(self.dir.path()).chain(self.witness.directories()).map(Path::to_owned).collect()
    }

    /// The vault's id.
    pub fn id(&self) -> VaultId {
        self.id
    }

    /// Whether Windows keeps programs of less than medium integrity from the vault's directory by its label, read back.
    #[cfg(windows)]
    pub fn is_labelled(&self) -> Result<bool, VaultError> {
        self.dir.is_labelled().map_err(|error| VaultError::io(self.dir.path().display().to_string(), error))
    }

    /// Puts a value into the inbox, sealed; it is not usable, and replaces nothing, until the owner accepts it.
    pub fn store(
        &mut self,
        name: &SecretName,
        value: &SecretBytes,
        hosts: &[String],
    ) -> Result<InboxItem, VaultError> {
        let mut event = Event::new(EventKind::Store);
        event.secrets.push(name.clone());
        let noted = self.witness.fingerprint(self.id);
        self.append_with(&event, |conn| {
            let own = Own::load(conn)?;
            // A replaced key would hand this very value to whoever replaced it.
            if noted.is_some_and(|noted| noted != own.fingerprint()) {
                return Err(VaultError::PublicKey);
            }
            Item::store(conn, own.id, &own.public_key, name, value, hosts)?.info(conn)
        })
        .map(|(item, _)| item)
    }

    /// The secrets, by name. Unverified.
    pub fn secrets(&self) -> Result<Vec<SecretInfo>, VaultError> {
        self.db.read(entry::infos)
    }

    /// One secret. Unverified.
    pub fn secret(&self, name: &SecretName) -> Result<Option<SecretInfo>, VaultError> {
        self.db.read(|conn| entry::info(conn, name))
    }

    /// What waits for the owner, oldest first.
    pub fn inbox(&self) -> Result<Vec<InboxItem>, VaultError> {
        self.db.read(inbox::all)
    }

    /// The grants. Unverified.
    pub fn grants(&self) -> Result<Vec<(GrantId, Grant)>, VaultError> {
        let stored = self.db.read(granted::all)?;
        stored.iter().map(|grant| Ok((grant.id, grant.unverified()?))).collect()
    }

    /// The key slots. Unverified.
    pub fn slots(&self) -> Result<Vec<SlotInfo>, VaultError> {
        let slots = self.db.read(slot::all)?;
        slots.iter().map(|slot| slot.info(self.id)).collect()
    }

    /// Writes a row of the log; synced when it returns. Gives its number.
    pub fn append(&mut self, event: &Event) -> Result<u64, VaultError> {
        self.append_with(event, |_| Ok(())).map(|((), sequence)| sequence)
    }

    /// Says in the log that everything is to be stopped. The next unlocking, and any that is open, withdraws every
    /// grant before it does anything else.
    pub fn panic(&mut self) -> Result<u64, VaultError> {
        self.append(&Event::new(EventKind::Panic))
    }

    /// Up to `limit` rows of the log, from row `from` on. Unverified.
    pub fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditRow>, VaultError> {
        self.db.read(|conn| log::list(conn, from, limit))
    }

    /// The last `count` rows of the log, oldest first. Unverified.
    pub fn audit_last(&self, count: usize) -> Result<Vec<AuditRow>, VaultError> {
        self.db.read(|conn| {
            let from = log::last_sequence(conn)?.saturating_sub(count as u64) + 1;
            log::list(conn, from, count)
        })
    }

    /// The time of the log's last row, milliseconds since 1970 (0 for a time before). Unverified.
    pub fn last_time(&self) -> Result<Option<u64>, VaultError> {
        Ok(self.db.read(log::last_time)?.map(|time| u64::try_from(time).unwrap_or(0)))
    }

    /// Failed attempts to unlock since the last that did. Unverified; the log has a row of each.
    pub fn failed_unlocks(&self) -> Result<u64, VaultError> {
        self.db.read(failures)
    }

    /// Does `work` and writes a row of the log, in one transaction, with the key file's key.
    pub(crate) fn append_with<T>(
        &self,
        event: &Event,
        work: impl FnOnce(&Connection) -> Result<T, VaultError>,
    ) -> Result<(T, u64), VaultError> {
        let (done, end) = self.db.write(&self.dir, |conn| {
            let mut end = End::locked(conn, self.id, log_key::read(&self.dir, self.id)?)?;
            let done = work(conn)?;
            end.append(conn, self.id, event)?;
            Ok((done, end))
        })?;
        // The row is there. A key file that lags is caught up by the next writer.
        let _ = log_key::advance(&self.dir, self.id, &end.state(), || self.db.is_in_place());
        Ok((done, end.sequence))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("id", &self.id).field("dir", &self.dir.path()).finish_non_exhaustive()
    }
}

pub(crate) fn failures(conn: &Connection) -> Result<u64, VaultError> {
    crate::row::unsigned(conn.query_row("SELECT failures FROM state", (), |row| row.get(0))?)
}

/// Moves a finished vault from a scratch directory to its place. The caller holds the directory, and with `replace`
/// the content of the vault that is there is in its file, and nobody writes it.
pub(crate) fn install(at: &Dir, scratch: &Scratch, replace: bool) -> Result<(), VaultError> {
    let failed = |error: std::io::Error| VaultError::io(at.path().display().to_string(), error);
    let work = || {
        if replace {
            // Two files cannot be exchanged at once. The vault is, and whoever opens it finds the key that fits.
            scratch.0.rename(log_key::FILE, log_key::COMING)?;
            at.take(&scratch.0, log_key::COMING, true)?;
            at.sync()?;
            moment::passed();
            at.take_over(&scratch.0, db::FILE, || remove_beside(at))?;
            moment::passed();
            at.sync()?;
            at.rename(log_key::COMING, log_key::FILE)?;
            moment::passed();
        } else {
            remove_beside(at)?;
            // The vault last: without it, a key file is nothing and is written over.
            at.take(&scratch.0, log_key::FILE, true)?;
            moment::passed();
            at.take(&scratch.0, db::FILE, false)?;
        }
        at.sync()
    };
    work().map_err(failed)
}

/// Removes what SQLite left beside the vault file: a log of another file would be played into this one. The users' locks
/// first: whoever still has the file open finds them gone and writes no more into a log that is about to go.
fn remove_beside(at: &Dir) -> std::io::Result<()> {
    let [log, shared, journal] = db::BESIDE;
    for name in [shared, log, journal] {
        match std::fs::remove_file(at.path().join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => moment::passed(),
        }
    }
    Ok(())
}

/// A path in messages and reports.
pub(crate) fn beside(dir: &Dir, name: &str) -> PathBuf {
    dir.path().join(name)
}
