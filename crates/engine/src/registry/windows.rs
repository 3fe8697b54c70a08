//! Runs by files that their processes keep open.
//!
//! Each run has a file in the vault's directory that it opens for others to read only, until it ends: nobody can
//! write, rename or remove it, nor move the directory away. Its name tells the process by its number and its time of
//! creation, so that there is no instant in which a run has a file and cannot be found, and no other process is taken
//! for it. Whoever can write as the user can add files that name other processes of the user.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envseal_sandbox::process::{self, Process};

use super::{NAMED, PATIENCE};

/// Others may open it to read, and for nothing else (CreateFileW).
const SHARE_READ: u32 = 1;
/// The exit code of what a panic ends.
const ENDED: u32 = 137;
/// How many runs one process may be at a time.
const MOST: u32 = 1000;
/// OpenProcess says so of a number that no process has (ERROR_INVALID_PARAMETER).
const NO_PROCESS: i32 = 87;

/// What a run holds.
#[derive(Debug)]
pub struct Place {
    /// There until the drop, since a file that is open cannot be removed.
    file: Option<File>,
    path: PathBuf,
}

impl Place {
    /// Takes a place in the directory.
    pub fn enter(dir: &Path) -> io::Result<Self> {
        super::living(dir)?;
        let own = Named { pid: std::process::id(), created: process::created()? };
        for number in 0..MOST {
            let path = dir.join(format!("{NAMED}{}-{}-{number}", own.pid, own.created));
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).share_mode(SHARE_READ).open(&path) {
                Ok(file) => return Ok(Self { file: Some(file), path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("all names for this run are taken"))
    }

    /// The file to write into.
    pub fn file(&mut self) -> impl io::Write {
        self.file.as_ref().expect("there until the drop")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.file.take());
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that a file names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Named {
    pid: u32,
    created: u64,
}

impl Named {
    fn read(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.strip_prefix(NAMED)?.split('-');
        let named = Self { pid: parts.next()?.parse().ok()?, created: parts.next()?.parse().ok()? };
        let _number: u32 = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(named)
    }

    /// The process, while it lives.
    fn process(self) -> io::Result<Option<Process>> {
        let process = match Process::open(self.pid) {
            Ok(process) => process,
            Err(error) if error.raw_os_error() == Some(NO_PROCESS) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_it = process.created()? == self.created && !process.wait(Some(Duration::ZERO))?;
        Ok(is_it.then_some(process))
    }
}

/// When a process was made.
pub fn created(pid: u32) -> Option<u64> {
    Process::open(pid).and_then(|process| process.created()).ok()
}

/// The file of a run that lives; removes one whose process does not.
pub fn living(path: &Path) -> Option<File> {
    let named = path.file_name().and_then(Named::read)?;
    match named.process() {
        Ok(None) => {
            let _ = std::fs::remove_file(path);
            None
        }
        // A process that cannot be asked lives.
        Ok(Some(_)) | Err(_) => File::open(path).ok(),
    }
}

/// Ends every run of the vault in `dir`, whose jobs end their trees, and programs that are in no job. Returns how many
/// runs there were; an error when one outlived it, after all others were ended.
pub fn end_all(dir: &Path) -> io::Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut ended = BTreeSet::new();
    // Until none lives: a run may enter while others are being ended.
    loop {
        let mut left = Ok(());
        let mut found = false;
        for entry in std::fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(named) = Named::read(&name).filter(|named| named.pid != std::process::id()) else {
                continue;
            };
            match end(named, &dir.join(&name), deadline) {
                Ok(false) => {}
                Ok(true) => {
                    found = true;
                    ended.insert(named);
                }
                Err(error) => {
                    left = Err(io::Error::new(error.kind(), format!("process {}: {error}", named.pid)))
                }
            }
        }
        match left {
            Ok(()) if !found => return Ok(ended.len()),
            Err(error) if !found || Instant::now() > deadline => return Err(error),
            _ if Instant::now() > deadline => return Err(io::Error::other("a run could not be ended")),
            _ => {}
        }
    }
}

/// Ends one run; whether it lived.
fn end(named: Named, path: &Path, deadline: Instant) -> io::Result<bool> {
    let Some(envseal) = named.process()? else { return Ok(false) };
    let file = File::open(path);
    let gone = |process: &Process| {
        process.terminate(ENDED)?;
        match process.wait(Some(deadline.saturating_duration_since(Instant::now())))? {
            true => Ok(()),
            false => Err(io::Error::other("it does not end")),
        }
    };
    gone(&envseal)?;
    // What it said last, which only it could write. In tier none no job ends the program.
    let started = file.ok().and_then(super::read).and_then(|run| run.started);
    let program = started.and_then(|started| Some(Named { pid: started.pid, created: started.created? }));
    if let Some(program) = program.map(Named::process).transpose()?.flatten() {
        gone(&program)?;
    }
    let _ = std::fs::remove_file(path);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Child, Command, Stdio};

    use super::super::{Started, enter, list};
    use super::*;

    const DIRECTORY: &str = "ENVSEAL_TEST_RUN_IN";
    const PROGRAM: &str = "ENVSEAL_TEST_RUN_HAS_PROGRAM";

    /// Not a test by itself: the process that others start.
    #[test]
    #[ignore = "the child of other tests"]
    fn waits_as_a_run() {
        let dir = PathBuf::from(std::env::var_os(DIRECTORY).expect("started by a test"));
        let mut entry = dir.is_absolute().then(|| enter(&dir).unwrap());
        if let (Some(entry), Ok(program)) = (&mut entry, std::env::var(PROGRAM)) {
            let (tier, engine) = (envseal_vault::TierName::None, Default::default());
            let pid = program.parse().unwrap();
            entry.started(Started { pid, created: None, tier, engine, guarantees: vec![] }).unwrap();
        }
        #[expect(clippy::print_stdout, reason = "says that it is ready")]
        {
            println!("\nready");
        }
        std::thread::sleep(Duration::from_secs(60));
    }

    /// Starts it, as a run of `dir` or, when that is empty, as something else, and waits until it is ready.
    fn start(dir: &Path, program: Option<u32>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "registry::system::tests::waits_as_a_run", "--ignored", "--nocapture"]);
        command.env(DIRECTORY, dir).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(program) = program {
            command.env(PROGRAM, program.to_string());
        }
        let mut child = command.spawn().unwrap();
        let mut lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"));
        child
    }

    fn end_child(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn every_run_is_ended_with_its_program_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = start(Path::new(""), None);
        let mut other = start(Path::new(""), None);
        let mut runs = [start(dir.path(), None), start(dir.path(), Some(program.id()))];
        assert_eq!(list(dir.path()).unwrap().len(), 2);
        assert_eq!(end_all(dir.path()).unwrap(), 2);
        for ended in runs.iter_mut().chain([&mut program]) {
            assert_eq!(ended.wait().unwrap().code(), Some(ENDED as i32));
        }
        assert!(other.try_wait().unwrap().is_none());
        assert!(dir.path().read_dir().unwrap().next().is_none());
        end_child(other);
    }

    #[test]
    fn the_file_of_a_run_cannot_be_removed_renamed_or_written() {
        let dir = tempfile::tempdir().unwrap();
        let run = start(dir.path(), None);
        let path = dir.path().read_dir().unwrap().next().unwrap().unwrap().path();
        assert!(std::fs::remove_file(&path).is_err());
        assert!(std::fs::rename(&path, dir.path().join("other")).is_err());
        assert!(OpenOptions::new().write(true).open(&path).is_err());
        assert_eq!(list(dir.path()).unwrap()[0].envseal, run.id());
        end_child(run);
        // What it left is removed by whoever looks next.
        assert!(list(dir.path()).unwrap().is_empty() && !path.exists());
    }

    #[test]
    fn a_file_that_names_no_such_process_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let other = start(Path::new(""), None);
        let of_other = created(other.id()).unwrap();
        let names = [
            format!("run-{}-{}-0", other.id(), of_other + 1),
            format!("run-{}-{of_other}", other.id()),
            format!("run-x-{of_other}-0"),
            "run-4294967292-1-0".into(),
            "run-".into(),
        ];
        let kept = names.map(|name| File::create(dir.path().join(name)).unwrap());
        assert_eq!(end_all(dir.path()).unwrap(), 0);
        assert!(list(dir.path()).unwrap().is_empty());
        drop(kept);
        end_child(other);
    }
}
