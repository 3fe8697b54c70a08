//! A value is nowhere in the clear: not in the files, not in what is listed, not in any debug text.

mod support;

use envseal_vault::*;
use support::*;

const CANARY: &str = "canary-7f3a9c51e2d84b06";

fn assert_clean(bytes: &[u8], what: &str) {
    let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
    assert!(!found, "the value is in {what}");
}

#[test]
fn a_value_is_in_no_file_and_in_no_text() {
    let place = Place::new();
    let backup = place.top.path().join("backup");
    let mut vault = place.open();
    let secret = value(CANARY);
    let item = vault.store(&name("A"), &secret, &["h".into()]).unwrap();
    let mut unlocked = unlock(&mut vault);
    let infos = unlocked.accept(&[name("A")]).unwrap();
    unlocked.rotate(&name("A"), &secret).unwrap();
    unlocked.rename(&name("A"), &name("B")).unwrap();
    let id = unlocked.add_grant(&grant("B", None)).unwrap();
    let released = unlocked.begin_run(&run(), Some(id), &[name("B")]).unwrap();
    assert_eq!(released.secrets[0].1.expose(), CANARY.as_bytes());
    let report = unlocked.backup(&backup).unwrap();

    let texts = [
        format!("{secret:?}{item:?}{infos:?}{released:?}{report:?}{unlocked:?}"),
        format!("{:?}", Passphrase::from(CANARY)),
        format!("{:?}", Factor::Passphrase(CANARY.into())),
        format!("{:?}", NewSlot::Passphrase(CANARY.into())),
        format!("{:?}", KeyFile::new(CANARY.repeat(2).into_bytes())),
        format!("{:?}", unlocked.audit(1, 100).unwrap()),
        serde_json::to_string(&(unlocked.secrets().unwrap(), unlocked.audit(1, 100).unwrap())).unwrap(),
    ];
    texts.iter().for_each(|text| assert_clean(text.as_bytes(), text));

    let mut files = 0;
    let mut dirs = vec![place.top.path().to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            assert_clean(&std::fs::read(&path).unwrap(), &path.display().to_string());
            files += 1;
        }
    }
    assert!(files >= 7, "database, log, index, log key, backup, two notes: {files}");
}

#[test]
fn what_was_purged_is_gone_from_the_file() {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("A"), &value("old"), &[]).unwrap();
    let sealed: Vec<u8> =
        place.attacker().query_row("SELECT ciphertext FROM entry", (), |row| row.get(0)).unwrap();
    unlocked.rotate(&name("A"), &value("new")).unwrap();
    unlocked.purge(&name("A")).unwrap();
    for entry in std::fs::read_dir(place.dir()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(sealed.len()).any(|window| window == sealed), "{}", path.display());
    }
}
