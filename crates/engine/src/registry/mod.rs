//! The runs that are under way, so that a panic can end them and a person can see them.
//!
//! Each run holds something of the vault's directory for as long as it lives, which the system lets go of however the
//! run ends, and by which its process is found. What a run is, it writes into a file of its own in that directory.
//! That is for showing only: nothing is decided by it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use envseal_vault::{EngineName, TierName};
use serde::{Deserialize, Serialize};

use crate::show;
use crate::status::Standing;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
mod system;

pub use system::{NEEDED, end_all, hold_back, let_run};

/// How long ended runs may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run's entry; dropping it takes the run out.
#[derive(Debug)]
pub struct Entry {
    place: system::Place,
    run: Run,
}

/// A run as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The process of envseal that supervises it.
    pub envseal: u32,
    /// On Windows, what that process runs, by the kernel's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envseal_image: Option<String>,
    /// When it was asked for, seconds since 1970.
    pub since: u64,
    /// The program's canonical path, made visible; empty until it was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// On Windows, the file that its process runs, by the kernel's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_image: Option<String>,
    /// What became of it; `None` while it is being decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
}

/// A program that was started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Started {
    /// Its process.
    pub pid: u32,
    /// On Windows, when that was made (FILETIME): a number is given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// The tier that holds it.
    pub tier: TierName,
    /// The engine.
    pub engine: EngineName,
    /// The guarantees, as read back.
    pub guarantees: Vec<Standing>,
}

/// How a file of a run is called.
const NAMED: &str = "run-";
/// The most that is read of one.
const LONGEST: u64 = 64 << 10;

/// Enters this process as a run of the vault in `dir`.
pub fn enter(dir: &Path) -> io::Result<Entry> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let run = Run {
        envseal: std::process::id(),
        envseal_image: system::own_image(),
        since: now.map_or(0, |since| since.as_secs()),
        program: String::new(),
        program_image: None,
        started: None,
    };
    let mut entry = Entry { place: system::Place::enter(dir)?, run };
    entry.write()?;
    Ok(entry)
}

impl Entry {
    /// Says which program it is about: its path, and the open file that will be executed.
    pub fn program(&mut self, program: &Path, file: &File) -> io::Result<()> {
        self.run.program = show::visible(program.as_os_str());
        self.run.program_image = system::image_of(file)?;
        self.write()
    }

    /// Says that the program was started.
    pub fn started(&mut self, started: Started) -> io::Result<()> {
        let created = system::created(started.pid)?;
        self.run.started = Some(Started { created, ..started });
        self.write()
    }

    /// A line more, the last whole one counts: a reader never finds half of one.
    fn write(&mut self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&self.run)?;
        line.push(b'\n');
        self.place.file().write_all(&line)
    }
}

/// The runs of the vault in `dir`, oldest first.
pub fn list(dir: &Path) -> io::Result<Vec<Run>> {
    let mut runs: Vec<_> = living(dir)?.into_iter().filter_map(read).collect();
    runs.sort_by_key(|run| (run.since, run.envseal));
    Ok(runs)
}

/// The files of runs that live. Removes what runs that were killed have left.
fn living(dir: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().starts_with(NAMED.as_bytes()) {
            files.extend(system::living(&dir.join(name)));
        }
    }
    Ok(files)
}

/// What a run says of itself last, fit to be shown.
fn read(file: impl io::Read) -> Option<Run> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let mut run: Run = serde_json::from_slice(bytes[..end].rsplit(|byte| *byte == b'\n').next()?).ok()?;
    let clean = |text: &mut String| *text = show::visible(text.as_ref());
    clean(&mut run.program);
    run.envseal_image.iter_mut().chain(&mut run.program_image).for_each(clean);
    for standing in run.started.iter_mut().flat_map(|started| &mut started.guarantees) {
        clean(&mut standing.id);
        clean(&mut standing.title);
        standing.why.iter_mut().for_each(clean);
    }
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_listed_while_it_lives_and_what_it_says_last() {
        let dir = tempfile::tempdir().unwrap();
        let mut entry = enter(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&entry.run));
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        entry.program("/bin/\u{1b}[2Jtrue".as_ref(), &file).unwrap();
        let why = Some("\u{1b}[2J".into());
        let given = crate::status::Holds::No;
        let standing = Standing { id: "L6".into(), title: "memory".into(), given, why };
        let (tier, engine) = (TierName::Lockdown, EngineName::Private);
        // A program that has ended, and whose number nobody else has as long as it is held.
        let this = std::env::current_exe().unwrap();
        let null = std::process::Stdio::null;
        let mut program = std::process::Command::new(this).arg("--list").stdout(null()).spawn().unwrap();
        program.wait().unwrap();
        let started = Started { pid: program.id(), created: None, tier, engine, guarantees: vec![standing] };
        entry.started(started).unwrap();
        let listed = list(dir.path()).unwrap();
        assert_eq!((listed.len(), listed[0].program.as_str()), (1, "/bin/\\u{1b}[2Jtrue"));
        let started = listed[0].started.as_ref().unwrap();
        assert_eq!(started.guarantees[0].why.as_deref(), Some("\\u{1b}[2J"));
        drop(entry);
        assert!(list(dir.path()).unwrap().is_empty() && dir.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn a_vault_without_runs_has_none_to_end() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(end_all(dir.path()).unwrap(), 0);
    }
}
