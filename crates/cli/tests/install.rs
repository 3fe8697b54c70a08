//! `envseal install` and `uninstall`, for real where the tests run as root.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Home, run};

const DIRECTORY: &str = "/usr/local/lib/envseal";
const LAUNCHER: &str = "/usr/local/lib/envseal/envseal-launch";
const LOADER: &str = "/usr/local/lib/envseal/ld.so";

/// Root, with the whole system to itself: other tests install too. `None` for an ordinary user, and where a
/// person has installed it for real.
fn alone() -> Option<Alone> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can install");
        return None;
    }
    let lock = File::create("/tmp/envseal-install-test.lock").unwrap();
    lock.lock().unwrap();
    if Path::new(LAUNCHER).exists() {
        println!("SKIPPED: {LAUNCHER} is installed already");
        return None;
    }
    Some(Alone { _lock: lock })
}

/// A test that fails leaves no launcher behind, through which every later run would go.
struct Alone {
    _lock: File,
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = fs::remove_file(LAUNCHER);
        let _ = fs::remove_file(LOADER);
        let _ = fs::remove_dir(DIRECTORY);
    }
}

/// A directory with the program and a launcher beside it.
fn room() -> (tempfile::TempDir, PathBuf) {
    let room = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = room.path().join("envseal");
    fs::copy(env!("CARGO_BIN_EXE_envseal"), &program).unwrap();
    // What it does is tested where it is made; here it is a program like any other.
    fs::copy("/bin/true", room.path().join("envseal-launch")).unwrap();
    (room, program)
}

fn mode_of(path: &str) -> (u32, u32, u32) {
    let of = fs::metadata(path).unwrap();
    (of.uid(), of.gid(), of.mode() & 0o7777)
}

/// `getcap` of the file, as the kernel keeps it.
fn capability(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    let mut data = [0; 64];
    let length = rustix::fs::getxattr(path.as_ref(), "security.capability", &mut data).ok()?;
    Some(data[..length].to_vec())
}

/// Revision 2, CAP_SETGID (6) and CAP_WAKE_ALARM (35) permitted (capabilities(7)).
fn both() -> Option<Vec<u8>> {
    let mut data = vec![0; 20];
    (data[3], data[4], data[12]) = (2, 1 << 6, 1 << 3);
    Some(data)
}

#[test]
fn install_makes_it_whole_says_each_step_and_is_undone_without_a_trace() {
    let Some(_lock) = alone() else { return };
    let (_room, program) = room();
    let envseal = |command: &str| run(Command::new(&program).arg(command));

    let installed = envseal("install").ok();
    assert_eq!(mode_of(DIRECTORY), (0, 0, 0o755));
    assert_eq!((mode_of(LAUNCHER), capability(LAUNCHER)), ((0, 0, 0o755), both()));
    assert_eq!(mode_of(LOADER), (0, 0, 0o711));
    assert_eq!(fs::read(LAUNCHER).unwrap(), fs::read("/bin/true").unwrap());
    let digest = run(Command::new("sha256sum").arg("/bin/true")).stdout();
    let digest = digest.split_whitespace().next().unwrap().to_owned();
    installed.says(&format!("installed {LAUNCHER}, sha256 {digest}")).says(&format!("installed {LOADER}"));
    let loader = fs::canonicalize("/lib64/ld-linux-x86-64.so.2").unwrap();
    assert_eq!(fs::read(LOADER).unwrap(), fs::read(&loader).unwrap());
    assert_eq!(
        fs::metadata(LOADER).unwrap().modified().unwrap(),
        fs::metadata(loader).unwrap().modified().unwrap(),
        "whoever cannot read it can still tell whether it is old"
    );

    let again = envseal("install").ok();
    assert_eq!(again.stderr().lines().count(), 1, "{}", again.stderr());
    again.says("nothing to do");

    let removed = envseal("uninstall").ok();
    removed.says("removed /usr/local/lib/envseal/ld.so");
    assert!(!Path::new(DIRECTORY).exists());
    envseal("uninstall").ok().says("nothing to do");
}

#[test]
fn what_differs_is_put_right_and_a_hard_link_to_the_old_launcher_is_worth_nothing() {
    let Some(_lock) = alone() else { return };
    let (room, program) = room();
    let envseal = |command: &str| run(Command::new(&program).arg(command));
    envseal("install").ok();
    let kept = Path::new("/usr/local/lib/envseal-test-link");
    fs::hard_link(LAUNCHER, kept).unwrap();
    assert_eq!(capability(kept), both());

    fs::copy("/bin/false", room.path().join("envseal-launch")).unwrap();
    let replaced = envseal("install").ok();
    let link = (fs::metadata(kept).unwrap().mode() & 0o7777, capability(kept));
    fs::remove_file(kept).unwrap();
    assert_eq!(link, (0o600, None), "the capability is taken from the old file");
    replaced.says("replaced /usr/local/lib/envseal/envseal-launch");
    assert_eq!(fs::read(LAUNCHER).unwrap(), fs::read("/bin/false").unwrap());
    assert_eq!((mode_of(LAUNCHER), capability(LAUNCHER)), ((0, 0, 0o755), both()));

    for (path, mode) in [(LAUNCHER, 0o775), (LOADER, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        envseal("install").ok().says("replaced");
    }
    assert_eq!((mode_of(LAUNCHER), mode_of(LOADER)), ((0, 0, 0o755), (0, 0, 0o711)));
    fs::set_permissions(DIRECTORY, fs::Permissions::from_mode(0o777)).unwrap();
    envseal("install").status(125).says("others than root can write it");
    fs::set_permissions(DIRECTORY, fs::Permissions::from_mode(0o755)).unwrap();

    fs::write("/usr/local/lib/envseal/other", "").unwrap();
    envseal("uninstall").ok().says("it holds other files");
    fs::remove_file("/usr/local/lib/envseal/other").unwrap();
    envseal("uninstall").ok().says("removed /usr/local/lib/envseal");
    assert!(!Path::new(DIRECTORY).exists());
}

#[test]
fn a_launcher_that_is_missing_or_no_file_is_not_installed() {
    let Some(_lock) = alone() else { return };
    let (room, program) = room();
    let launcher = room.path().join("envseal-launch");
    let install = || run(Command::new(&program).arg("install"));
    fs::remove_file(&launcher).unwrap();
    install().status(125).says("No such file").says("beside envseal");
    fs::create_dir(&launcher).unwrap();
    install().status(125).says("not a regular file");
    fs::remove_dir(&launcher).unwrap();
    std::os::unix::fs::symlink("/bin/true", &launcher).unwrap();
    install().status(125);
    fs::remove_file(&launcher).unwrap();
    fs::write(&launcher, "#!/bin/sh\n").unwrap();
    install().status(125).says("not a program");
    assert!(!Path::new(DIRECTORY).exists(), "nothing was touched");
}

#[test]
fn an_ordinary_user_is_told_the_command() {
    let home = Home::empty();
    for command in ["install", "uninstall"] {
        let refused = run(&mut home.envseal([command])).status(125);
        assert_eq!(refused.stderr().lines().count(), 1);
        refused.says(&format!("only root can do this; sudo envseal {command}"));
    }
}
