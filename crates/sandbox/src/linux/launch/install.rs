//! Puts the launcher, its group and the execute-only loader into the system, and takes them out again.

use std::fs::{File, FileTimes, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, Uid, XattrFlags, fchmod, fchown, fgetxattr, flock,
    fremovexattr, fsetxattr, fstat, fsync, mkdir, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use super::elf;
use super::place::{
    ATTRIBUTE, CAPABILITY, DIRECTORY, LAUNCHER, LOADER, MODE, RANGE, Unusable, check_way, owned_by_root,
};

/// Why nothing, or not all, was installed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Only root can.
    #[error("only root can do this")]
    NotRoot,
    /// The launcher that shall be installed is not there or is no program.
    #[error("{path}: {why}", path = path.display())]
    Source {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A user may have the launcher's groups in a user namespace (subgid(5)).
    #[error("/etc/subgid gives {user} numbers that the launcher's groups have ({first} to {last})",
        first = RANGE.start, last = RANGE.end - 1)]
    Subordinate {
        /// The user.
        user: String,
    },
    /// The place is not safe.
    #[error(transparent)]
    Place(#[from] Unusable),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn system<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> InstallError {
    move |source| InstallError::System { what: what.into(), source: source.into() }
}

/// Installs the launcher found at `source`, its group and the loader. Tells each step that it takes, in a line;
/// where all is there already, it says so.
///
/// Atomic for each file, and safe to repeat: what is missing or differs is put right.
pub fn install(source: &Path, mut tell: impl FnMut(&str)) -> Result<(), InstallError> {
    only_root()?;
    let (launcher, _) = read_program(source)?;
    let parent = Path::new(DIRECTORY).parent().unwrap_or(Path::new("/"));
    check_way(parent)?;
    if let Some(user) = subordinate(&std::fs::read_to_string("/etc/subgid").unwrap_or_default()) {
        return Err(InstallError::Subordinate { user });
    }
    let mut changed = false;
    let mut done = |text: String| {
        changed = true;
        tell(&text);
    };

    let directory = make_directory(&mut done)?;
    let digest = hex(&Sha256::digest(&launcher));
    let file = Wanted { name: LAUNCHER, content: &launcher, capable: true, mode: MODE, time: None };
    match file.put(&directory)? {
        Put::Same => {}
        put => done(format!("{put} {DIRECTORY}/{LAUNCHER}, sha256 {digest}, with CAP_SETGID")),
    }
    match find_loader(&launcher)? {
        None => tell("no dynamic loader is installed: the system's shell is static"),
        Some((path, content, of)) => {
            // Nobody can read the copy: its time and size tell whether the system's has changed since.
            let time = of.modified().ok();
            let file = Wanted { name: LOADER, content: &content, capable: false, mode: 0o711, time };
            match file.put(&directory)? {
                Put::Same => {}
                put => done(format!(
                    "{put} {DIRECTORY}/{LOADER}, a copy of {} that nobody can read",
                    path.display()
                )),
            }
        }
    }
    if !changed {
        tell(&format!("nothing to do: the launcher (sha256 {digest}) and the loader are there"));
    }
    Ok(())
}

/// Removes what [`install`] made. Tells each step; where nothing is there, it says so.
///
/// Refuses before anything is touched when the group has members or is a user's. Programs that run with the
/// group keep it from being removed: its number could go to another group.
pub fn uninstall(mut tell: impl FnMut(&str)) -> Result<(), InstallError> {
    only_root()?;
    let mut changed = false;
    let mut done = |text: String| {
        changed = true;
        tell(&text);
    };
    if let Some(directory) = open_directory()? {
        for name in [LAUNCHER, LOADER] {
            let _ = remove(&directory, &temporary(name))?;
            if remove(&directory, name)? {
                done(format!("removed {DIRECTORY}/{name}"));
            }
        }
        drop(directory);
        match rustix::fs::rmdir(DIRECTORY) {
            Ok(()) => done(format!("removed {DIRECTORY}")),
            Err(Errno::NOTEMPTY | Errno::EXIST) => done(format!("left {DIRECTORY}: it holds other files")),
            Err(error) => return Err(system(DIRECTORY)(error)),
        }
    }
    if !changed {
        tell("nothing to do: nothing is installed");
    }
    Ok(())
}

fn only_root() -> Result<(), InstallError> {
    if geteuid().is_root() { Ok(()) } else { Err(InstallError::NotRoot) }
}

/// The bytes that are installed are those that were read here, and no others.
fn read_program(path: &Path) -> Result<(Vec<u8>, Metadata), InstallError> {
    let wrong = |why: String| InstallError::Source { path: path.to_owned(), why };
    let read = || {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut file = File::from(open(path, flags, Mode::empty())?);
        let of = file.metadata()?;
        let mut bytes = Vec::new();
        if of.is_file() {
            file.read_to_end(&mut bytes)?;
        }
        io::Result::Ok((bytes, of))
    };
    let (bytes, of) = read().map_err(|error| wrong(error.to_string()))?;
    if !of.is_file() {
        return Err(wrong("not a regular file".to_owned()));
    }
    if !elf::is_program(&bytes) {
        return Err(wrong("not a program".to_owned()));
    }
    Ok((bytes, of))
}

/// The loader of the system's shell, else of the launcher.
fn find_loader(launcher: &[u8]) -> Result<Option<(PathBuf, Vec<u8>, Metadata)>, InstallError> {
    let shell = std::fs::read("/bin/sh").unwrap_or_default();
    let Some(named) = elf::interpreter(&shell).or_else(|| elf::interpreter(launcher)) else {
        return Ok(None);
    };
    let path = named.canonicalize().map_err(system(named.display().to_string()))?;
    let (content, of) = read_program(&path)?;
    owned_by_root(&path, &of)?;
    Ok(Some((path, content, of)))
}

/// A user whose subordinate groups reach into the launcher's.
fn subordinate(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let user = fields.next()?;
        let (first, count): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let reaches = first < RANGE.end.into() && first.saturating_add(count) > RANGE.start.into();
        reaches.then(|| user.to_owned())
    })
}

/// The directory, opened and locked against another installation; `None` where there is none.
fn open_directory() -> Result<Option<OwnedFd>, InstallError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(DIRECTORY, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened.map_err(system(DIRECTORY))?,
    };
    check_way(Path::new(DIRECTORY))?;
    flock(&directory, FlockOperation::LockExclusive).map_err(system(DIRECTORY))?;
    Ok(Some(directory))
}

fn make_directory(done: &mut impl FnMut(String)) -> Result<OwnedFd, InstallError> {
    match mkdir(DIRECTORY, Mode::from_raw_mode(0o755)) {
        Ok(()) => done(format!("made {DIRECTORY}")),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(system(DIRECTORY)(error)),
    }
    let gone = || system(DIRECTORY)(Errno::NOENT);
    let directory = open_directory()?.ok_or_else(gone)?;
    // The mask of whoever runs this, or an inherited group, shall not matter.
    let bits = Mode::from_raw_mode(0o755);
    if fstat(&directory).map_err(system(DIRECTORY))?.st_mode & 0o7777 != bits.as_raw_mode() {
        fchmod(&directory, bits).map_err(system(DIRECTORY))?;
    }
    fchown(&directory, Some(Uid::ROOT), Some(Gid::ROOT)).map_err(system(DIRECTORY))?;
    Ok(directory)
}

/// A file as it shall be.
struct Wanted<'c> {
    name: &'static str,
    content: &'c [u8],
    capable: bool,
    mode: u32,
    time: Option<std::time::SystemTime>,
}

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Same,
    New,
    Replaced,
}

impl std::fmt::Display for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Put::New { "installed" } else { "replaced" })
    }
}

impl Wanted<'_> {
    fn put(&self, directory: &OwnedFd) -> Result<Put, InstallError> {
        let what = || format!("{DIRECTORY}/{}", self.name);
        let old = open_file(directory, self.name).map_err(system(what()))?;
        if let Some(old) = &old
            && self.is(old).map_err(system(what()))?
        {
            return Ok(Put::Same);
        }
        self.write(directory).map_err(system(what()))?;
        let Some(old) = old else { return Ok(Put::New) };
        disarm(&old).map_err(system(what()))?;
        Ok(Put::Replaced)
    }

    fn is(&self, file: &File) -> io::Result<bool> {
        let of = file.metadata()?;
        if !of.is_file()
            || (of.uid(), of.gid(), of.mode() & 0o7777) != (0, 0, self.mode)
            || capability(file) != self.capable.then_some(CAPABILITY.to_vec())
            || of.nlink() != 1
            || self.time.is_some_and(|time| of.modified().ok() != Some(time))
        {
            return Ok(false);
        }
        let mut content = Vec::new();
        let mut file = file;
        file.read_to_end(&mut content)?;
        Ok(content == self.content)
    }

    /// Under another name first, with its content before its capability: no file that has
    /// one and other content is ever there.
    fn write(&self, directory: &OwnedFd) -> io::Result<()> {
        let temporary = temporary(self.name);
        remove_file(directory, &temporary)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(directory, &*temporary, flags, Mode::RUSR | Mode::WUSR)?);
        let written = (|| {
            file.write_all(self.content)?;
            if let Some(time) = self.time {
                file.set_times(FileTimes::new().set_modified(time))?;
            }
            fchown(&file, Some(Uid::ROOT), Some(Gid::ROOT))?;
            fchmod(&file, Mode::from_raw_mode(self.mode))?;
            if self.capable {
                fsetxattr(&file, ATTRIBUTE, &CAPABILITY, XattrFlags::CREATE)?;
            }
            file.sync_all()
        })();
        // Nobody can execute a file that is open for writing.
        drop(file);
        let placed = written.and_then(|()| Ok(renameat(directory, &*temporary, directory, self.name)?));
        if placed.is_err() {
            let _ = remove_file(directory, &temporary);
        }
        placed?;
        Ok(fsync(directory)?)
    }
}

fn temporary(name: &str) -> String {
    format!(".{name}.new")
}

/// The file, whatever it is; `None` where there is none, or a link, which is replaced as it stands.
fn open_file(directory: &OwnedFd, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(directory.as_fd(), name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes capability and mode from a launcher that is no longer wanted: where hard links to files of others are
/// allowed (fs.protected_hardlinks of proc(5)), somebody may have kept one.
fn disarm(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() {
        if capability(file).is_some() {
            fremovexattr(file, ATTRIBUTE)?;
        }
        fchmod(file, Mode::RUSR | Mode::WUSR)?;
        fchown(file, Some(Uid::ROOT), Some(Gid::ROOT))?;
    }
    Ok(())
}

fn remove(directory: &OwnedFd, name: &str) -> Result<bool, InstallError> {
    remove_file(directory, name).map_err(system(format!("{DIRECTORY}/{name}")))
}

fn remove_file(directory: &OwnedFd, name: &str) -> io::Result<bool> {
    if let Some(file) = open_file(directory, name)? {
        disarm(&file)?;
    }
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn capability(file: &File) -> Option<Vec<u8>> {
    let mut data = [0; 64];
    let length = fgetxattr(file, ATTRIBUTE, &mut data).ok()?;
    data.get(..length).map(<[u8]>::to_vec)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
