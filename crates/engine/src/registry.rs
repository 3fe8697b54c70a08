//! The runs that are under way, so that a panic can end them and a person can see them.
//!
//! Each run holds a shared lock on the vault's directory for as long as it lives; the kernel lets go of it however
//! the run ends (flock(2)), and names the holders in `/proc/locks` (proc(5)). The directory, not a file in it: whoever
//! moves it away to hide a run takes the vault away with it.
//!
//! What a run is, it writes into a file of its own in the same directory, under a lock of its own that tells a run
//! that lives from the remains of one that was killed. That is for showing only: whoever can write as the user can
//! write anything there, and nothing is decided by it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envseal_vault::{EngineName, TierName};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::show;
use crate::status::Standing;

/// How long ended runs may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run's entry; dropping it takes the run out.
#[derive(Debug)]
pub struct Entry {
    #[expect(dead_code, reason = "the open file is the lock")]
    directory: File,
    file: File,
    path: PathBuf,
    run: Run,
}

/// A run as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The process of envseal that supervises it.
    pub envseal: u32,
    /// When it was asked for, seconds since 1970.
    pub since: u64,
    /// The program's canonical path, made visible; empty until it was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
    /// What became of it; `None` while it is being decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
}

/// A program that was started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Started {
    /// Its process.
    pub pid: u32,
    /// The tier that holds it.
    pub tier: TierName,
    /// The engine.
    pub engine: EngineName,
    /// The guarantees, as read back.
    pub guarantees: Vec<Standing>,
}

/// How a file of a run is called.
const NAMED: &str = "run-";
/// The same while it is not locked yet.
const UNLOCKED: &str = ".run-";
/// The most that is read of one.
const LONGEST: u64 = 64 << 10;

/// Enters this process as a run of the vault in `dir`.
pub fn enter(dir: &Path) -> io::Result<Entry> {
    let directory = open_dir(dir)?;
    flock(&directory, FlockOperation::LockShared)?;
    living(dir)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let run = Run {
        envseal: std::process::id(),
        since: now.map_or(0, |since| since.as_secs()),
        program: String::new(),
        started: None,
    };
    // Under its lock before it has its name, so that nobody takes it for remains.
    let fresh = tempfile::Builder::new().prefix(UNLOCKED).rand_bytes(12).tempfile_in(dir)?;
    flock(fresh.as_file(), FlockOperation::NonBlockingLockExclusive)?;
    let name = fresh.path().file_name().and_then(|name| name.to_str()?.strip_prefix('.'));
    let path = dir.join(name.ok_or_else(|| io::Error::other("the name of a new file"))?);
    let file = fresh.persist_noclobber(&path).map_err(|error| error.error)?;
    let mut entry = Entry { directory, file, path, run };
    entry.write()?;
    Ok(entry)
}

impl Entry {
    /// Says which program it is about.
    pub fn program(&mut self, program: &Path) -> io::Result<()> {
        self.run.program = show::visible(program.as_os_str());
        self.write()
    }

    /// Says that the program runs.
    pub fn started(&mut self, started: Started) -> io::Result<()> {
        self.run.started = Some(started);
        self.write()
    }

    /// A line more, the last whole one counts: a reader never finds half of one.
    fn write(&mut self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&self.run)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
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
        if !name.as_encoded_bytes().starts_with(NAMED.as_bytes()) {
            continue;
        }
        let path = dir.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = open(&path, flags, Mode::empty()) else { continue };
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            continue;
        }
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => drop(std::fs::remove_file(&path)),
            Err(_) => files.push(file),
        }
    }
    Ok(files)
}

/// What a run says of itself last, fit to be shown.
fn read(file: File) -> Option<Run> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let mut run: Run = serde_json::from_slice(bytes[..end].rsplit(|byte| *byte == b'\n').next()?).ok()?;
    let clean = |text: &mut String| *text = show::visible(text.as_ref());
    clean(&mut run.program);
    for standing in run.started.iter_mut().flat_map(|started| &mut started.guarantees) {
        clean(&mut standing.id);
        clean(&mut standing.title);
        standing.why.iter_mut().for_each(clean);
    }
    Some(run)
}

/// Ends every run of the vault in `dir` with SIGKILL, after which the sandbox ends their trees. Returns how many
/// there were; an error when one outlived it.
pub fn end_all(dir: &Path) -> io::Result<usize> {
    let file = open_dir(dir)?;
    let deadline = Instant::now() + PATIENCE;
    let mut ended = std::collections::HashSet::new();
    // Until nobody holds the lock: a run may enter while others are being ended.
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(ended.len()),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        for pid in holders(&file)? {
            let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(pidfd) => pidfd,
                Err(rustix::io::Errno::SRCH) => continue,
                Err(error) => return Err(error.into()),
            };
            // The lock is looked at again with the process held: a number that was given to another process
            // since is not in the list any more.
            if holders(&file)?.contains(&pid) && pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
                ended.insert(pid);
            }
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("a run could not be ended"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn open_dir(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open(dir, flags, Mode::empty())?.into())
}

/// The processes that hold a lock on the file, by lines like `1: FLOCK ADVISORY READ 4711 fe:01:1234 0 EOF`.
///
/// Some file systems (btrfs, overlays) show another device here than stat(2) does: where no line has both, the
/// inode's number alone counts, for processes that are called envseal.
fn holders(file: &File) -> io::Result<Vec<Pid>> {
    let metadata = file.metadata()?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let inode = format!(":{}", metadata.ino());
    let exact = format!("{major:02x}:{minor:02x}{inode}");
    let locks = std::fs::read_to_string("/proc/locks")?;
    let by = |matches: &dyn Fn(&str) -> bool| -> Vec<Pid> {
        let me = std::process::id();
        let pid_of = |line: &str| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let at = fields.iter().position(|field| matches(field))?;
            let raw: i32 = fields.get(at.checked_sub(1)?)?.parse().ok()?;
            Pid::from_raw(raw).filter(|_| u32::try_from(raw).is_ok_and(|raw| raw != me))
        };
        locks.lines().filter_map(pid_of).collect()
    };
    let found = by(&|field| field == exact);
    if !found.is_empty() {
        return Ok(found);
    }
    let is_envseal = |pid: &Pid| {
        std::fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero())).is_ok_and(|name| name == b"envseal\n")
    };
    Ok(by(&|field| field.ends_with(&inode)).into_iter().filter(is_envseal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_listed_while_it_lives_and_what_it_says_last() {
        let dir = tempfile::tempdir().unwrap();
        let mut entry = enter(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&entry.run));
        entry.program("/bin/\u{1b}[2Jtrue".as_ref()).unwrap();
        let why = Some("\u{1b}[2J".into());
        let given = crate::status::Holds::No;
        let standing = Standing { id: "L6".into(), title: "memory".into(), given, why };
        let (tier, engine) = (TierName::Lockdown, EngineName::Private);
        entry.started(Started { pid: 7, tier, engine, guarantees: vec![standing] }).unwrap();
        let listed = list(dir.path()).unwrap();
        assert_eq!((listed.len(), listed[0].program.as_str()), (1, "/bin/\\u{1b}[2Jtrue"));
        let started = listed[0].started.as_ref().unwrap();
        assert_eq!(started.guarantees[0].why.as_deref(), Some("\\u{1b}[2J"));
        drop(entry);
        assert!(list(dir.path()).unwrap().is_empty() && dir.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn remains_and_forgeries_are_not_listed() {
        let dir = tempfile::tempdir().unwrap();
        let entry = enter(dir.path()).unwrap();
        let forged = [&b""[..], b"\n", b"{}\n", b"half", &[0xff; 70_000]];
        let mut held = Vec::new();
        for (number, text) in forged.iter().enumerate() {
            let path = dir.path().join(format!("run-{number}"));
            std::fs::write(&path, text).unwrap();
            // The first one is nobody's.
            if number > 0 {
                let file = File::open(path).unwrap();
                flock(&file, FlockOperation::LockExclusive).unwrap();
                held.push(file);
            }
        }
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("run-link")).unwrap();
        let (fifo, kind) = (dir.path().join("run-fifo"), rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(rustix::fs::CWD, fifo, kind, Mode::from(0o600), 0).unwrap();
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&entry.run));
        assert!(!dir.path().join("run-0").exists() && dir.path().join("run-1").exists());
    }

    #[test]
    fn every_holder_is_ended_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(end_all(dir.path()).unwrap(), 0);
        let hold = "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_SH); print('held', flush=True); \
                    time.sleep(60)";
        let start = |script: &str| {
            let mut command = std::process::Command::new("python3");
            command.args(["-c", script]).arg(dir.path()).stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let mut runs = [start(hold), start(hold)];
        let mut other = start("import time; print('x', flush=True); time.sleep(60)");
        for run in runs.iter_mut().chain([&mut other]) {
            io::Read::read_exact(run.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        }
        assert_eq!(end_all(dir.path()).unwrap(), 2);
        for run in &mut runs {
            assert!(!run.wait().unwrap().success());
        }
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
