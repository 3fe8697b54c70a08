//! The attack suite: security claims are tests.
//!
//! Each attack tries one thing. It is first seen to work against an unprotected program of the same
//! ordinary user, and then run in every tier and engine, with and without a private group; what it declares
//! to be closed must be refused there, what it declares to be open must succeed. `docs/attacks.md` is the
//! table of all.
//!
//! The private group needs the installed launcher. Root installs that of the examples for the length of the
//! run, if there is none, and the attacks run as an ordinary user all the same.
//!
//! ```text
//! attacks [FILTER] [--exact] [--list]   the suite, as cargo test runs it
//! attacks --write                       the same, and docs/attacks.md is written anew
//! attacks --verbose                     says why each refused attack was refused
//! attacks try NAME ARGS                 one attack: status 0 succeeded, 10 refused, 11 not on this machine
//! ```

mod attack;
mod bounds;
mod cell;
mod escape;
mod files;
mod identity;
#[allow(clippy::print_stdout, reason = "what cargo test shows")]
#[path = "../../launch/installation.rs"]
mod installation;
mod ipc;
mod kernel;
mod loader;
mod machine;
mod network;
mod processes;
mod race;
mod reader;
mod rogue;
mod root;
mod run;
mod sockets;
mod stage;
mod supervise;
mod sys;
mod table;
mod uring;
mod victim;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use attack::{Args, Attack, Miss};
use supervise::warn;

/// Every attack, by chapter of the table.
const CHAPTERS: &[(&str, &[Attack])] = &[
    ("Reading the program from outside", reader::ATTACKS),
    ("Reading the program by the way it was started", rogue::ATTACKS),
    ("Processes outside", processes::ATTACKS),
    ("Services of the same user", sockets::ATTACKS),
    ("Races against the judge of connections", race::ATTACKS),
    ("Shared memory, queues and keys", ipc::ATTACKS),
    ("The kernel", kernel::ATTACKS),
    ("Files beneath a hidden path", files::ATTACKS),
    ("Groups and setgid files", identity::ATTACKS),
    ("Other code in the program's place", loader::ATTACKS),
    ("Out of the tree", escape::ATTACKS),
    ("The network", network::ATTACKS),
    ("More than one computation", bounds::ATTACKS),
];

pub fn main() -> ExitCode {
    let raw: Vec<OsString> = env::args_os().skip(1).collect();
    let arguments: Vec<String> = raw.iter().map(|text| text.to_string_lossy().into_owned()).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("try") => attempt(rest),
        Some("victim") => victim::main(rest),
        Some("plain") => supervise::main(true, rest),
        Some("supervise") => supervise::main(false, rest),
        _ => suite(&arguments, &raw),
    }
}

/// One attack, in whatever place this process is.
fn attempt(arguments: &[String]) -> ExitCode {
    let mut all = CHAPTERS.iter().flat_map(|(_, attacks)| *attacks);
    let found = arguments.first().and_then(|name| all.find(|attack| attack.name == name));
    let Some(attack) = found else {
        warn("no such attack");
        return ExitCode::from(cell::BROKEN);
    };
    let Err(miss) = (attack.act)(&Args::read(&arguments[1..])) else { return ExitCode::SUCCESS };
    let (Miss::Refused(why) | Miss::Absent(why) | Miss::NotGiven(why) | Miss::Fault(why)) = &miss;
    warn(why);
    ExitCode::from(match miss {
        Miss::Refused(_) => cell::REFUSED,
        Miss::Absent(_) => cell::ABSENT,
        Miss::NotGiven(_) | Miss::Fault(_) => cell::BROKEN,
    })
}

#[allow(clippy::print_stdout, reason = "what cargo test shows")]
fn suite(arguments: &[String], raw: &[OsString]) -> ExitCode {
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    // Options of libtest that have a value of their own.
    let valued = ["--skip", "--test-threads", "--format", "--color", "--logfile"];
    let before = [""].into_iter().chain(arguments.iter().map(String::as_str));
    let filters: Vec<&String> = arguments
        .iter()
        .zip(before)
        .filter(|(argument, before)| !argument.starts_with('-') && !valued.contains(before))
        .map(|(argument, _)| argument)
        .collect();
    let exact = flag("--exact");
    let named = |attack: &Attack| {
        let is =
            |filter: &&String| if exact { attack.name == **filter } else { attack.name.contains(*filter) };
        filters.is_empty() || filters.iter().any(is)
    };
    let chosen: Vec<&'static Attack> =
        CHAPTERS.iter().flat_map(|(_, attacks)| *attacks).filter(|attack| named(attack)).collect();
    if flag("--list") {
        let ignored = flag("--ignored");
        chosen.iter().filter(|_| !ignored).for_each(|attack| println!("{}: test", attack.name));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() || flag("--ignored") {
        return ExitCode::SUCCESS;
    }
    if rustix::process::geteuid().is_root() {
        return root::as_ordinary_user(raw);
    }
    let stage = match stage::Stage::new(root::Helper::new()) {
        Ok(stage) => stage,
        Err(error) => {
            warn(&format!("no stage: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut findings = run::run(&chosen, &stage, flag("--verbose"));
    let chapters = chapters(&findings.rows);
    println!("{}\n", table::text(&findings));
    if filters.is_empty() {
        let lacks = findings.rows.iter().any(|row| row.outcomes.contains(&run::Outcome::NotTried));
        let found = match flag("--write") {
            false => table::differences(&chapters),
            true if lacks => vec!["docs/attacks.md is not written without the private group".into()],
            true => write(&chapters, &stage),
        };
        findings.failures.extend(found);
    }
    drop(stage);
    findings.reasons.iter().for_each(|reason| println!("{reason}"));
    findings.failures.iter().for_each(|failure| println!("FAILED {failure}"));
    println!("\n{} attacks, {} failures", findings.rows.len(), findings.failures.len());
    if findings.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes docs/attacks.md; gives what failed.
fn write(chapters: &[table::Chapter<'_>], stage: &stage::Stage) -> Vec<String> {
    let page = table::page(chapters);
    let by_root = |helper: &root::Helper| {
        let draft = stage.path().join("attacks.md");
        std::fs::write(&draft, &page).is_ok() && helper.write_page(&draft)
    };
    let written = std::fs::write(table::path(), &page).is_ok() || stage.helper.as_ref().is_some_and(by_root);
    if written { Vec::new() } else { vec!["docs/attacks.md could not be written".into()] }
}

fn chapters(rows: &[run::Row]) -> Vec<table::Chapter<'_>> {
    let of = |attacks: &[Attack]| {
        rows.iter().filter(|row| attacks.iter().any(|attack| attack.name == row.attack.name)).collect()
    };
    CHAPTERS.iter().map(|(title, attacks)| (*title, of(attacks))).collect()
}
