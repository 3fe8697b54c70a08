//! The rules at the versions that older kernels have, each tried in a thread of its own: a domain is a
//! thread's, and ends with it.

use std::fs::{self, File};
use std::io::ErrorKind::PermissionDenied;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::super::sys_confine::landlock_restrict;
use super::*;
use crate::Image;

struct Room {
    hidden: PathBuf,
    beside: PathBuf,
    _room: tempfile::TempDir,
}

impl Room {
    fn new() -> Room {
        let room = tempfile::tempdir().expect("a directory");
        let root = room.path().canonicalize().expect("a path");
        let (hidden, beside) = (root.join("vault"), root.join("beside"));
        for directory in [&hidden, &beside] {
            fs::create_dir(directory).expect("a directory");
            fs::write(directory.join("file"), "text").expect("a file");
        }
        Room { hidden, beside, _room: room }
    }
}

/// Runs `act` in a domain of the given tier and version; `false` when the kernel is older than that.
fn confined(tier: Tier, version: u32, room: &Room, act: impl FnOnce(&Room) + Send) -> bool {
    if super::version() < version {
        return false;
    }
    let spec = Spec::new(Image::open("/bin/true".as_ref()).expect("a program")).tier(tier);
    let spec = spec.hide(&room.hidden).read(&room.beside);
    let hidden = Hidden::new([room.hidden.as_path()]);
    let rules = rules(&spec, &hidden, &[], version).expect("rules").expect("a ruleset");
    std::thread::scope(|scope| {
        let restricted = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).expect("no new privileges");
            landlock_restrict(rules.ruleset.as_fd()).expect("a domain");
            act(room);
        });
        restricted.join().expect("the attempts");
    });
    true
}

fn is_denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == PermissionDenied)
}

#[test]
fn hidden_files_are_closed_at_every_version_and_others_open() {
    for version in 1..=KNOWN {
        let room = Room::new();
        let tried = confined(Tier::Hardened, version, &room, |room| {
            assert!(is_denied(fs::read(room.hidden.join("file"))), "version {version}");
            assert!(is_denied(fs::write(room.hidden.join("new"), "")), "version {version}");
            assert!(is_denied(fs::remove_file(room.hidden.join("file"))), "version {version}");
            assert!(is_denied(fs::remove_dir_all(&room.hidden)), "version {version}");
            let stolen = fs::hard_link(room.hidden.join("file"), room.beside.join("link"));
            assert!(stolen.is_err(), "version {version}");
            assert!(fs::read(room.beside.join("file")).is_ok(), "version {version}");
            fs::write(room.beside.join("new"), "").expect("a place that is not hidden");
        });
        assert!(tried || super::version() < version);
    }
}

#[test]
fn truncation_of_a_hidden_file_is_refused_from_the_third_version_on() {
    // truncate(2) opens nothing, so that the right to write does not cover it.
    let truncate = |path: &PathBuf| {
        let script = "import os, sys\ntry: os.truncate(sys.argv[1], 0)\nexcept PermissionError: sys.exit(7)";
        let status = std::process::Command::new("python3").args(["-c", script]).arg(path).status();
        status.expect("python3").code()
    };
    for version in 1..=KNOWN {
        let room = Room::new();
        confined(Tier::Hardened, version, &room, |room| {
            let expected = if version < 3 { Some(0) } else { Some(7) };
            assert_eq!(truncate(&room.hidden.join("file")), expected, "version {version}");
        });
    }
}

#[test]
fn lockdown_reads_what_is_named_and_writes_nowhere_at_every_version() {
    for version in 1..=KNOWN {
        let room = Room::new();
        confined(Tier::Lockdown, version, &room, |room| {
            assert!(fs::read(room.beside.join("file")).is_ok(), "version {version}");
            assert!(is_denied(fs::write(room.beside.join("file"), "")), "version {version}");
            assert!(is_denied(fs::read(room.hidden.join("file"))), "version {version}");
            assert!(is_denied(fs::read_dir("/")), "version {version}");
            assert!(is_denied(fs::read("/etc/hostname")), "version {version}");
            assert!(
                File::open("/etc/passwd").is_ok() && File::open("/dev/null").is_ok(),
                "version {version}"
            );
        });
    }
}

#[test]
fn a_named_path_with_a_link_in_it_grants_nothing() {
    let room = tempfile::tempdir().expect("a directory");
    let root = room.path().canonicalize().expect("a path");
    let (real, link) = (root.join("real"), root.join("link"));
    fs::create_dir(&real).and_then(|()| fs::write(real.join("file"), "text")).expect("a file");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let readable = |named: &PathBuf| {
        let spec = Spec::new(Image::open("/bin/true".as_ref()).expect("a program")).tier(Tier::Lockdown);
        let rules = rules(&spec.read(named).write(named), &Hidden::default(), &[], version());
        let rules = rules.expect("rules").expect("a ruleset");
        std::thread::scope(|scope| {
            let restricted = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).expect("no new privileges");
                landlock_restrict(rules.ruleset.as_fd()).expect("a domain");
                fs::read(real.join("file")).is_ok()
            });
            restricted.join().expect("the attempt")
        })
    };
    assert!(readable(&real));
    assert!(!readable(&link) && !readable(&root.join("link/file")));
}
