//! The end of every run, at once and whatever is in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use envseal_sandbox::process::{self, Process};

use super::super::PATIENCE;
use super::{Found, Look, Named, runs};
use crate::show;

/// The exit code of what a panic ends.
const ENDED: u32 = 137;
/// How long to wait before what is left is looked at again.
const PAUSE: Duration = Duration::from_millis(5);

/// What could not be ended, by the run's file.
type Failed = BTreeMap<OsString, String>;

/// Ends every run of the vault in `dir`, whose jobs end their trees, and programs that are in no job. Returns how many
/// runs there were; an error that names each one that outlived it, after all others were ended.
pub fn end_all(dir: &Path) -> io::Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let (mut ended, mut failed) = (BTreeSet::new(), Failed::new());
    // Until none lives: a run may enter while others are being ended.
    loop {
        let found = end_those_there(dir, deadline, &mut failed)?;
        let last = found.is_empty();
        ended.extend(found);
        if last && failed.is_empty() {
            return Ok(ended.len());
        }
        if last || Instant::now() > deadline {
            let why: Vec<_> = failed.into_values().collect();
            let why = if why.is_empty() { "new ones are still started".to_owned() } else { why.join("; ") };
            return Err(io::Error::other(format!("{} were ended, but not all: {why}", ended.len())));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends the runs whose files are there now; which of them lived.
fn end_those_there(dir: &Path, deadline: Instant, failed: &mut Failed) -> io::Result<Vec<Named>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                failed.insert(OsString::new(), format!("{}: {error}", show::visible(dir.as_os_str())));
                break;
            }
        };
        if let Some(found) = Found::at(&entry.path()) {
            let supervisor = if is_this(found.named.pid) { Look::Gone } else { found.supervisor() };
            all.push((found, supervisor));
        }
    }
    let mut lived = vec![false; all.len()];
    let mut outlived = vec![None; all.len()];
    let mut fail =
        |at: usize, pid: u32, error: &io::Error| outlived[at] = Some(format!("process {pid}: {error}"));
    // Supervisors first: then none starts a program any more, and the list of their children is whole.
    for (at, (found, supervisor)) in all.iter().enumerate() {
        match supervisor {
            Look::Lives(process) => {
                if let Err(error) = process.terminate(ENDED) {
                    fail(at, found.named.pid, &error);
                }
            }
            Look::Gone => {}
            Look::Unknown(error) => fail(at, found.named.pid, error),
        }
    }
    let mut programs = Vec::new();
    for (at, (found, supervisor)) in all.iter().enumerate() {
        if let Look::Lives(process) = supervisor {
            match gone(process, deadline) {
                Ok(()) => lived[at] = true,
                Err(error) => fail(at, found.named.pid, &error),
            }
        }
        for (pid, look) in programs_of(found, supervisor) {
            match look {
                Look::Lives(process) => match process.terminate(ENDED) {
                    Ok(()) => programs.push((at, pid, process)),
                    Err(error) => fail(at, pid, &error),
                },
                Look::Gone => {}
                Look::Unknown(error) => fail(at, pid, &error),
            }
        }
    }
    for (at, pid, process) in programs {
        match gone(&process, deadline) {
            Ok(()) => lived[at] = true,
            Err(error) => fail(at, pid, &error),
        }
    }
    let mut ended = Vec::new();
    for (((found, _), lived), outlived) in all.into_iter().zip(lived).zip(outlived) {
        let name = found.path.file_name().unwrap_or_default().to_owned();
        match outlived {
            Some(why) => drop(failed.insert(name, why)),
            None => {
                failed.remove(&name);
                // One that is still held by whoever made it stays.
                drop(found.file);
                let _ = std::fs::remove_file(&found.path);
            }
        }
        if lived {
            ended.push(found.named);
        }
    }
    Ok(ended)
}

/// The program that a run wrote down, or what its supervisor made and had not written down yet.
fn programs_of(found: &Found, supervisor: &Look) -> Vec<(u32, Look)> {
    if let Some(started) = found.run.as_ref().and_then(|run| run.started.as_ref()) {
        let program = if is_this(started.pid) { Look::Gone } else { found.program() };
        return vec![(started.pid, program)];
    }
    let image = found.run.as_ref().and_then(|run| run.program_image.as_ref());
    // Its number is not given again while it is held. Where it was not, another process may have had the number since:
    // then only what runs the program's file is its child.
    let is_held = matches!(supervisor, Look::Lives(_));
    let child = |one: process::Listed| {
        let process = Process::open(one.pid).ok()?;
        let is_younger = process.created().ok()? >= found.named.created;
        let is_program = image.map_or(is_held, |image| runs(&process, image).unwrap_or(false));
        (is_younger && is_program).then_some((one.pid, Look::Lives(process)))
    };
    let all = process::list().unwrap_or_default().into_iter();
    let made = all.filter(|one| one.parent == found.named.pid && !is_this(one.pid));
    made.filter_map(child).collect()
}

/// This process ends others, whatever a file says of it.
fn is_this(pid: u32) -> bool {
    pid == std::process::id()
}

/// Waits for the end of a process that was ended.
fn gone(process: &Process, deadline: Instant) -> io::Result<()> {
    match process.wait(Some(deadline.saturating_duration_since(Instant::now())))? {
        true => Ok(()),
        false => Err(io::Error::other("it does not end")),
    }
}
