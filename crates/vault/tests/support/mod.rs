//! A vault in a throwaway directory, opened by a key file so that tests need no slow derivation.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod children;

use std::path::{Path, PathBuf};

use envseal_vault::*;

pub struct Place {
    pub top: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { top: tempfile::tempdir().unwrap() };
        let new = NewVault { passphrase: None, recovery: false, keyfile: Some(key()), kdf: KdfTarget::Floor };
        Vault::create_with(&place.dir(), new, place.witness()).unwrap();
        place
    }

    pub fn empty() -> Self {
        Self { top: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self) -> PathBuf {
        self.top.path().join("vault")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn witness(&self) -> Witness {
        witness_in(self.top.path())
    }

    pub fn open(&self) -> Vault {
        Vault::open_with(&self.dir(), self.witness()).unwrap()
    }

    /// A second connection, as an attacker with the file has it.
    pub fn attacker(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file("vault.db")).unwrap()
    }

    pub fn sql(&self, statement: &str) {
        self.attacker().execute_batch(statement).unwrap();
    }
}

pub fn witness_in(top: &Path) -> Witness {
    Witness::in_directories(Some(top.join("state")), Some(top.join("run")))
}

pub fn key() -> KeyFile {
    KeyFile::new(b"a key file of the tests, long enough to be one".to_vec()).unwrap()
}

pub fn factor() -> Factor {
    Factor::KeyFile(key())
}

pub fn unlock(vault: &mut Vault) -> Unlocked<'_> {
    vault.unlock(&factor()).unwrap()
}

pub fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

pub fn value(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec()).unwrap()
}

pub fn grant(secret: &str, uses: Option<u32>) -> Grant {
    Grant {
        effect: Effect::Allow,
        secrets: vec![SecretRule { name: secret.parse().unwrap(), variable: None }],
        program: FileRule { path: "/bin/true".into(), sha256: Digest::new([1; 32]) },
        called: None,
        shebang: false,
        script_as: None,
        script: None,
        pins: vec![],
        args: ArgsRule::Any,
        cwd: None,
        caller: CallerRule::Any,
        tier: TierName::None,
        confinement: Confinement::default(),
        deliver: Delivery::Env,
        raw: false,
        pass: vec![],
        fixed: Default::default(),
        created: 1,
        expires: None,
        uses,
    }
}

/// A run's event.
pub fn run() -> Event {
    let mut event = Event::new(EventKind::Run);
    event.program = Some("/bin/true".into());
    event
}

/// The value of a secret, by the one way there is.
pub fn value_of(unlocked: &mut Unlocked<'_>, secret: &str) -> Vec<u8> {
    let released = unlocked.begin_run(&run(), None, &[name(secret)]).unwrap();
    released.secrets[0].1.expose().to_vec()
}

/// The first error of opening, unlocking and verifying everything.
pub fn first_error(place: &Place) -> Option<VaultError> {
    let mut vault = match Vault::open_with(&place.dir(), place.witness()) {
        Ok(vault) => vault,
        Err(error) => return Some(error),
    };
    match vault.unlock(&factor()) {
        Ok(unlocked) => unlocked.verify().err(),
        Err(UnlockError::Vault(error)) => Some(error),
        Err(other) => panic!("{other}"),
    }
}

/// Demands that the vault is refused as damaged, and that its file is as it was.
pub fn refused(place: &Place) -> VaultError {
    let before = std::fs::read(place.file("vault.db")).unwrap();
    let error = first_error(place).expect("the change was not noticed");
    assert!(error.is_damage(), "{error}");
    assert!(std::fs::read(place.file("vault.db")).unwrap() == before, "the file was touched: {error}");
    error
}

/// Gives a file or directory the permissions that a vault's has. On Windows it has inherited them.
#[cfg(unix)]
pub fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[cfg(windows)]
pub fn make_private(_path: &Path) {}
