//! The vault's directory and files on Windows: descriptors, sharing, handles.
//!
//! What is open here without the right to delete being shared cannot be renamed, replaced or deleted by anybody: the
//! directory for as long as it is used, the vault file before SQLite opens it by its path and for as long as it is
//! open. There is no `fsync` of a directory: renames are written through (`MOVEFILE_WRITE_THROUGH`).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION, GENERIC_READ, GENERIC_WRITE,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, READ_CONTROL,
    SECURITY_IDENTIFICATION,
};

use super::Found;
use super::advice::in_words;
use super::descriptor::{Descriptor, Sid, judge, keeps_low_out};
use crate::VaultError;
use crate::db::PATIENCE;
use crate::windows::{file, user};

/// Volume, and the file's number on it.
pub(crate) type FileId = (u64, u128);

/// Nobody renames, replaces or deletes it meanwhile.
const PINNED: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE;
const SHARED: u32 = PINNED | FILE_SHARE_DELETE;
/// To look at, and no more: this meets no other opener's sharing.
const LOOK: u32 = FILE_READ_ATTRIBUTES | READ_CONTROL;
/// A file that others are closing or replacing at this moment is waited for so long.
const MOMENT: Duration = Duration::from_millis(500);
/// The file whose lock stands for the directory's: Windows locks no directories.
const LOCK: &str = "lock";

/// An open private directory.
pub(crate) struct Dir {
    /// Keeps the path what it is.
    pin: File,
    path: PathBuf,
}

impl Dir {
    /// Opens a directory that must be there, private and this user's.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        let failed = |error: io::Error| VaultError::io(path.display().to_string(), error);
        let refused = |why: String| VaultError::Unsafe { path: path.into(), why };
        // Without a trailing slash, through which a link would be followed.
        let plain: PathBuf = std::path::absolute(path).map_err(failed)?.components().collect();
        let pin = open(&plain, GENERIC_READ, PINNED).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VaultError::NoVault { dir: path.into() },
            _ => failed(error),
        })?;
        if let Some(why) = refusal(&pin, Kind::Directory, false).map_err(failed)? {
            return Err(refused(why));
        }
        let path = file::path(&pin).map_err(failed)?;
        // As people write it, where that leads to the same file.
        Ok(Self { pin, path: dunce::simplified(&path).to_owned() })
    }

    /// The same, made for this user alone (parents too) when it is not there.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, VaultError> {
        let failed = |error: io::Error| VaultError::io(path.display().to_string(), error);
        create_directories(&std::path::absolute(path).map_err(failed)?).map_err(failed)?;
        Self::open(path)
    }

    /// Its canonical path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is under `name`, checked: `None` when nothing is, an error when it is not a private regular file.
    pub(crate) fn check(&self, name: &str) -> Result<Option<Found>, VaultError> {
        let path = self.path.join(name);
        let failed = |error: io::Error| VaultError::io(path.display().to_string(), error);
        let found = match open(&path, LOOK, SHARED) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if let Some(why) = refusal(&found, Kind::File, false).map_err(failed)? {
            return Err(VaultError::Unsafe { path, why });
        }
        let len = found.metadata().map_err(failed)?.len();
        Ok(Some(Found { id: file::identity(&found).map_err(failed)?, len }))
    }

    /// Opens a file in it. Nobody renames, replaces or deletes it until the handle is closed.
    pub(crate) fn file(&self, name: &str, write: bool) -> io::Result<File> {
        let access = if write { GENERIC_READ | GENERIC_WRITE } else { GENERIC_READ };
        open(&self.path.join(name), access, PINNED)
    }

    /// Makes a file in it, for this user alone; there must be none of the name.
    pub(crate) fn create(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        create_private(&self.path.join(name.as_ref()))
    }

    /// Moves a file of another directory here. With `replace`, over what has the name.
    pub(crate) fn take(&self, from: &Self, name: &str, replace: bool) -> io::Result<()> {
        move_file(&from.path.join(name), &self.path.join(name), replace, || Ok(()))
    }

    /// Moves a file of another directory over the one of the name here; `before` is done before each try.
    pub(crate) fn take_over(
        &self,
        from: &Self,
        name: &str,
        before: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        move_file(&from.path.join(name), &self.path.join(name), true, before)
    }

    /// Gives a file in it a second name.
    pub(crate) fn link(&self, name: &str, second: &str) -> io::Result<()> {
        std::fs::hard_link(self.path.join(name), self.path.join(second))
    }

    /// Renames a file in it.
    pub(crate) fn rename(&self, old: &str, new: &str) -> io::Result<()> {
        move_file(&self.path.join(old), &self.path.join(new), true, || Ok(()))
    }

    /// Waits, for as long as the database would, until nobody has one of the files open: only then can it be replaced.
    pub(crate) fn wait_until_replaceable(&self, names: &[&str]) -> io::Result<()> {
        let begun = Instant::now();
        while names.iter().any(|name| is_open(&self.path.join(name))) {
            if begun.elapsed() >= PATIENCE {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            pause();
        }
        Ok(())
    }

    /// Nothing: what was renamed is on disk already.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    /// Keeps other processes from making, replacing or opening the vault in it until the guard is dropped.
    pub(crate) fn hold(&self) -> Result<File, VaultError> {
        self.locked(super::lock)
    }

    /// Waits until nobody holds it, and keeps others from that until the guard is dropped.
    pub(crate) fn enter(&self) -> Result<File, VaultError> {
        self.locked(super::lock_shared)
    }

    /// Whether the system keeps programs of less than medium integrity from reading and writing in it, read back.
    pub(crate) fn is_labelled(&self) -> io::Result<bool> {
        Ok(keeps_low_out(&file::label(&self.pin)?))
    }

    fn locked(&self, lock: fn(&File) -> io::Result<()>) -> Result<File, VaultError> {
        let failed = |error: io::Error| VaultError::io(self.path.display().to_string(), error);
        let held = match self.create(LOCK) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.file(LOCK, true),
            made => made,
        };
        let held = held.map_err(failed)?;
        lock(&held).map_err(failed)?;
        Ok(held)
    }
}

/// Takes an exclusive lock on a file without waiting; says whether it did. Until it is given back nobody else reads or
/// writes the file.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    taken(file.try_lock())
}

/// The same, a lock that others can have too.
pub(super) fn try_lock_shared(file: &File) -> io::Result<bool> {
    taken(file.try_lock_shared())
}

fn taken(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a file for reading, a link itself and not what it leads to.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    open(path, GENERIC_READ, SHARED)
}

/// Makes a file that only this user reaches; there must be none.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    file::create_file(&verbatim(path)?, &Descriptor::private(me()?, false))
}

/// Says why an open file is not a private regular one of this user (or, with `or_root`, of the system).
pub(crate) fn check_private(file: &File, or_root: bool) -> io::Result<Option<String>> {
    refusal(file, Kind::File, or_root)
}

/// Renames a file without replacing anything.
pub(crate) fn rename_new(old: &Path, new: &Path) -> io::Result<()> {
    move_file(&verbatim(old)?, &verbatim(new)?, false, || Ok(()))
}

/// Which file an open one is.
pub(crate) fn identity(file: &File) -> io::Result<FileId> {
    file::identity(file)
}

/// Which file has a name, links not followed.
pub(crate) fn identity_at(path: &Path) -> io::Result<FileId> {
    file::identity(&open(path, LOOK, SHARED)?)
}

/// Reads from a place in a file, as much as there is.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

/// Writes all bytes at a place in a file.
pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.seek_write(bytes, at)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (bytes, at) = (&bytes[written..], at + written as u64);
    }
    Ok(())
}

/// Nothing: renames are written through here.
pub(crate) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// This process's user.
fn me() -> io::Result<&'static Sid> {
    static ME: OnceLock<Sid> = OnceLock::new();
    match ME.get() {
        Some(me) => Ok(me),
        None => user::sid().map(|me| ME.get_or_init(|| me)),
    }
}

/// Opens what is there, a link itself. Waits for as long as the database would where somebody else has it open in a
/// way that excludes this one, and for a moment where it is just being deleted.
fn open(path: &Path, access: u32, share: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.access_mode(access).share_mode(share);
    // Directories too, and nobody who listens at a pipe of the name may act as us.
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS);
    options.security_qos_flags(SECURITY_IDENTIFICATION);
    let begun = Instant::now();
    loop {
        let error = match options.open(path) {
            Err(error) if is_passing(&error) => error,
            done => return done,
        };
        let in_use = error.kind() != io::ErrorKind::PermissionDenied;
        match begun.elapsed() {
            passed if passed < MOMENT || (in_use && passed < PATIENCE) => pause(),
            _ if in_use => return Err(io::ErrorKind::WouldBlock.into()),
            _ => return Err(error),
        }
    }
}

/// Whether an error may be over soon: a file that is being deleted, or that is open in a way that excludes ours.
fn is_passing(error: &io::Error) -> bool {
    let codes = [ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION];
    codes.iter().any(|code| error.raw_os_error() == Some(*code as i32))
}

fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Renames; while the file that has the new name is open, waits for as long as the database would. `before` is done
/// before each try.
fn move_file(
    old: &Path,
    new: &Path,
    replace: bool,
    mut before: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let begun = Instant::now();
    let mut seen_in_use = begun;
    loop {
        let error = match before().and_then(|()| file::rename(old, new, replace)) {
            Err(error) if is_passing(&error) => error,
            done => return done,
        };
        // It may have been closed since the rename failed: what counts is that nobody has had it for a moment.
        let in_use = is_open(new) || is_open(old);
        if in_use {
            seen_in_use = Instant::now();
        }
        if in_use && begun.elapsed() >= PATIENCE {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if seen_in_use.elapsed() >= MOMENT {
            return Err(error);
        }
        pause();
    }
}

/// Whether somebody has a file open without sharing the right to delete it.
fn is_open(path: &Path) -> bool {
    let mut options = OpenOptions::new();
    options.access_mode(DELETE).share_mode(SHARED).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    let error = options.open(path).err().and_then(|error| error.raw_os_error());
    error == Some(ERROR_SHARING_VIOLATION as i32)
}

/// Makes a directory and those above it, each for this user alone.
fn create_directories(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_directories(parent)?;
    }
    let (path, me) = (verbatim(path)?, me()?);
    let made = match file::create_directory(&path, &Descriptor::labelled(me)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // A file system, or a caller of low integrity, that takes no label.
        Err(_) => file::create_directory(&path, &Descriptor::private(me, true)),
        done => done,
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The path of something that may not be there yet, in the form that has no limit of 260 characters.
fn verbatim(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

/// Why an open file is not what it should be: of its kind, no link, this user's, private.
fn refusal(file: &File, kind: Kind, or_system: bool) -> io::Result<Option<String>> {
    let found = file.metadata()?;
    if let Some(why) = not_plain(found.file_attributes(), found.is_dir(), kind) {
        return Ok(Some(why.into()));
    }
    let me = me()?;
    let Some(loose) = judge(&file::security(file)?, me, or_system) else { return Ok(None) };
    Ok(Some(in_words(&loose, me, &file::path(file)?, kind == Kind::Directory)))
}

fn not_plain(attributes: u32, is_dir: bool, kind: Kind) -> Option<&'static str> {
    if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Some("it is a link (a reparse point)");
    }
    match kind {
        Kind::File if is_dir => Some("it is not a regular file"),
        Kind::Directory if !is_dir => Some("it is not a directory"),
        _ => None,
    }
}

/// Lets everybody reach a file.
#[cfg(test)]
pub(crate) fn loosen(path: &Path) {
    file::set_security(path, &Descriptor::open_to_everybody(me().unwrap())).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(result: Result<Dir, VaultError>) -> String {
        match result {
            Err(VaultError::Unsafe { why, .. }) => why,
            Err(other) => panic!("{other}"),
            Ok(dir) => panic!("{} was taken", dir.path().display()),
        }
    }

    /// What the system keeps of what was asked for. Wine keeps Unix modes only: it shows the system's entry too.
    #[test]
    fn what_is_made_private_reads_back_private() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("a/b")).unwrap();
        let made = dir.create("f").unwrap();
        assert_eq!(check_private(&made, false).unwrap(), None);
        let parent = open(&top.path().join("a"), LOOK, SHARED).unwrap();
        assert_eq!(refusal(&parent, Kind::Directory, false).unwrap(), None);
    }

    #[test]
    fn a_loose_directory_is_refused_with_the_command_that_repairs_it() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("d");
        drop(Dir::open_or_create(&path).unwrap());
        loosen(&path);
        let why = why(Dir::open(&path));
        let me = me().unwrap();
        assert!(why.contains("others can reach it (S-1-1-0): icacls \""), "{why}");
        assert!(
            why.contains(&format!("/inheritance:r /grant:r \"*{me}:(OI)(CI)F\" /remove:g \"*S-1-1-0\"")),
            "{why}"
        );
        assert!(!why.contains(r"\\?\"), "{why}");
    }

    /// Wine has no labels; what is asked for is tested at the descriptor.
    #[test]
    #[allow(clippy::print_stdout, reason = "what a system cannot do is said")]
    fn a_label_is_said_to_be_there_where_the_system_gives_it_back_only() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("d")).unwrap();
        let plain = top.path().join("plain");
        file::create_directory(&verbatim(&plain).unwrap(), &Descriptor::private(me().unwrap(), true))
            .unwrap();
        assert!(!Dir::open(&plain).unwrap().is_labelled().unwrap());
        if !dir.is_labelled().unwrap() {
            println!("SKIPPED: this system keeps no integrity labels");
            return;
        }
        let made = dir.create("f").unwrap();
        assert!(keeps_low_out(&file::label(&made).unwrap()), "files in it have it too");
    }

    #[test]
    fn a_file_in_it_is_refused_unless_it_is_private_and_regular() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("d")).unwrap();
        assert!(dir.check("f").unwrap().is_none());
        dir.create("f").unwrap();
        assert!(dir.check("f").unwrap().is_some());
        dir.create("loose").unwrap();
        loosen(&dir.path().join("loose"));
        std::fs::create_dir(dir.path().join("d")).unwrap();
        for name in ["loose", "d"] {
            assert!(matches!(dir.check(name), Err(VaultError::Unsafe { .. })), "{name}");
        }
        assert!(matches!(Dir::open(&dir.path().join("f")), Err(VaultError::Unsafe { .. })));
    }

    #[test]
    fn links_and_other_kinds_are_told_by_their_attributes() {
        const LINK: u32 = FILE_ATTRIBUTE_REPARSE_POINT | 0x10;
        let link = Some("it is a link (a reparse point)");
        for (attributes, is_dir, kind, said) in [
            (0x20, false, Kind::File, None),
            (0x10, true, Kind::Directory, None),
            (LINK, true, Kind::Directory, link),
            (LINK, false, Kind::File, link),
            (0x10, true, Kind::File, Some("it is not a regular file")),
            (0x20, false, Kind::Directory, Some("it is not a directory")),
        ] {
            assert_eq!(not_plain(attributes, is_dir, kind), said, "{attributes:#x}");
        }
    }

    /// Wine 8 makes no junctions; Windows does.
    #[test]
    #[allow(clippy::print_stdout, reason = "what a system cannot do is said")]
    fn a_junction_is_refused_and_one_above_is_not() {
        let top = tempfile::tempdir().unwrap();
        drop(Dir::open_or_create(&top.path().join("real/vault")).unwrap());
        let junction = |link: &str, to: &str| {
            let mut command = std::process::Command::new("cmd");
            command.args(["/c", "mklink", "/J"]).arg(top.path().join(link)).arg(top.path().join(to));
            let _ = command.output();
            let made = top.path().join(link).symlink_metadata();
            made.is_ok_and(|made| made.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0)
        };
        if !junction("parent", "real") || !junction("real/link", "real/vault") {
            println!("SKIPPED: this system makes no junctions");
            return;
        }
        assert!(Dir::open(&top.path().join("parent/vault")).is_ok());
        for link in ["real/link", "real/link/", "real/link/."] {
            assert!(why(Dir::open(&top.path().join(link))).contains("it is a link"), "{link}");
        }
    }

    #[test]
    fn a_directory_and_a_file_in_use_stay_where_they_are() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("d");
        let dir = Dir::open_or_create(&path).unwrap();
        dir.create("f").unwrap();
        let held = dir.file("f", true).unwrap();
        let file = path.join("f");
        assert!(std::fs::remove_file(&file).is_err() && std::fs::rename(&file, path.join("g")).is_err());
        std::fs::write(path.join("other"), "").unwrap();
        assert!(std::fs::rename(path.join("other"), &file).is_err());
        assert!(is_open(&file));
        drop(held);
        assert!(!is_open(&file));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_file_that_others_read_is_replaced_when_they_are_done() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("d")).unwrap();
        write_at(&dir.create("old").unwrap(), b"old", 0).unwrap();
        write_at(&dir.create("new").unwrap(), b"new", 0).unwrap();
        let reader = dir.file("old", false).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(700));
                drop(reader);
            });
            dir.rename("new", "old").unwrap();
        });
        assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), b"new");
    }

    #[test]
    fn one_holder_of_a_directory_at_a_time() {
        let top = tempfile::tempdir().unwrap();
        let dir = Dir::open_or_create(&top.path().join("d")).unwrap();
        let held = dir.hold().unwrap();
        let other = dir.file(LOCK, true).unwrap();
        assert!(!try_lock(&other).unwrap());
        drop(held);
        assert!(super::super::lock(&other).is_ok());
    }
}
