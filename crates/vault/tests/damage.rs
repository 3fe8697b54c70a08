//! Files that are not what they should be: cut, zeroed, flipped, somebody else's. Each is refused by name, untouched.
#![allow(clippy::print_stdout, reason = "measurements are for whoever runs the tests")]

mod support;

use envseal_vault::*;
use support::*;

/// Numbers that look random and are the same each time (Numerical Recipes' 64-bit congruence).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

const SECRETS: usize = 12;

fn filled() -> Place {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    for number in 0..SECRETS {
        let secret = SecretBytes::new(vec![number as u8 + 1; 700]).unwrap();
        unlocked.put(&name(&format!("S{number}")), &secret, &[]).unwrap();
    }
    unlocked.add_grant(&grant("S1", None)).unwrap();
    drop(unlocked);
    vault.store(&name("WAITS"), &value("w"), &[]).unwrap();
    drop(vault);
    save_beside(&place);
    place
}

/// Keeps what lies beside the database: a key or a note that moves on would hide what a test looks for.
fn save_beside(place: &Place) {
    let note = format!("{}.witness", place.open().id());
    for (dir, file) in [("vault", "audit.key"), ("state", &*note), ("run", &*note)] {
        let path = place.top.path().join(dir).join(file);
        std::fs::copy(&path, path.with_file_name(format!("saved-{file}"))).unwrap();
    }
}

/// Puts a changed file there, in which nothing of the old one is mapped or cached.
fn put(place: &Place, bytes: &[u8]) {
    for dir in ["vault", "state", "run"] {
        for entry in std::fs::read_dir(place.top.path().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_prefix("saved-") {
                std::fs::copy(&path, path.with_file_name(name)).unwrap();
            }
        }
    }
    std::fs::remove_file(place.file("vault.db")).unwrap();
    std::fs::write(place.file("vault.db"), bytes).unwrap();
    make_private(&place.file("vault.db"));
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let place = filled();
    let whole = std::fs::read(place.file("vault.db")).unwrap();
    let mut lengths: Vec<_> = (0..whole.len()).step_by(1531).collect();
    lengths.extend([
        0,
        1,
        15,
        16,
        17,
        99,
        100,
        101,
        511,
        512,
        4095,
        4096,
        4097,
        whole.len() - 1,
        whole.len() - 4096,
    ]);
    for length in lengths {
        put(&place, &whole[..length]);
        let error = refused(&place);
        assert!(matches!(error, VaultError::Truncated { .. }), "{length}: {error}");
    }
    put(&place, &whole);
    assert!(first_error(&place).is_none());
}

#[test]
fn a_zeroed_page_is_refused_or_was_empty() {
    let place = filled();
    let whole = std::fs::read(place.file("vault.db")).unwrap();
    let mut noticed = 0;
    for page in 0..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..][..4096].fill(0);
        put(&place, &bytes);
        noticed += usize::from(noticed_or_harmless(&place, &format!("page {page}")));
    }
    println!("{noticed} of {} zeroed pages noticed", whole.len() / 4096);
    put(&place, &vec![0; whole.len()]);
    assert!(refused(&place).to_string().contains("zeroed"));
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let place = filled();
    let whole = std::fs::read(place.file("vault.db")).unwrap();
    let mut numbers = Numbers(7);
    // Every bit of the header's first bytes, and random ones of everywhere.
    let bits = (0..100 * 8).step_by(3).chain((0..350).map(|_| numbers.below(whole.len() * 8)));
    let (mut noticed, mut all) = (0, 0);
    for bit in bits {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        put(&place, &bytes);
        noticed += usize::from(noticed_or_harmless(&place, &format!("bit {bit}")));
        all += 1;
    }
    println!("{noticed} of {all} flipped bits noticed, the others changed nothing");
}

/// Whether a change was refused as damage; if not, everything must still be there and right.
fn noticed_or_harmless(place: &Place, what: &str) -> bool {
    let before = std::fs::read(place.file("vault.db")).unwrap();
    if let Some(error) = first_error(place) {
        assert!(error.is_damage(), "{what}: {error}");
        assert!(std::fs::read(place.file("vault.db")).unwrap() == before, "{what}: the file was touched");
        return true;
    }
    let mut vault = place.open();
    if vault.inbox().is_err() {
        return true;
    }
    let mut unlocked = match vault.unlock(&factor()) {
        Ok(unlocked) => unlocked,
        Err(error) => panic!("{what}: {error}"),
    };
    let names: Vec<_> = (0..SECRETS).map(|number| name(&format!("S{number}"))).collect();
    let released = unlocked.begin_run(&run(), None, &names).unwrap();
    for (number, (_, value)) in (1..).zip(&released.secrets) {
        assert_eq!(value.expose(), vec![number; 700], "{what}");
    }
    assert_eq!(unlocked.grants().unwrap().len(), 1, "{what}");
    false
}

#[test]
fn files_of_others_and_of_later_versions_are_refused_by_name() {
    let place = filled();
    let whole = std::fs::read(place.file("vault.db")).unwrap();
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&2u32.to_be_bytes());
    put(&place, &newer);
    assert!(matches!(refused(&place), VaultError::Newer { found: 2, known: 1 }));

    put(
        &place,
        b"this is some text that is no database at all, and long enough to have had a header of one: .......",
    );
    assert!(matches!(refused(&place), VaultError::Foreign { .. }));

    std::fs::remove_file(place.file("vault.db")).unwrap();
    rusqlite::Connection::open(place.file("vault.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    make_private(&place.file("vault.db"));
    assert!(matches!(refused(&place), VaultError::Foreign { .. }));
}

#[test]
fn no_vault_is_said_to_be_none() {
    let place = Place::empty();
    assert!(matches!(first_error(&place), Some(VaultError::NoVault { .. })));
    assert!(!Vault::exists(&place.dir()));
    std::fs::create_dir(place.dir()).unwrap();
    make_private(&place.dir());
    let error = first_error(&place).unwrap();
    assert!(matches!(error, VaultError::NoVault { .. }) && !error.is_damage(), "{error}");
}

#[test]
fn a_vault_is_never_made_over_another() {
    let place = filled();
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let new = NewVault { passphrase: None, recovery: true, keyfile: None, kdf: KdfTarget::Floor };
    let error = Vault::create_with(&place.dir(), new, place.witness()).unwrap_err();
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    assert!(std::fs::read(place.file("vault.db")).unwrap() == before);
    let nothing = NewVault { passphrase: None, recovery: false, keyfile: None, kdf: KdfTarget::Floor };
    assert!(matches!(
        Vault::create_with(&Place::empty().dir(), nothing, Witness::none()),
        Err(VaultError::NoFactor)
    ));
}

#[cfg(unix)]
#[test]
fn linked_and_loose_paths_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    for file in ["vault.db", "vault.db-wal", "vault.db-shm", "audit.key"] {
        let place = filled();
        if file == "vault.db" || file == "audit.key" {
            std::fs::rename(place.file(file), place.file("elsewhere")).unwrap();
        } else {
            std::fs::write(place.file("elsewhere"), "").unwrap();
        }
        symlink("elsewhere", place.file(file)).unwrap();
        assert!(matches!(first_error(&place), Some(VaultError::Unsafe { .. })), "{file} linked");

        let place = filled();
        std::fs::OpenOptions::new().append(true).create(true).open(place.file(file)).unwrap();
        std::fs::set_permissions(place.file(file), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(first_error(&place), Some(VaultError::Unsafe { .. })), "{file} loose");
    }
    let place = filled();
    std::fs::set_permissions(place.dir(), PermissionsExt::from_mode(0o755)).unwrap();
    assert!(matches!(first_error(&place), Some(VaultError::Unsafe { .. })));
    std::fs::set_permissions(place.dir(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::rename(place.dir(), place.top.path().join("real")).unwrap();
    symlink("real", place.dir()).unwrap();
    assert!(matches!(first_error(&place), Some(VaultError::Unsafe { .. })));
}

#[cfg(unix)]
#[test]
fn everything_that_is_made_is_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    let old = rustix::process::umask(rustix::fs::Mode::empty());
    let place = filled();
    let vault = place.open();
    let mut seen = 0;
    for dir in [place.dir(), place.top.path().join("state"), place.top.path().join("run")] {
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
            seen += 1;
        }
    }
    rustix::process::umask(old);
    drop(vault);
    assert!(seen >= 6, "database, its two helpers, the log's key, two notes");
}

#[test]
fn a_log_left_by_another_file_is_not_played_into_a_new_vault() {
    let place = Place::empty();
    std::fs::create_dir(place.dir()).unwrap();
    make_private(&place.dir());
    let old = filled();
    let mut vault = old.open();
    vault.append(&run()).unwrap();
    std::fs::copy(old.file("vault.db-wal"), place.file("vault.db-wal")).unwrap();
    let new = NewVault { passphrase: None, recovery: false, keyfile: Some(key()), kdf: KdfTarget::Floor };
    Vault::create_with(&place.dir(), new, place.witness()).unwrap();
    assert!(first_error(&place).is_none());
}
