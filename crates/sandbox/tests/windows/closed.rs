//! A process that closes itself to the other processes of its user, as envseal does first thing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use envseal_sandbox::Tier;

use crate::support::{example, is_wine, not_given, said};

/// What is opened: a process, its threads, its token.
const PROCESS: &str = "open";
const THREADS: &str = "open-threads";
const TOKEN: &str = "open-token";

const WRITE_DAC: u32 = 0x4_0000;
const WRITE_OWNER: u32 = 0x8_0000;

/// Each right with which memory is read, code is run or the access list is changed (winnt.h). The most telling of a
/// process: VM_READ, VM_WRITE and VM_OPERATION, CREATE_THREAD, DUP_HANDLE; of a thread: GET_CONTEXT, SET_CONTEXT,
/// SUSPEND_RESUME, SET_THREAD_TOKEN, IMPERSONATE; of a token: ASSIGN_PRIMARY, ADJUST_DEFAULT.
const ATTACKS: [(&str, &[u32]); 3] = [
    (PROCESS, &[0x10, 0x20, 0x8, 0x2, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, WRITE_DAC, WRITE_OWNER]),
    (THREADS, &[0x2, 0x8, 0x10, 0x20, 0x80, 0x100, 0x200, WRITE_DAC, WRITE_OWNER]),
    (TOKEN, &[0x1, 0x20, 0x40, 0x80, 0x100, WRITE_DAC, WRITE_OWNER]),
];

/// What is left to others: to see a process and a thread, to wait for them, to end the process, to ask
/// its token and to copy it, which is what each of them has.
const LEFT: [(&str, u32); 4] = [(PROCESS, 0x10_1001), (THREADS, 0x10_0800), (PROCESS, 0x1000), (TOKEN, 0xe)];

/// What another process gets: which threads, where it is asked for them, or the refusal.
fn opened(what: &str, pid: u32, rights: u32) -> Result<String, String> {
    let rights = format!("{rights:x}");
    let tried = Command::new(example("probe")).args([what, &pid.to_string(), &rights]).output();
    let said = String::from_utf8(tried.expect("output").stdout).expect("text");
    match said.trim().split_once(' ').unwrap_or((said.trim(), "")) {
        ("yes", which) => Ok(which.into()),
        ("no", why) => Err(why.into()),
        _ => panic!("{said}"),
    }
}

/// A probe that waits, and what it said first.
fn waiting(trial: &str) -> (Child, String) {
    let mut child = Command::new(example("probe"))
        .arg(trial)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a probe");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
    (child, said.trim().to_owned())
}

#[test]
fn a_process_that_closed_itself_is_opened_by_no_other_of_its_user() {
    // That it works on one that is not closed shows that each is an attack.
    let (mut open, said) = waiting("open-itself");
    assert_eq!(said, "yes");
    for (what, rights) in ATTACKS {
        for right in rights {
            opened(what, open.id(), *right).unwrap_or_else(|why| panic!("{what} {right:#x}: {why}"));
        }
    }
    let (mut closed, said) = waiting("closed");
    for (what, rights) in ATTACKS {
        for &right in rights {
            let answer = opened(what, closed.id(), right);
            let expected = left_by_wine(what, right);
            match &answer {
                Ok(which) => assert_eq!(Some(which.as_str()), expected, "{what} {right:#x}"),
                Err(why) => {
                    assert!(why.contains("os error 5") && expected.is_none(), "{what} {right:#x}: {why}")
                }
            }
        }
    }
    for (what, rights) in LEFT {
        opened(what, closed.id(), rights).unwrap_or_else(|why| panic!("{what} {rights:#x}: {why}"));
    }
    // And the caller was told the same.
    if is_wine() {
        assert!(said.starts_with("no other processes of this user still get WRITE_DAC, "), "{said}");
        assert!(!said.contains("PROCESS_") && !said.contains("TOKEN_"), "{said}");
    } else {
        assert_eq!(said, "yes");
    }
    for child in [&mut open, &mut closed] {
        child.kill().expect("ended");
        child.wait().expect("an end");
    }
}

/// Its own access list is not handed down: a program whose token opens nothing to itself does not work.
#[test]
fn what_a_closed_process_starts_is_as_open_as_what_another_starts() {
    for tier in [Tier::None, Tier::Hardened] {
        let waived: Vec<_> = not_given(tier).iter().map(|guarantee| guarantee.id()).collect();
        let (tier_name, waived) = (tier.to_string(), waived.join(","));
        let output = Command::new(example("probe")).args(["closed-start", &tier_name, &waived]).output();
        let said_both = String::from_utf8(output.expect("output").stdout).expect("text");
        let lists: Vec<_> = said_both.lines().collect();
        assert_eq!(lists.len(), 2, "{said_both}");
        assert_eq!(lists[0], said(tier, ["default-list"]), "{tier}");
        assert_ne!(lists[1], lists[0], "{tier}: it is closed again");
    }
}

/// The threads of the closed probe are its first one and one from after it closed itself. Under Wine 8 an owner keeps
/// the rights to change an access list, and a thread takes none from its process's token.
fn left_by_wine(what: &str, right: u32) -> Option<&'static str> {
    match (what, right) {
        _ if !is_wine() => None,
        (THREADS, WRITE_DAC | WRITE_OWNER) => Some("[1, 2] of 2"),
        (THREADS, _) => Some("[2] of 2"),
        (_, WRITE_DAC | WRITE_OWNER) => Some(""),
        _ => None,
    }
}
