//! Runs by locks.
//!
//! Each run holds a shared lock on the vault's directory for as long as it lives; the kernel lets go of it however
//! the run ends (flock(2)), and names the holders in `/proc/locks` (proc(5)). The directory, not a file in it: whoever
//! moves it away to hide a run takes the vault away with it.
//!
//! A run's file is under a lock of its own that tells a run that lives from the remains of one that was killed.
//! Whoever can write as the user can write anything there.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use envseal_sandbox::{Running, Spec};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::PATIENCE;

/// How a file of a run is called while it is not locked yet.
const UNLOCKED: &str = ".run-";

/// What a run holds.
#[derive(Debug)]
pub struct Place {
    #[expect(dead_code, reason = "the open file is the lock")]
    directory: File,
    file: File,
    path: PathBuf,
}

impl Place {
    /// Takes a place in the directory.
    pub fn enter(dir: &Path) -> io::Result<Self> {
        let directory = open_dir(dir)?;
        flock(&directory, FlockOperation::LockShared)?;
        super::living(dir)?;
        // Under its lock before it has its name, so that nobody takes it for remains.
        let fresh = tempfile::Builder::new().prefix(UNLOCKED).rand_bytes(12).tempfile_in(dir)?;
        flock(fresh.as_file(), FlockOperation::NonBlockingLockExclusive)?;
        let name = fresh.path().file_name().and_then(|name| name.to_str()?.strip_prefix('.'));
        let path = dir.join(name.ok_or_else(|| io::Error::other("the name of a new file"))?);
        let file = fresh.persist_noclobber(&path).map_err(|error| error.error)?;
        Ok(Self { directory, file, path })
    }

    /// The file to write into.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Nothing is found by what a run writes: one of which it could not be written is ended like others.
pub const NEEDED: bool = false;

/// Nothing is found by a process's time.
pub fn created(_: u32) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Nor by what it runs.
pub fn own_image() -> Option<String> {
    None
}

/// Nor by what it runs.
pub fn image_of(_: &File) -> io::Result<Option<String>> {
    Ok(None)
}

/// Nothing: the program is found by its supervisor, which has its place already.
pub fn hold_back(spec: Spec) -> Spec {
    spec
}

/// Nothing: it runs.
pub fn let_run(_: &Running) -> io::Result<()> {
    Ok(())
}

/// The file of a run that lives; removes one of which nobody holds the lock.
pub fn living(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            None
        }
        Err(_) => Some(file),
    }
}

/// Who holds the lock for longer than this is a run, not a command that opens the vault.
const PASSING: Duration = Duration::from_millis(30);

/// Ends every run of the vault in `dir` with SIGKILL, after which the sandbox ends their trees. Returns how many
/// there were; an error when one outlived it.
pub fn end_all(dir: &Path) -> io::Result<usize> {
    let file = open_dir(dir)?;
    let deadline = Instant::now() + PATIENCE;
    let mut ended = std::collections::HashSet::new();
    let mut seen = std::collections::HashMap::new();
    // Until nobody holds the lock: a run may enter while others are being ended.
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(ended.len()),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let holding = holders(&file)?;
        seen.retain(|pid, _| holding.contains(pid));
        for pid in holding {
            // A run holds it for as long as it lives, other commands while they open the vault.
            if seen.entry(pid).or_insert_with(Instant::now).elapsed() < PASSING {
                continue;
            }
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

/// The processes that hold a shared lock on the file, by lines like `1: FLOCK ADVISORY READ 4711 fe:01:1234 0 EOF`.
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
            let at = fields.iter().position(|field| matches(field)).filter(|_| fields.contains(&"READ"))?;
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
    use super::super::{enter, list};
    use super::*;

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
