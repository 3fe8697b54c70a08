//! The SQLite file: how it is opened, and its two kinds of transaction.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::files::{self, Dir, FileId};
use crate::{VaultError, header, schema};

/// The vault file's name in its directory.
pub(crate) const FILE: &str = "vault.db";
/// What SQLite keeps beside it: the write-ahead log, the locks and index of its users, the journal of another mode.
pub(crate) const BESIDE: [&str; 3] = ["vault.db-wal", "vault.db-shm", "vault.db-journal"];
/// How long a process waits for the others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The longest text or blob of a row, in bytes; what is longer was not written by us.
const LONGEST: i32 = 16 << 20;

/// A vault file, open.
pub(crate) struct Db {
    /// Before the handle: SQLite closes first.
    conn: Connection,
    handle: Arc<File>,
    path: PathBuf,
    /// Which file its users share their locks in. Where it is another one, they do not know of each other.
    shared: Option<FileId>,
}

impl Db {
    /// Makes the file with empty tables. The directory has none yet.
    pub(crate) fn create(dir: &Dir) -> Result<Self, VaultError> {
        let path = dir.path().join(FILE);
        dir.create(FILE).map_err(|error| VaultError::io(path.display().to_string(), error))?;
        let handle = handle(dir)?;
        let conn = connect(dir)?;
        conn.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL;")?;
        settle(&conn)?;
        conn.pragma_update(None, "application_id", header::APPLICATION_ID)?;
        conn.pragma_update(None, "user_version", header::FORMAT)?;
        let mut db = Self { conn, handle, path, shared: None };
        let tx = Transaction::new_unchecked(&db.conn, TransactionBehavior::Immediate)?;
        schema::create(&tx)?;
        tx.commit()?;
        db.shared = shared(&db.path);
        Ok(db)
    }

    /// Opens the file, when nobody is replacing it. Nothing is written, and nothing that is not ours is given to SQLite.
    pub(crate) fn open(dir: &Dir) -> Result<Self, VaultError> {
        if dir.check(FILE)?.is_none() {
            return Err(VaultError::NoVault { dir: dir.path().into() });
        }
        let _entered = dir.enter()?;
        Self::open_held(dir)
    }

    /// The same, in a directory that the caller holds or that nobody else knows.
    pub(crate) fn open_held(dir: &Dir) -> Result<Self, VaultError> {
        if dir.check(FILE)?.is_none() {
            return Err(VaultError::NoVault { dir: dir.path().into() });
        }
        for beside in BESIDE {
            dir.check(beside)?;
        }
        let handle = handle(dir)?;
        check_header(dir, &handle)?;
        let conn = connect(dir)?;
        // Closing must not move the log into a file that is not known to be well; see `drop` too.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        settle(&conn)?;
        schema::check(&conn)?;
        let path = dir.path().join(FILE);
        let shared = shared(&path);
        Ok(Self { conn, handle, path, shared })
    }

    /// Reads within one snapshot.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred)?;
        work(&tx)
    }

    /// Writes: alone, all or nothing, synced when it returns. What `work` relies on it reads here again.
    pub(crate) fn write<T>(
        &self,
        dir: &Dir,
        work: impl FnOnce(&Connection) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        let there = dir.check(FILE)?.map(|found| found.id);
        if there.is_none() || there != self.identity() || shared(&self.path) != self.shared {
            return Err(VaultError::Replaced);
        }
        schema::check(&tx)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// Which file the open one is.
    fn identity(&self) -> Option<FileId> {
        files::identity(&self.handle).ok()
    }

    /// Reads in the transaction of [`Db::freeze`].
    pub(crate) fn read_frozen<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        work(&self.conn)
    }

    /// Whether the open file is still the one of its name.
    pub(crate) fn is_in_place(&self) -> bool {
        let there = files::identity_at(&self.path).ok();
        there.is_some() && there == self.identity() && shared(&self.path) == self.shared
    }

    /// Moves the write-ahead log into the file, and lets nobody write any more until this is closed.
    pub(crate) fn freeze(&self, dir: &Dir) -> Result<(), VaultError> {
        let begun = Instant::now();
        loop {
            self.checkpoint()?;
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            // Somebody may have written in between.
            if dir.check(BESIDE[0])?.is_none_or(|log| log.len == 0) {
                return Ok(());
            }
            self.conn.execute_batch("ROLLBACK")?;
            if begun.elapsed() >= PATIENCE {
                return Err(VaultError::Busy { seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Moves the write-ahead log into the file, as far as nobody else needs it.
    pub(crate) fn checkpoint(&self) -> Result<(), VaultError> {
        Ok(self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
    }

    /// The whole file as of now, write-ahead log included, and what `beside` reads at the same moment. No other
    /// process writes meanwhile.
    pub(crate) fn image<T>(
        &mut self,
        beside: impl FnOnce(&Connection) -> Result<T, VaultError>,
    ) -> Result<(Vec<u8>, T), VaultError> {
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        let read = beside(&self.conn).and_then(|beside| Ok((self.conn.serialize("main")?.to_vec(), beside)));
        self.conn.execute_batch("ROLLBACK")?;
        read
    }
}

impl Drop for Db {
    /// The last to close moves the log into the file and removes it, by its path: not where another file has been put
    /// since, whose log it would be.
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        }
    }
}

fn shared(path: &Path) -> Option<FileId> {
    files::identity_at(&path.with_file_name(BESIDE[1])).ok()
}

fn connect(dir: &Dir) -> Result<Connection, VaultError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = Connection::open_with_flags(dir.path().join(FILE), flags)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST)?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        conn.set_db_config(setting, on)?;
    }
    Ok(conn)
}

/// Settings that touch the file or the cache.
fn settle(conn: &Connection) -> Result<(), VaultError> {
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; \
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(())
}

/// The file's handle, one for the whole process.
///
/// Closing any handle of a file drops all locks that the process has on it through others (fcntl(2)), SQLite's too.
/// So there is one, shared, that is closed when no vault of this file is open any more.
fn handle(dir: &Dir) -> Result<Arc<File>, VaultError> {
    type Open = HashMap<FileId, Weak<File>>;
    static OPEN: Mutex<Option<Open>> = Mutex::new(None);

    let failed = |error: std::io::Error| VaultError::io(dir.path().join(FILE).display().to_string(), error);
    let found = dir.check(FILE)?.ok_or_else(|| VaultError::NoVault { dir: dir.path().into() })?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    open.retain(|_, file| file.strong_count() > 0);
    if let Some(file) = open.get(&found.id).and_then(Weak::upgrade) {
        return Ok(file);
    }
    // For writing, although nothing is written through it: a file that cannot be written is refused before SQLite
    // makes its helpers beside it, which would take over its mode.
    let file = Arc::new(dir.file(FILE, true).map_err(failed)?);
    open.insert(files::identity(&file).map_err(failed)?, Arc::downgrade(&file));
    Ok(file)
}

fn check_header(dir: &Dir, file: &File) -> Result<(), VaultError> {
    let path = dir.path().join(FILE);
    let failed = |error: std::io::Error| VaultError::io(path.display().to_string(), error);
    let mut tries = 0;
    loop {
        let mut bytes = [0; header::LEN];
        read_start(file, &mut bytes).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let here = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let complete = dir.check("vault.db-wal")?.is_none_or(|wal| wal.len == 0);
        match header::check(&bytes[..here], length, complete, &path) {
            // Another process may have moved its log into the file, header first, and finished in between: its log
            // is gone only when all pages are there.
            Err(VaultError::Truncated { .. }) if tries < 3 && here == header::LEN => tries += 1,
            done => return done,
        }
    }
}

/// Reads the first bytes of a file, or all that there are.
fn read_start(file: &File, bytes: &mut [u8]) -> std::io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match files::read_at(file, &mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
