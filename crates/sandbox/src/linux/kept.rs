//! Rulesets that were made before and still fit: a process that starts many programs makes one for all.
//! Where each start adds rules of its own, the open files that the others name are kept instead.
//!
//! A ruleset names inodes. What must be as it was when it was made: the paths that were named lead to the
//! same inodes, the directories that were listed have not changed, and nothing was mounted or unmounted. A
//! ruleset that is kept too long would only give too little: what is new was granted by nobody.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::stat;

use crate::Tier;

/// Rulesets, for starts that add nothing to them.
pub(super) static RULESETS: Shelf<OwnedFd> = Shelf::new(8);
/// The rules of a ruleset: what each is for, and the rights as the kernel takes them.
pub(super) static PARTS: Shelf<Vec<(OwnedFd, u64)>> = Shelf::new(1);
/// Nanoseconds. Time stamps of files are as coarse as a clock tick: a directory that changed this shortly
/// before it was listed could change once more and look the same.
const SETTLED: i128 = 50_000_000;

/// What a ruleset is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) tier: Tier,
    pub(super) version: u32,
    pub(super) hidden: Vec<PathBuf>,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
}

/// A path as it was found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    device: u64,
    inode: u64,
    /// When a directory that was listed changed, in nanoseconds since 1970: its ctime, which nobody can set.
    changed: Option<i128>,
}

/// What is looked at while a ruleset is made.
#[derive(Debug)]
pub(super) struct Looked {
    paths: Vec<(PathBuf, Option<Found>)>,
    /// Tells of mounts since it was opened, by POLLPRI (proc_pid_mounts(5)).
    mounts: Option<File>,
    settled: bool,
}

/// What was made for some purposes.
pub(super) struct Shelf<T> {
    /// The oldest goes first.
    most: usize,
    kept: Mutex<Vec<Kept<T>>>,
}

struct Kept<T> {
    purpose: Purpose,
    looked: Looked,
    made: Arc<T>,
}

impl Found {
    fn at(path: &Path, listed: bool) -> Option<Found> {
        let found = stat(path).ok()?;
        let nanoseconds = i128::from(found.st_ctime) * 1_000_000_000 + i128::from(found.st_ctime_nsec);
        Some(Found { device: found.st_dev, inode: found.st_ino, changed: listed.then_some(nanoseconds) })
    }
}

impl Looked {
    pub(super) fn new() -> Looked {
        Looked { paths: Vec::new(), mounts: File::open("/proc/self/mounts").ok(), settled: true }
    }

    /// `path` was named.
    pub(super) fn named(&mut self, path: &Path) {
        self.paths.push((path.to_owned(), Found::at(path, false)));
    }

    /// `path` is about to be listed.
    pub(super) fn listed(&mut self, path: &Path) {
        let found = Found::at(path, true);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        let changed = found.as_ref().and_then(|found| found.changed).unwrap_or(now);
        self.settled &= now - changed > SETTLED;
        self.paths.push((path.to_owned(), found));
    }

    fn is_still_so(&self) -> bool {
        let Some(mounts) = &self.mounts else { return false };
        let mut ends = [PollFd::new(mounts, PollFlags::PRI)];
        poll(&mut ends, Some(&Timespec::default())) == Ok(0)
            && self.paths.iter().all(|(path, found)| {
                let listed = found.as_ref().is_some_and(|found| found.changed.is_some());
                Found::at(path, listed) == *found
            })
    }
}

impl<T> Shelf<T> {
    const fn new(most: usize) -> Shelf<T> {
        Shelf { most, kept: Mutex::new(Vec::new()) }
    }

    /// What was made for the same purpose and still fits.
    pub(super) fn find(&self, purpose: &Purpose) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|kept| kept.purpose == *purpose)?;
        if kept[place].looked.is_still_so() {
            return Some(Arc::clone(&kept[place].made));
        }
        kept.remove(place);
        None
    }

    /// Keeps it, unless what was looked at was still changing.
    pub(super) fn keep(&self, purpose: Purpose, looked: Looked, made: &Arc<T>) {
        if !looked.settled {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == self.most {
            kept.remove(0);
        }
        kept.push(Kept { purpose, looked, made: Arc::clone(made) });
    }
}
