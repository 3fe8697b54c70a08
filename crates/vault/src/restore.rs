//! A backup becomes the vault again.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::backup::{Backup, verify_unpacked};
use crate::change::{Rebuild, rebuild};
use crate::db::{self, Db};
use crate::files::Dir;
use crate::keys::VaultKey;
use crate::manifest::{Manifest, Own};
use crate::slot::Opened;
use crate::vault::{beside, install};
use crate::{Event, EventKind, Factor, UnlockError, VaultError, Witness, log, log_key, moment, slot};

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
    let Opened { key, slot, .. } = slot::open(&backup.header.slots, vault, factor)?;
    let at = Dir::open_or_create(dir)?;
    let _held = at.hold().map_err(UnlockError::Vault)?;
    let there = at.check(db::FILE)?.is_some();
    if there && !options.replace {
        return Err(VaultError::Exists { dir: at.path().into() }.into());
    }
    let scratch = at.scratch()?;
    backup.unpack(file, &key, &scratch)?;
    let verified = verify_unpacked(&scratch, &key)?;

    // Whoever has written to it until now counts, and nobody writes any more.
    let old = there.then(|| Old::freeze(&at, &key)).transpose()?;
    let database = Db::open_held(&scratch.0)?;
    let seen = witness.seen(&key).highest.unwrap_or(0);
    let above = seen.max(old.as_ref().map_or(0, |old| old.counter));
    let (rebuilt, fingerprint) = database.write(&scratch.0, |conn| {
        let own = Own::load(conn)?;
        if !crate::change::is_owner(&slot::all(conn)?, slot) {
            return Err(VaultError::NeedsOwner);
        }
        // A new place counts from when a note lies there.
        // No higher one than it has: until the backup is in place, what is there has to open.
        let place = match witness.record(&key, seen, own.fingerprint()) {
            Ok(()) => witness.place(at.path()),
            Err(_) => Witness::NOWHERE,
        };
        let mut event = Event::new(EventKind::Restore);
        event.note = Some(file.to_string_lossy().into_owned());
        let with = Rebuild { above, keep_grants: options.keep_grants, place, event };
        Ok((rebuild(conn, &key, with)?, own.fingerprint()))
    })?;
    database.checkpoint()?;
    drop(database);
    log_key::replace(&scratch.0, vault, &rebuilt.end.state())?;
    let replaced = old.as_ref().map(|old| old.keep(&at)).transpose()?;
    install(&at, &scratch, there)?;
    drop(old);
    let _ = witness.record(&key, rebuilt.counter, fingerprint);
    Ok(RestoreReport {
        secrets: verified.secrets,
        grants_withdrawn: rebuilt.withdrawn,
        replaced,
        counter: rebuilt.counter,
    })
}

/// Takes the last step of a restore that was killed before it, or back its first.
pub(crate) fn settle(dir: &Dir) -> Result<(), VaultError> {
    // Whoever restores at this moment is waited for.
    let _held = dir.hold()?;
    if dir.check(log_key::COMING)?.is_none() {
        return Ok(());
    }
    let fits = Db::open_held(dir).and_then(|db| {
        db.read(|conn| {
            let state = log_key::coming(dir, Own::load(conn)?.id)?;
            Ok(state.sequence == log::last_sequence(conn)? + 1)
        })
    });
    let done = match fits {
        Ok(true) => dir.rename(log_key::COMING, log_key::FILE),
        Ok(false) | Err(VaultError::AuditKey { .. }) => std::fs::remove_file(beside(dir, log_key::COMING)),
        // What is wrong with the vault is said by whoever opens it.
        Err(_) => Ok(()),
    };
    done.and_then(|()| dir.sync()).map_err(|error| VaultError::io(log_key::COMING, error))
}

/// The vault that is to be replaced.
struct Old {
    /// Keeps those that have it open from writing until this is dropped. Windows replaces nothing that is open; there
    /// nobody has it, and nobody opens it.
    _frozen: Option<Db>,
    /// The name to keep it under, where that is free.
    name: String,
    /// The log of a file that could not be read goes with it.
    is_whole: bool,
    /// Its manifest's counter, where it is the same vault and authentic.
    counter: u64,
}

impl Old {
    /// Waits until it can be replaced, moves its write-ahead log into it as far as it can be read, and keeps others
    /// from writing. The caller holds the directory.
    fn freeze(at: &Dir, key: &VaultKey) -> Result<Self, VaultError> {
        at.wait_until_replaceable(&[db::FILE, log_key::FILE])
            .map_err(|error| VaultError::io(beside(at, db::FILE).display().to_string(), error))?;
        let opened = Db::open_held(at).and_then(|old| {
            old.freeze(at)?;
            let counters = old.read_frozen(|conn| {
                let own = Own::load(conn)?;
                let is_same = own.id == key.id();
                let authentic = is_same.then(|| Manifest::load(conn, &own, key).ok()).flatten();
                let said = Manifest::load_unverified(conn)?.0.counter;
                Ok((said, authentic.map_or(0, |manifest| manifest.counter)))
            })?;
            Ok((old, counters))
        });
        let name = |suffix: &dyn std::fmt::Display| format!("{}.replaced-{suffix}", db::FILE);
        match opened {
            Ok((old, (said, counter))) => {
                let frozen = Some(old).filter(|_| !cfg!(windows));
                Ok(Self { _frozen: frozen, name: name(&said), is_whole: true, counter })
            }
            // It is well, as far as anybody knows.
            Err(
                error @ (VaultError::Busy { .. }
                | VaultError::Full
                | VaultError::NotWritable { .. }
                | VaultError::Unsafe { .. }),
            ) => Err(error),
            Err(_) => Ok(Self { _frozen: None, name: name(&"damaged"), is_whole: false, counter: 0 }),
        }
    }

    /// Gives the file a second name, under which it stays when it is replaced.
    fn keep(&self, at: &Dir) -> Result<PathBuf, VaultError> {
        let failed = |error: std::io::Error| VaultError::io(at.path().display().to_string(), error);
        let taken = |name: &str| beside(at, name).symlink_metadata().is_ok();
        let base = &self.name;
        let mut names = std::iter::once(base.clone()).chain((2..10_000).map(|n| format!("{base}-{n}")));
        let name =
            names.find(|name| !taken(name)).ok_or_else(|| VaultError::Exists { dir: at.path().into() })?;
        moment::passed();
        at.link(db::FILE, &name).map_err(failed)?;
        moment::passed();
        let log = db::BESIDE[0];
        if !self.is_whole && taken(log) {
            at.rename(log, &format!("{name}-wal")).map_err(failed)?;
            moment::passed();
        }
        Ok(beside(at, &name))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::{KdfTarget, KeyFile, NewVault, SecretBytes, Vault};

    const REPLACE: RestoreOptions = RestoreOptions { replace: true, keep_grants: false };

    fn factor() -> Factor {
        Factor::KeyFile(KeyFile::new(vec![7; 40]).unwrap())
    }

    fn witness(top: &Path) -> Witness {
        Witness::in_directories(Some(top.join("state")), None)
    }

    fn make(top: &Path, dir: &str) -> Vault {
        let keyfile = Some(KeyFile::new(vec![7; 40]).unwrap());
        let new = NewVault { passphrase: None, recovery: false, keyfile, kdf: KdfTarget::Floor };
        Vault::create_with(&top.join(dir), new, witness(top)).unwrap().vault
    }

    fn put(vault: &mut Vault, text: &str) {
        let value = SecretBytes::new(text.as_bytes().to_vec()).unwrap();
        vault.unlock(&factor()).unwrap().put(&"A".parse().unwrap(), &value, &[]).unwrap();
    }

    /// What secret A of the vault is, everything else being in order; then it takes a row and a change.
    fn content(top: &Path) -> String {
        let mut vault = Vault::open_with(&top.join("vault"), witness(top)).unwrap();
        // The locked log first: unlocked, it would be followed from the manifest.
        vault.append(&Event::new(EventKind::Refuse)).unwrap();
        let mut unlocked = vault.unlock(&factor()).unwrap();
        let report = unlocked.verify().unwrap();
        assert_eq!(report.secrets, 1);
        let run = Event::new(EventKind::Run);
        let given = unlocked.begin_run(&run, None, &["A".parse().unwrap()]).unwrap();
        String::from_utf8(given.secrets[0].1.expose().to_vec()).unwrap()
    }

    #[test]
    #[ignore = "a child of a_restore_killed_at_any_moment_leaves_the_old_vault_or_the_new_one"]
    fn child_that_restores() {
        let top = PathBuf::from(std::env::var_os("VAULT_TEST_TOP").unwrap());
        let moment: usize = std::env::var("VAULT_TEST_NUMBER").unwrap().parse().unwrap();
        let (backup, dir) = (top.join("backup"), top.join("vault"));
        moment::LEFT.store(moment, SeqCst);
        restore_with(&backup, &dir, &factor(), REPLACE, &witness(&top)).unwrap();
    }

    #[test]
    #[ignore = "a child of a_restore_killed_at_any_moment_leaves_the_old_vault_or_the_new_one"]
    fn child_that_reads() {
        let top = PathBuf::from(std::env::var_os("VAULT_TEST_TOP").unwrap());
        std::fs::write(top.join("content"), content(&top)).unwrap();
    }

    fn restored_until(top: &Path, moment: usize) -> bool {
        ended_well("restore::tests::child_that_restores", top, moment)
    }

    /// What another process finds.
    fn content_elsewhere(top: &Path) -> String {
        assert!(ended_well("restore::tests::child_that_reads", top, 0));
        std::fs::read_to_string(top.join("content")).unwrap()
    }

    /// Whether a child ended by itself, and well.
    fn ended_well(test: &str, top: &Path, moment: usize) -> bool {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test, "--ignored"]);
        child.env("VAULT_TEST_TOP", top).env("VAULT_TEST_NUMBER", moment.to_string());
        child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Case {
        /// The backup is an earlier state of the vault.
        Earlier,
        /// The vault is an earlier state than the backup.
        Later,
        /// The backup is another vault's.
        Another,
    }

    /// A vault whose A is "old", and a backup in which it is "new".
    fn prepare(top: &Path, case: Case) {
        let (backup, dir) = (top.join("backup"), top.join("vault"));
        let mut vault = make(top, if case == Case::Another { "other" } else { "vault" });
        put(&mut vault, "new");
        match case {
            Case::Earlier => {
                vault.unlock(&factor()).unwrap().backup(&backup).unwrap();
                (0..5).for_each(|_| put(&mut vault, "old"));
            }
            Case::Later => {
                put(&mut vault, "old");
                let first = top.join("first");
                vault.unlock(&factor()).unwrap().backup(&first).unwrap();
                (0..5).for_each(|_| put(&mut vault, "new"));
                vault.unlock(&factor()).unwrap().backup(&backup).unwrap();
                drop(vault);
                // Another machine, which has seen the earlier one only.
                std::fs::remove_dir_all(&dir).unwrap();
                std::fs::remove_dir_all(top.join("state")).unwrap();
                restore_with(&first, &dir, &factor(), RestoreOptions::default(), &witness(top)).unwrap();
            }
            Case::Another => {
                vault.unlock(&factor()).unwrap().backup(&backup).unwrap();
                put(&mut make(top, "vault"), "old");
            }
        }
    }

    #[test]
    fn a_restore_killed_at_any_moment_leaves_the_old_vault_or_the_new_one() {
        for case in [Case::Earlier, Case::Later, Case::Another] {
            let mut found = Vec::new();
            for moment in 1.. {
                let top = tempfile::tempdir().unwrap();
                prepare(top.path(), case);
                // One that has it open meanwhile; Windows would not let it be replaced.
                let mut open = (!cfg!(windows))
                    .then(|| Vault::open_with(&top.path().join("vault"), witness(top.path())).unwrap());
                if let Some(open) = &mut open {
                    open.append(&Event::new(EventKind::Refuse)).unwrap();
                }
                let is_done = restored_until(top.path(), moment);
                if let Some(open) = &mut open {
                    match open.append(&Event::new(EventKind::Refuse)) {
                        Ok(_) | Err(VaultError::Replaced) => {}
                        Err(error) => panic!("{case:?} {moment}: {error}"),
                    }
                }
                found.push(content_elsewhere(top.path()));
                drop(open);
                assert_eq!(found.last(), Some(&content(top.path())), "{case:?} {moment}");
                assert!(!top.path().join("vault").join(log_key::COMING).exists(), "{case:?} {moment}");
                if is_done {
                    break;
                }
                // And it can be done again.
                assert!(restored_until(top.path(), 0), "{case:?} {moment}");
                assert_eq!(content(top.path()), "new", "{case:?} {moment}");
            }
            // Old up to one moment, new from there on, and both were met.
            found.dedup();
            assert_eq!(found, ["old", "new"], "{case:?}");
        }
    }

    #[test]
    fn nobody_opens_a_vault_while_it_is_replaced() {
        let top = tempfile::tempdir().unwrap();
        prepare(top.path(), Case::Earlier);
        let at = Dir::open(&top.path().join("vault")).unwrap();
        let held = at.hold().unwrap();
        let opened = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                Vault::open_with(at.path(), witness(top.path())).unwrap();
                opened.store(true, SeqCst);
            });
            std::thread::sleep(std::time::Duration::from_millis(300));
            assert!(!opened.load(SeqCst));
            drop(held);
        });
        assert!(opened.load(SeqCst));
    }

    #[test]
    fn a_key_file_that_comes_for_another_vault_is_taken_away() {
        let top = tempfile::tempdir().unwrap();
        prepare(top.path(), Case::Another);
        let coming = top.path().join("vault").join(log_key::COMING);
        for name in ["other", "vault"] {
            let other = Dir::open(&top.path().join(name)).unwrap();
            let at = Dir::open(&top.path().join("vault")).unwrap();
            let mut file = at.create(log_key::COMING).unwrap();
            std::io::copy(&mut other.file(log_key::FILE, false).unwrap(), &mut file).unwrap();
            drop(file);
            assert_eq!(content(top.path()), "old");
            assert!(!coming.exists(), "{name}");
        }
    }
}
