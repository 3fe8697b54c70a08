//! Runs by files that their processes keep open.
//!
//! Each run has a file in the vault's directory that it opens for others to read only, until it ends: nobody can
//! write, rename or remove it, nor move the directory away. Its name tells the process by its number and its time of
//! creation, so that there is no instant in which a run has a file and cannot be found. It says what that process and
//! the program run, by the kernel's names; a process that runs something else is not taken for either.
//!
//! No job ends a program of tier none with its supervisor. It is made suspended and written down before it runs, and
//! the file of a supervisor that was killed stays until its program has ended too.
//!
//! Whoever can write as the user can add a file that names another process of the user in every detail, or change what
//! a killed supervisor has left. It gains nothing: it can end that process itself.

mod end;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use envseal_sandbox::process::{self, Process};
use envseal_sandbox::{Running, Spec};

pub use end::end_all;

use super::{NAMED, Run};
use crate::show;

/// A program is found by what its run wrote: one of which it could not be written does not run.
pub const NEEDED: bool = true;

/// Others may open it to read, and for nothing else (CreateFileW).
const SHARE_READ: u32 = 1;
/// A link is opened itself, not what it leads to (FILE_FLAG_OPEN_REPARSE_POINT).
const NO_LINK: u32 = 0x0020_0000;
/// The program is made and does not run yet (CREATE_SUSPENDED).
const SUSPENDED: u32 = 4;
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

/// The program will be made suspended.
pub fn hold_back(spec: Spec) -> Spec {
    spec.creation_flags(SUSPENDED)
}

/// Lets it run.
pub fn let_run(running: &Running) -> io::Result<()> {
    running.resume()
}

/// When a process was made.
pub fn created(pid: u32) -> io::Result<Option<u64>> {
    Process::open(pid)?.created().map(Some)
}

/// What this process runs, as it is written down.
pub fn own_image() -> Option<String> {
    Process::open(std::process::id()).and_then(|own| own.image()).ok().map(|image| show::visible(&image))
}

/// What a process runs that executes this file.
pub fn image_of(file: &File) -> io::Result<Option<String>> {
    process::kernel_name(file).map(|image| Some(show::visible(&image)))
}

/// The file of a run that lives, or of which the program does; removes others.
pub fn living(path: &Path) -> Option<File> {
    let found = Found::at(path)?;
    // What cannot be asked lives.
    let lives = |look: Look| !matches!(look, Look::Gone);
    if lives(found.supervisor()) || lives(found.program()) {
        return found.file;
    }
    let _ = std::fs::remove_file(path);
    None
}

/// A process by what no two processes share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Named {
    pid: u32,
    created: u64,
}

/// What became of a process that was written down.
enum Look {
    /// It lives.
    Lives(Process),
    /// It has ended, or the number is another's, or it was never one of a run.
    Gone,
    /// There is one with its number and its program's name, and it cannot be asked whether it is the one.
    Unknown(io::Error),
}

impl Named {
    fn read(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.strip_prefix(NAMED)?.split('-');
        let named = Self { pid: parts.next()?.parse().ok()?, created: parts.next()?.parse().ok()? };
        let _number: u32 = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(named)
    }

    /// Whether it lives and runs the file of this name.
    fn look(self, image: &str) -> Look {
        let unknown = |error| if is_called(self.pid, image) { Look::Unknown(error) } else { Look::Gone };
        match Process::open(self.pid) {
            Ok(process) => match self.is(&process, image) {
                Ok(true) => Look::Lives(process),
                Ok(false) => Look::Gone,
                Err(error) => unknown(error),
            },
            Err(error) if error.raw_os_error() == Some(NO_PROCESS) => Look::Gone,
            Err(error) => unknown(error),
        }
    }

    fn is(self, process: &Process, image: &str) -> io::Result<bool> {
        Ok(process.created()? == self.created && runs(process, image)?)
    }
}

/// Whether a process lives and runs the file of this name.
fn runs(process: &Process, image: &str) -> io::Result<bool> {
    Ok(!process.wait(Some(Duration::ZERO))? && show::visible(&process.image()?) == image)
}

/// Whether the system's list has a process of that number that runs a file of that name, in whatever directory.
fn is_called(pid: u32, image: &str) -> bool {
    let name = image.rsplit('\\').next().unwrap_or_default();
    let is_it = |one: &process::Listed| one.pid == pid && show::visible(one.name.as_ref()) == name;
    process::list().map_or(true, |all| all.iter().any(is_it))
}

/// A file that is called as that of a run.
struct Found {
    named: Named,
    path: PathBuf,
    /// To be read from its beginning; `None` where it cannot be opened.
    file: Option<File>,
    /// What it says last, where that is to be understood.
    run: Option<Run>,
}

impl Found {
    fn at(path: &Path) -> Option<Self> {
        let named = path.file_name().and_then(Named::read)?;
        let mut file = OpenOptions::new().read(true).custom_flags(NO_LINK).open(path).ok();
        let run = file.as_ref().and_then(super::read);
        if let Some(file) = &mut file {
            let _ = file.rewind();
        }
        Some(Self { named, path: path.to_owned(), file, run })
    }

    /// The process of envseal. A file that others can write is not held by one.
    fn supervisor(&self) -> Look {
        let is_held = OpenOptions::new().write(true).custom_flags(NO_LINK).open(&self.path).is_err();
        if !is_held {
            return Look::Gone;
        }
        // One that has not written yet, or whose file was made unreadable, is known by what this process runs.
        let says = self.run.as_ref().and_then(|run| run.envseal_image.clone());
        says.or_else(own_image).map_or(Look::Gone, |image| self.named.look(&image))
    }

    /// The program that it says it started.
    fn program(&self) -> Look {
        let find = || {
            let run = self.run.as_ref()?;
            let started = run.started.as_ref()?;
            let named = Named { pid: started.pid, created: started.created? };
            Some(named.look(run.program_image.as_ref()?))
        };
        find().unwrap_or(Look::Gone)
    }
}
