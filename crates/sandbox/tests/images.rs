//! N6 and opening: what was hashed is what runs, and what is no program is refused without waiting.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use envseal_sandbox::{Exit, Given, Guarantee, Image, ImageError, Spec, StartError, start};
use rustix::io::Errno;
use support::{as_ordinary_user, copy_program, image, output, write_file};

#[test]
fn a_program_replaced_after_it_was_opened_runs_in_its_original_bytes() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let (path, other) = (directory.path().join("program"), directory.path().join("other"));
    copy_program("/usr/bin/printf", &path);
    copy_program("/usr/bin/basename", &other);
    let opened = image(&path);
    let hash = opened.sha256();
    fs::rename(&other, &path).expect("replaced");
    let plain = Command::new(&path).arg("a/%s").output().expect("a run");
    assert_eq!(plain.stdout, b"%s\n", "by its path, the other program runs");

    let mut running = start(Spec::new(opened).arg("a/%s")).expect("a start");
    assert!(running.enforced().gives(Guarantee::N6));
    running.wait().expect("an end");
    let mut again = image(&path);
    assert_ne!(again.sha256(), hash);
    copy_program("/usr/bin/printf", &other);
    let mut opened = image(&other);
    fs::rename(&path, &other).expect("replaced");
    assert_eq!(opened.rehash().expect("hashed"), hash, "the handle is still the original");
    assert_eq!(output(Spec::new(opened).args(["a/%s", "b"])), (Exit::Code(0), "a/b".into()));
    assert_ne!(again.rehash().expect("hashed"), hash);
}

#[test]
fn nobody_writes_into_a_program_between_its_hash_and_its_end() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("program");
    copy_program("/bin/sleep", &path);
    let write = || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).map(drop)
    };
    assert_eq!(write(), Ok(()), "works before");

    let opened = image(&path);
    assert_eq!(opened.guarded(), Given::Yes);
    assert_eq!(write(), Err(Errno::AGAIN), "refused while the image is held");
    // Even the try is known, so this image is not started any more.
    assert!(matches!(opened.guarded(), Given::No(_)));
    match start(Spec::new(opened).arg("300")) {
        Err(StartError::NotGiven { missing, .. }) => assert_eq!(missing[0].0, Guarantee::N6),
        other => panic!("started: {other:?}"),
    }

    let running = start(Spec::new(image(&path)).arg("300")).expect("a start");
    let (_, given) =
        running.enforced().iter().find(|(guarantee, _)| *guarantee == Guarantee::N6).expect("N6");
    assert_eq!(*given, Given::Yes);
    assert_eq!(write(), Err(Errno::TXTBSY), "the kernel refuses while it runs");
    drop(running);
    assert_eq!(write(), Ok(()), "nothing is left of the lease");
}

#[test]
fn a_writer_that_was_there_before_is_told_and_a_second_hash_sees_what_it_wrote() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("program");
    write_file(&path, "#!/bin/sh\necho one\n", 0o755);
    let mut writer = fs::OpenOptions::new().append(true).open(&path).expect("a writer");
    let mut opened = image(&path);
    assert!(matches!(opened.guarded(), Given::Guarded(_)));
    let before = opened.sha256();
    assert_eq!(opened.rehash().expect("hashed"), before);
    std::io::Write::write_all(&mut writer, b"echo two\n").expect("written");
    assert_ne!(opened.rehash().expect("hashed"), before);
    assert_eq!(image("/bin/sh").guarded(), Given::Yes, "a file of root's needs no lease");
}

#[test]
fn the_hash_is_sha256_of_the_file() {
    as_ordinary_user!();
    let sum = Command::new("sha256sum").arg("/bin/sh").output().expect("sha256sum");
    let hex: String = image("/bin/sh").sha256().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&hex));
    let directory = tempfile::tempdir().expect("a directory");
    write_file(&directory.path().join("empty"), "", 0o755);
    assert_eq!(image(directory.path().join("empty")).sha256()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
}

#[test]
fn links_lead_to_the_canonical_file() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let real = directory.path().canonicalize().expect("a path").join("real");
    copy_program("/bin/true", &real);
    let (link, second) = (directory.path().join("link"), directory.path().join("second"));
    symlink("real", &link).expect("a link");
    symlink(&link, &second).expect("a link");
    assert_eq!(image(&second).path(), real);
    let hard = real.with_file_name("hard");
    fs::hard_link(&real, &hard).expect("a link");
    assert_eq!(image(&hard).path(), hard);
    assert_eq!(output(Spec::new(image(&second))).0, Exit::Code(0));
    symlink("loop", directory.path().join("loop")).expect("a link");
    assert!(Image::open(&directory.path().join("loop")).is_err());
}

#[test]
fn what_is_no_program_is_refused_at_once_with_the_status_of_a_shell() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo");
    let _listener = UnixListener::bind(at("socket")).expect("a socket");
    write_file(&at("plain"), "text", 0o644);
    write_file(&at("closed"), "text", 0o000);
    write_file(&at("secret"), "#!/bin/sh", 0o111);
    write_file(&at("blank"), "#!  \n", 0o755);
    symlink("nothing", at("dangling")).expect("a link");
    let open = |path: &std::path::Path| Image::open(path).expect_err("refused");

    for (path, status) in [
        (at("fifo"), 126),
        (at("socket"), 126),
        (at("."), 126),
        ("/dev/null".into(), 126),
        ("/dev/tty".into(), 126),
        (at("plain"), 126),
        (at("closed"), 126),
        (at("secret"), 126),
        (at("blank"), 126),
        (at("dangling"), 127),
        (at("missing"), 127),
        (at("plain/below"), 127),
        ("".into(), 127),
    ] {
        assert_eq!(open(&path).shell_status(), status, "{}", path.display());
    }
    assert!(matches!(open(&at("fifo")), ImageError::NotAFile { kind: "FIFO", .. }));
    assert!(matches!(open(&at(".")), ImageError::NotAFile { kind: "directory", .. }));
    assert!(matches!(open(&at("plain")), ImageError::NotExecutable { .. }));
    assert!(matches!(open(&at("secret")), ImageError::Unreadable { .. }));
    assert!(matches!(open(&at("blank")), ImageError::Shebang { .. }));
}

#[test]
fn a_script_names_its_interpreter_and_is_not_started_itself() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("script");
    write_file(&path, "#!/usr/bin/env -S sh -e\necho $1\n", 0o755);
    let script = image(&path);
    let line = script.shebang().expect("a script").clone();
    assert_eq!(line.interpreter(), "/usr/bin/env");
    assert_eq!(line.argument().expect("an argument"), "-S sh -e");
    assert!(matches!(start(Spec::new(script)), Err(StartError::Script { .. })));
    let spec = Spec::new(image(line.interpreter())).arg(line.argument().expect("an argument"));
    let spec = spec.arg(&path).arg("x").env("PATH", "/usr/bin:/bin");
    assert_eq!(output(spec), (Exit::Code(0), "x\n".into()));
}

#[test]
fn what_the_kernel_cannot_execute_is_an_error_with_its_number() {
    as_ordinary_user!();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("text");
    write_file(&path, "no program", 0o755);
    let error = start(Spec::new(image(&path))).expect_err("refused");
    assert_eq!(error.shell_status(), 126);
    assert!(matches!(error, StartError::Exec { source, .. } if source.raw_os_error() == Some(8)));
    let error = start(Spec::new(image("/bin/true")).arg("x".repeat(131_072))).expect_err("too long");
    assert!(matches!(error, StartError::Exec { source, .. } if source.raw_os_error() == Some(7)));
}
