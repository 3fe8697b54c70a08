//! Arguments, environment and directory arrive as they were given.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;

use envseal_sandbox::{Exit, StartError, Tier, start};
use tempfile::TempDir;

use crate::support::{Drawn, is_wine, output, probe};

/// Arguments of what is hard to quote, some of them no valid text.
fn drawn_list(drawn: &mut Drawn) -> Vec<Vec<u16>> {
    const UNITS: [u16; 16] = [
        b'"' as u16,
        b'"' as u16,
        b'\\' as u16,
        b'\\' as u16,
        b'\\' as u16,
        b' ' as u16,
        b' ' as u16,
        b'\t' as u16,
        b'a' as u16,
        b'%' as u16,
        b'^' as u16,
        b'&' as u16,
        b'\n' as u16,
        b'\'' as u16,
        0xe9,
        0xd83d,
    ];
    let count = drawn.below(6);
    (0..count)
        .map(|_| {
            let length = drawn.below(12);
            (0..length).map(|_| UNITS[drawn.below(UNITS.len())]).collect()
        })
        .collect()
}

fn written(list: &[Vec<u16>]) -> String {
    let each =
        list.iter().map(|units| units.iter().map(|unit| format!("{unit:04x}")).collect::<String>() + ".\n");
    each.collect()
}

#[test]
fn a_thousand_lists_of_arguments_arrive_as_they_were_given() {
    let mut drawn = Drawn(0x9e37_79b9_7f4a_7c15);
    for turn in 0..1000 {
        let list = drawn_list(&mut drawn);
        let arguments = list.iter().map(|units| OsString::from_wide(units));
        let (exit, text) = output(probe(Tier::None, ["arguments"]).args(arguments));
        assert_eq!((exit, text), (Exit::Code(0), written(&list)), "list {turn}");
    }
}

/// By the system's own reader too, of which the C run-time is a copy.
#[test]
fn the_systems_reader_agrees() {
    let mut drawn = Drawn(88_172_645_463_325_252);
    for turn in 0..100 {
        let list = drawn_list(&mut drawn);
        let arguments = list.iter().map(|units| OsString::from_wide(units));
        let (_, text) = output(probe(Tier::None, ["argv"]).args(arguments));
        let expected = written(&list);
        assert_eq!(text.trim_end(), expected.trim_end(), "list {turn}");
    }
}

#[test]
fn what_no_command_line_can_hold_is_refused() {
    let refused = start(probe(Tier::None, ["print", "a\0b"])).expect_err("refused");
    assert!(matches!(refused, StartError::Nul { place: "an argument" }));
    let refused = start(probe(Tier::None, ["print", &"x".repeat(32_767)])).expect_err("refused");
    assert!(refused.to_string().contains("32,766"), "{refused}");
    let refused = start(probe(Tier::None, []).arg0("a\"b")).expect_err("refused");
    assert!(refused.to_string().contains("argument 0"), "{refused}");
}

#[test]
fn the_environment_is_what_was_declared_and_the_root_of_the_system() {
    for tier in [Tier::None, Tier::Hardened] {
        let spec = probe(tier, ["environment"]).env("path", "first").env("PATH", "second");
        let (_, text) = output(spec.env("Ünï", "wert=1").env("Z", "").env("a", "b"));
        let mut lines: Vec<_> = text.lines().collect();
        if is_wine() {
            // It adds names of its own.
            lines.retain(|line| !line.starts_with("WINE") && !line.starts_with("SystemDrive="));
        }
        let root = std::env::var("SystemRoot").expect("this test has it");
        let is_root = |line: &&str| line.eq_ignore_ascii_case(&format!("SystemRoot={root}"));
        assert_eq!(lines.iter().filter(|line| is_root(line)).count(), 1, "{text}");
        lines.retain(|line| !is_root(line));
        lines.sort_unstable();
        assert_eq!(lines, ["PATH=second", "Z=", "a=b", "Ünï=wert=1"]);
    }
}

#[test]
fn the_root_of_the_system_is_not_added_twice() {
    let (_, text) = output(probe(Tier::None, ["environment"]).env("SYSTEMROOT", "C:\\windows"));
    let of = text.lines().filter(|line| line.to_ascii_uppercase().starts_with("SYSTEMROOT="));
    assert_eq!(of.count(), 1, "{text}");
}

#[test]
fn a_variable_that_would_be_read_as_something_else_is_refused() {
    for name in ["", "A=B", "=C:"] {
        let refused = start(probe(Tier::None, ["exit"]).env(name, "x")).expect_err("refused");
        assert!(matches!(refused, StartError::Variable { .. }));
    }
    let refused = start(probe(Tier::None, ["exit"]).env("A", "secret\0B=1")).expect_err("refused");
    assert!(matches!(refused, StartError::Nul { .. }) && !refused.to_string().contains("secret"));
}

#[test]
fn a_program_starts_in_its_directory_and_not_in_one_that_is_missing() {
    let place = TempDir::new().expect("a directory");
    let canonical = place.path().canonicalize().expect("there");
    for directory in [place.path(), &canonical] {
        let (_, text) = output(probe(Tier::None, ["directory"]).directory(directory));
        let found = std::path::Path::new(text.trim()).canonicalize().expect("there");
        assert_eq!(found, canonical);
    }
    let refused =
        start(probe(Tier::None, ["exit"]).directory(place.path().join("missing"))).expect_err("refused");
    assert!(matches!(refused, StartError::Directory { .. }), "{refused}");
}
