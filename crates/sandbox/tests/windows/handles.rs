//! What a program inherits, and what is left in the caller.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::process::Command;

use envseal_sandbox::{Exit, Image, Spec, StartError, Stdio, Tier, start};
use tempfile::TempDir;
use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

use crate::support::{TIERS, example, handle_count, not_given, output, probe};

const DISK: &str = "1";

fn on_disk(text: &str) -> usize {
    text.lines().filter(|line| line.split_once(' ').is_some_and(|(_, kind)| kind == DISK)).count()
}

fn inheritable(file: &File) {
    // SAFETY: the handle is open and of this process.
    let set = unsafe { SetHandleInformation(file.as_raw_handle(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) };
    assert_ne!(set, 0);
}

#[test]
fn nothing_but_what_is_listed_is_inherited() {
    let place = TempDir::new().expect("a directory");
    let file = File::create(place.path().join("secret")).expect("a file");
    // Such a start inherits what other tests make inheritable at that moment, too: the least is its own.
    let inherits_all = || {
        let tries = std::iter::repeat_with(|| {
            let tried = Command::new(example("probe")).arg("handles").output().expect("output");
            on_disk(&String::from_utf8_lossy(&tried.stdout))
        });
        tries.take(10).min().expect("ten")
    };
    let (before, own) = (inherits_all(), on_disk(&output(probe(Tier::None, ["handles"])).1));
    inheritable(&file);
    // Whoever inherits everything has it now.
    assert_eq!(inherits_all(), before + 1);
    for tier in TIERS {
        assert_eq!(on_disk(&output(probe(tier, ["handles"])).1), own, "{tier}");
        // The one that is listed is inherited, and need not have been inheritable.
        let listed = File::create(place.path().join("listed")).expect("a file");
        assert_eq!(on_disk(&output(probe(tier, ["handles"]).handle(listed.into())).1), own + 1, "{tier}");
    }
}

#[test]
fn streams_lead_where_they_were_told_to() {
    let place = TempDir::new().expect("a directory");
    let path = place.path().join("file");
    for tier in TIERS {
        let mut running =
            start(probe(tier, ["echo"]).stdin(Stdio::Pipe).stdout(Stdio::Pipe)).expect("a start");
        let mut input = File::from(running.take_stdin().expect("a pipe"));
        assert!(running.take_stdin().is_none() && running.take_stderr().is_none());
        input.write_all("über\n".as_bytes()).expect("written");
        drop(input);
        let mut text = String::new();
        File::from(running.take_stdout().expect("a pipe")).read_to_string(&mut text).expect("read");
        assert_eq!((running.wait().expect("an end"), text.as_str()), (Exit::Code(0), "über\n"), "{tier}");

        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        let copy = OwnedHandle::from(file.try_clone().expect("a copy"));
        let mut running =
            start(probe(tier, ["print", "to a file"]).stdout(Stdio::Handle(copy))).expect("a start");
        assert_eq!(running.wait().expect("an end"), Exit::Code(0));
        text.clear();
        file.seek(SeekFrom::Start(0)).expect("sought");
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "to a file\n", "{tier}");

        let mut running = start(probe(tier, ["echo"])).expect("a start");
        assert_eq!(running.wait().expect("an end"), Exit::Code(0), "the null device is empty");
    }
    let refused = start(probe(Tier::None, ["exit"]).stdin(Stdio::Terminal)).expect_err("refused");
    assert!(matches!(refused, StartError::NoTerminal));
}

#[test]
fn the_callers_streams_are_inherited_by_default() {
    let mut supervisor = Command::new(example("supervise"));
    supervisor.arg("--quiet").arg(example("probe")).args(["print", "through"]);
    let output = supervisor.output().expect("output");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n");
    assert!(output.status.success());
}

/// A program for another processor: it opens, and the system refuses to start it.
fn foreign(place: &TempDir) -> Image {
    let mut bytes = fs::read(example("probe")).expect("the probe");
    let header = u32::from_le_bytes(bytes[0x3c..0x40].try_into().expect("four bytes")) as usize;
    // IMAGE_FILE_MACHINE_ALPHA.
    bytes[header + 4..header + 6].copy_from_slice(&0x0184_u16.to_le_bytes());
    let path = place.path().join("foreign.exe");
    fs::write(&path, bytes).expect("written");
    Image::open(&path).expect("an image")
}

#[test]
fn what_the_system_refuses_to_start_is_an_error_with_the_systems_code() {
    let place = TempDir::new().expect("a directory");
    for tier in TIERS {
        let spec = Spec::new(foreign(&place)).tier(tier).allow_weaker(not_given(tier));
        let refused = start(spec).expect_err("refused");
        let StartError::Exec { source, .. } = &refused else { panic!("{refused}") };
        assert!(matches!(source.raw_os_error(), Some(193 | 216)), "{source:?}");
        assert_eq!(refused.shell_status(), 126);
    }
}

/// In a process of its own: other tests of this one open and close handles at the same time.
#[test]
fn five_hundred_starts_leave_no_handle() {
    let mut alone = Command::new(std::env::current_exe().expect("this program"));
    alone.args(["--exact", "handles::five_hundred_starts_alone", "--ignored", "--nocapture"]);
    let output = alone.output().expect("output");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the other test runs it"]
fn five_hundred_starts_alone() {
    let place = TempDir::new().expect("a directory");
    let turn = |turn: usize| {
        let tier = TIERS[turn % 3];
        let limits = envseal_sandbox::Limits { file: Some(1), ..Default::default() };
        match turn % 5 {
            // One that runs, one that is missing, one that the system refuses, and one that is made and ended.
            0 | 1 => drop(output(probe(tier, ["exit"]))),
            2 => drop(Image::open(&place.path().join("missing.exe")).expect_err("missing")),
            3 => drop(start(Spec::new(foreign(&place)).tier(tier)).expect_err("refused")),
            _ => drop(start(probe(TIERS[turn % 2], ["exit"]).limits(limits)).expect_err("refused")),
        }
    };
    // What the first of each kind leaves is the libraries that were loaded for it.
    (0..15).for_each(turn);
    let before = handle_count();
    (0..500).for_each(turn);
    // Not one for each of the five kinds of start would be left unseen: each kind had a hundred turns.
    let after = handle_count();
    assert!(after <= before, "{before} handles before, {after} after");
}
