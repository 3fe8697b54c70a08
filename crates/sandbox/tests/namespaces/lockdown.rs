//! What it sees in `Lockdown`.

use super::*;

#[test]
fn nothing_is_written_but_scratch_and_what_was_named() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let at = |name: &str| room.path().join(name);
    for directory in ["named", "read", "other"] {
        fs::create_dir(at(directory)).expect("a directory");
        fs::write(at(directory).join("file"), format!("{directory}\n")).expect("a file");
    }
    let script = format!(
        "cd {0}; read a <named/file && echo $a; read a <read/file && echo $a; read a <other/file && echo $a; \
         echo new >named/new && echo wrote; echo new >read/new || echo refused; echo new >other/new || echo refused; \
         echo x >/tmp/envseal-scratch && read a </tmp/envseal-scratch && echo $a; echo x >/dev/shm/x && echo shared; \
         echo x >/usr/x || echo refused; echo x >/run/x || echo refused",
        room.path().display()
    );
    let spec = lockdown(&script).write(at("named")).read(at("read"));
    assert_eq!(says(spec), "named\nread\nwrote\nrefused\nrefused\nx\nshared\nrefused\nrefused\n");
    assert_eq!(fs::read_to_string(at("named/new")).expect("written outside too"), "new\n");
    assert!(!Path::new("/tmp/envseal-scratch").exists() && !at("other/new").exists());
    let spec =
        lockdown("echo more >>$0 && read a <$0 && echo $a").arg(at("named/file")).write(at("named/file"));
    assert_eq!(says(spec), "named\n");
    assert_eq!(fs::read_to_string(at("named/file")).expect("a file"), "named\nmore\n");
}

#[test]
fn the_directory_it_starts_in_is_there_and_closed_unless_it_was_named() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    fs::write(room.path().join("file"), "x\n").expect("a file");
    let script = "pwd; read a <file && echo $a";
    let pwd = format!("{}\n", room.path().display());
    assert_eq!(says(lockdown(script).directory(room.path())), pwd);
    assert_eq!(says(lockdown(script).directory(room.path()).read(room.path())), pwd + "x\n");
    assert_eq!(says(lockdown("pwd").directory("/usr/lib")), "/usr/lib\n");
}

#[test]
fn a_hidden_path_is_closed_beneath_a_named_one() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    fs::create_dir(room.path().join("hidden")).expect("a directory");
    fs::write(room.path().join("hidden/vault"), "sealed\n").expect("a file");
    fs::write(room.path().join("file"), "x\n").expect("a file");
    let spec = lockdown("read a <file && echo $a; read a <hidden/vault && echo $a").directory(room.path());
    assert_eq!(says(spec.read(room.path()).hide(room.path().join("hidden"))), "x\n");
}
