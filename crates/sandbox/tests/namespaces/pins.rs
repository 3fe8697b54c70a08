//! Pinned files, and what is said of them.

use super::*;

const SCRIPT: &str = "read line; read a <$0 && echo $a; echo x >>$0 || echo refused";

fn content(room: &Path) -> File {
    let path = room.join("approved");
    fs::write(&path, "approved\n").expect("a file");
    let file = File::open(&path).expect("a file");
    fs::remove_file(&path).expect("removed");
    file
}

#[test]
fn a_pinned_file_is_as_it_was_given_whatever_is_done_outside() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let at = |name: &str| room.path().join(name);
    fs::create_dir(at("project")).expect("a directory");
    fs::write(at("project/script"), "changed\n").expect("a file");
    fs::write(at("project/beside"), "beside\n").expect("a file");
    for round in ["before", "written", "renamed", "moved"] {
        let script = format!("{SCRIPT}; read a <{0} && echo $a", at("project/beside").display());
        let spec = lockdown(&script).arg(at("project/script")).read(at("project")).stderr(Stdio::Null);
        let spec = spec.pin(at("project/script"), content(room.path()));
        let (running, mut input, mut out) = waiting(spec);
        assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("owns")));
        match round {
            "written" => fs::write(at("project/script"), "other\n").expect("written"),
            "renamed" => {
                fs::write(at("project/new"), "other\n").expect("a file");
                fs::rename(at("project/new"), at("project/script")).expect("replaced");
            }
            "moved" => {
                fs::rename(at("project"), at("old")).expect("moved");
                fs::create_dir(at("project")).expect("a directory");
                fs::write(at("project/script"), "other\n").expect("a file");
            }
            _ => {}
        }
        assert_eq!(told(&mut input, &mut out), "approved\nrefused\nbeside\n", "{round}");
    }
}

#[test]
fn one_that_is_not_there_outside_is_there_inside() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    for path in ["/tmp/envseal-pin/a/script", "/dev/envseal/script"] {
        let spec = lockdown(SCRIPT).arg(path).pin(path, content(room.path())).stderr(Stdio::Null);
        let (_running, mut input, mut out) = waiting(spec);
        assert_eq!(told(&mut input, &mut out), "approved\nrefused\n", "{path}");
    }
    let path = "/dev/envseal/script";
    let spec = hardened(SCRIPT).arg(path).pin(path, content(room.path())).stderr(Stdio::Null);
    let (running, mut input, mut out) = waiting(spec);
    assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("owns")));
    assert_eq!(told(&mut input, &mut out), "approved\nrefused\n");
}

#[test]
fn where_the_user_can_rename_it_away_that_is_told() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("script");
    for tier in [Tier::None, Tier::Hardened] {
        fs::write(&path, "changed\n").expect("a file");
        let spec = shell(SCRIPT).tier(tier).engine(Engine::Namespaces).arg(&path).stderr(Stdio::Null);
        let (running, mut input, mut out) = waiting(spec.pin(&path, content(room.path())));
        assert!(matches!(given(&running, Guarantee::N6), Given::Guarded(why) if why.contains("rename")));
        fs::write(&path, "other\n").expect("written");
        assert_eq!(told(&mut input, &mut out), "approved\nrefused\n", "{tier}");
    }
    let missing = start(hardened(":").pin(room.path().join("missing"), content(room.path())));
    assert!(matches!(missing, Err(StartError::NotGiven { .. })), "{missing:?}");
}

#[test]
fn one_that_the_system_owns_is_pinned_for_good() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let spec = hardened("cat /etc/passwd").pin("/etc/passwd", content(room.path()));
    let (exit, text) = output(spec);
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "approved\n"));
}

#[test]
fn an_executable_one_can_be_executed() {
    as_ordinary_user!();
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("tool");
    support::write_file(&path, "#!/bin/sh\necho approved\n", 0o755);
    let content = File::open(&path).expect("a file");
    let spec = hardened(&path.display().to_string()).pin(&path, content);
    assert_eq!(says(spec), "approved\n");
}
