//! A vault whose files hold anything: an error or the true content, never a panic, never another value.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use envseal_vault::{
    Event, EventKind, Factor, KdfTarget, KeyFile, NewVault, RecoveryCode, SecretBytes, SecretName, Vault,
    Witness, parse,
};
use libfuzzer_sys::fuzz_target;

/// A good vault, as bytes, and the directory where changed ones are opened.
struct Template {
    dir: PathBuf,
    database: Vec<u8>,
    key: Vec<u8>,
}

fn key_file() -> KeyFile {
    KeyFile::new(vec![7; 32]).expect("32 bytes are a key")
}

fn name() -> SecretName {
    "NAME".parse().expect("it is a name")
}

/// In memory where there is such a place: every input is written to it.
fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let top =
            if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().tempdir_in(top).expect("a directory").keep().join("vault");
        let new =
            NewVault { passphrase: None, recovery: true, keyfile: Some(key_file()), kdf: KdfTarget::Floor };
        let mut vault = Vault::create_with(&dir, new, Witness::none()).expect("a vault").vault;
        let mut unlocked = vault.unlock(&Factor::KeyFile(key_file())).expect("it opens");
        let value = SecretBytes::new(b"value".to_vec()).expect("it is a value");
        unlocked.put(&name(), &value, &["host".into()]).expect("it goes in");
        drop(unlocked);
        drop(vault);
        let read = |file| std::fs::read(dir.join(file)).expect("it is there");
        Template { database: read("vault.db"), key: read("audit.key"), dir }
    })
}

/// Everything that a vault does with what it reads.
fn use_vault(database: &[u8], key: &[u8]) {
    let dir = &template().dir;
    for file in ["vault.db-wal", "vault.db-shm"] {
        let _ = std::fs::remove_file(dir.join(file));
    }
    std::fs::write(dir.join("vault.db"), database).expect("it can be written");
    std::fs::write(dir.join("audit.key"), key).expect("it can be written");
    let Ok(mut vault) = Vault::open_with(dir, Witness::none()) else { return };
    let _ = (
        vault.secrets(),
        vault.inbox(),
        vault.grants(),
        vault.slots(),
        vault.audit(1, 100),
        vault.last_time(),
    );
    let _ = vault.append(&Event::new(EventKind::Exit));
    let Ok(mut unlocked) = vault.unlock(&Factor::KeyFile(key_file())) else { return };
    let _ = (unlocked.verify(), unlocked.verify_audit(), unlocked.users_of(&name()));
    let _ = unlocked.accept(&[name()]);
    if let Ok(released) = unlocked.begin_run(&Event::new(EventKind::Run), None, &[name()]) {
        assert_eq!(released.secrets[0].1.expose(), b"value", "another value came out");
    }
}

fn parsers(bytes: &[u8]) {
    let _ = (parse::grant(bytes), parse::event(bytes));
    let _ = parse::header(bytes, bytes.len() as u64, true, Path::new("vault.db"));
    let _ = (parse::backup(bytes), parse::log_key(bytes), parse::witness(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (text.parse::<SecretName>(), text.parse::<RecoveryCode>(), parse::slot_parameters(text));
    }
}

// A choice, then: text for the parsers; changes of four bytes each (a place, a mask); or a whole file.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let good = template();
    match choice % 5 {
        0 => parsers(rest),
        1 | 2 => {
            let (mut database, mut key) = (good.database.clone(), good.key.clone());
            for change in rest.as_chunks::<4>().0 {
                let place = u32::from_be_bytes([0, change[0], change[1], change[2]]) as usize;
                let all = database.len() + key.len();
                match database.len() {
                    length if place % all < length => database[place % all] ^= change[3],
                    length => key[place % all - length] ^= change[3],
                }
            }
            use_vault(&database, &key);
        }
        3 => use_vault(rest, &good.key),
        _ => use_vault(&good.database, rest),
    }
});
