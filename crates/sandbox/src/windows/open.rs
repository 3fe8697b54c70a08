//! Opens the file of a program so that nobody changes it, and finds out where it is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::AsHandle;
use std::path::{Component, Path, PathBuf, Prefix};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_NETPATH, ERROR_BAD_PATHNAME, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME,
    ERROR_PATH_NOT_FOUND, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE, GENERIC_EXECUTE, GENERIC_READ,
};
use windows_sys::Win32::Security::Authorization::SE_FILE_OBJECT;
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_ADD_SUBDIRECTORY, FILE_DELETE_CHILD, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_SHARE_READ, FILE_WRITE_ATTRIBUTES, READ_CONTROL, SECURITY_ANONYMOUS, VOLUME_NAME_DOS,
    VOLUME_NAME_GUID, VOLUME_NAME_NT, WRITE_DAC, WRITE_OWNER,
};

use super::pure::{approved, pe};
use super::scratch::this_user;
use super::sys_security::Descriptor;
use super::{same_name, sys};
use crate::{Given, ImageError, Spec};

/// What keeps others from the bytes: the handle itself.
#[derive(Debug)]
pub(crate) struct Guard(Given);

impl Guard {
    /// `Yes` where the file is on a disk of this machine, whose file system refuses a second opening for
    /// writing, deleting or renaming, and ours while a writable mapping exists.
    pub(crate) fn holds(&self, _: &File) -> Given {
        self.0.clone()
    }
}

/// The canonical file of a program, opened for reading and executing, and shared for reading alone.
pub(crate) fn open_program(path: &Path) -> Result<(File, PathBuf, Guard), ImageError> {
    if is_device(path) {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "device or pipe" });
    }
    let failed = |source| failure(path, source);
    let file = match open(path, GENERIC_READ | GENERIC_EXECUTE) {
        Err(error) if is(&error, &[ERROR_ACCESS_DENIED]) => return Err(closed(path)),
        opened => opened.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "directory" });
    }
    if !sys::is_on_disk(&file) {
        return Err(ImageError::NotAFile { path: path.to_owned(), kind: "device or pipe" });
    }
    let full = sys::final_path(&file, VOLUME_NAME_DOS).or_else(|_| sys::final_path(&file, VOLUME_NAME_GUID));
    let full = PathBuf::from(full.map_err(failed)?);
    let canonical = dunce::simplified(&full).to_owned();
    let name = full.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if name.contains(':') {
        return Err(ImageError::NotAFile { path: canonical, kind: "stream beside a file's content" });
    }
    if name.ends_with(".bat") || name.ends_with(".cmd") {
        return Err(ImageError::Batch { path: canonical });
    }
    let mut head = vec![0; pe::LOOKS_AT];
    let length = crate::image::fill(&file, &mut head, 0).map_err(failed)?;
    if !pe::is_program(&head[..length]) {
        return Err(ImageError::NotExecutable { path: canonical });
    }
    let weak = writers(&file).map(|why| format!("{}: {why}", canonical.display()));
    Ok((file, canonical, Guard(weak.map_or(Given::Yes, Given::Guarded))))
}

fn open(path: &Path, access: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(access)
        .share_mode(FILE_SHARE_READ)
        // So that a directory is opened too, and can be told; a pipe's server learns nothing of the caller.
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .security_qos_flags(SECURITY_ANONYMOUS)
        .open(path)
}

/// Names of devices and pipes: opening one can have effects.
fn is_device(path: &Path) -> bool {
    matches!(path.components().next(), Some(Component::Prefix(prefix)) if matches!(prefix.kind(), Prefix::DeviceNS(_)))
}

fn closed(path: &Path) -> ImageError {
    let may = |access| open(path, access).is_ok();
    let path = path.to_owned();
    match (may(GENERIC_READ), may(GENERIC_EXECUTE)) {
        (true, _) => ImageError::NotExecutable { path },
        (false, true) => ImageError::Unreadable { path },
        (false, false) => ImageError::Denied { path },
    }
}

fn failure(path: &Path, source: io::Error) -> ImageError {
    let path = path.to_owned();
    let nowhere = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_INVALID_NAME,
        ERROR_BAD_PATHNAME,
        ERROR_BAD_NETPATH,
    ];
    if is(&source, &nowhere) {
        ImageError::NotFound { path }
    } else if is(&source, &[ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE]) {
        ImageError::Busy { path }
    } else {
        ImageError::Io { path, source }
    }
}

fn is(error: &io::Error, codes: &[u32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&(code as u32)))
}

/// By what an open file that is shared for reading alone can still be written, if by anything.
pub(crate) fn writers(file: &File) -> Option<String> {
    let name = sys::final_path(file, VOLUME_NAME_NT);
    let name = name.map_err(|error| format!("GetFinalPathNameByHandleW: {error}"));
    let name = name.map(|name| name.to_string_lossy().into_owned());
    let system = sys::file_system(file).map_err(|error| format!("GetVolumeInformationByHandleW: {error}"));
    approved::writers(name.as_deref().map_err(String::clone), system.as_deref().map_err(String::clone))
}

/// What the bytes that `spec` runs are worth (N6), its program's process having been compared with the image.
pub(super) fn approved(spec: &Spec) -> Given {
    approved::approved(spec.image.guarded(), &spec.by_path, &libraries(spec))
}

/// Where the program's libraries are looked for and this user can change something: its directory, its working
/// directory, those of its `PATH`, of which one is enough (LoadLibraryEx, standard search order).
fn libraries(spec: &Spec) -> Vec<String> {
    let mut found = Vec::new();
    if spec.image.path().parent().is_none_or(takes_files) {
        found.push("its directory".to_owned());
    }
    let directory = spec.directory.clone().or_else(|| std::env::current_dir().ok());
    if directory.is_none_or(|directory| takes_files(&directory)) {
        found.push("its working directory".to_owned());
    }
    let path = spec.env.iter().find(|(name, _)| same_name(name, "PATH".as_ref()));
    let mut path = path.iter().flat_map(|(_, value)| std::env::split_paths(value));
    // A relative one leads into the working directory.
    if let Some(one) = path.find(|one| one.is_absolute() && takes_files(one)) {
        found.push(format!("{} of its PATH", one.display()));
    }
    found
}

/// With each of these alone, what is found in a directory can be changed: a file or a `.local` directory is put
/// there, one is taken away, the directory becomes a link or is replaced, or the list that forbids it is.
const CHANGES: [u32; 7] = [
    FILE_ADD_FILE,
    FILE_ADD_SUBDIRECTORY,
    FILE_DELETE_CHILD,
    FILE_WRITE_ATTRIBUTES,
    DELETE,
    WRITE_DAC,
    WRITE_OWNER,
];

/// Whether this user can change what is found in `directory`, or could when it was set up: by trying, where only a
/// refusal is a no. The generic rights are made of those that are tried. One that is not there yet can be made by
/// whoever can change the one above.
fn takes_files(directory: &Path) -> bool {
    let open = |right| directory_with(directory, right);
    match open(READ_CONTROL) {
        Ok(opened) if !is_this_users(&opened) => {}
        Err(error) if is(&error, &[ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND]) => {
            return directory.parent().is_none_or(takes_files);
        }
        _ => return true,
    }
    CHANGES.iter().any(|right| !matches!(open(*right), Err(error) if is(&error, &[ERROR_ACCESS_DENIED])))
}

/// A directory, opened with these rights.
pub(super) fn directory_with(path: &Path, rights: u32) -> io::Result<File> {
    OpenOptions::new().access_mode(rights).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

/// An owner can have put something there, and have closed the list afterwards.
fn is_this_users(directory: &File) -> bool {
    let owner = Descriptor::of(directory.as_handle(), SE_FILE_OBJECT).and_then(|found| found.owner());
    let user = this_user();
    !matches!((owner, user), (Ok(owner), Ok(user)) if owner != user)
}

/// ReadFile with an offset.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;

    fn hostname() -> PathBuf {
        super::super::paths::windows().expect("Windows").join("system32").join("hostname.exe")
    }

    fn reasons(spec: &Spec) -> String {
        match approved(spec) {
            Given::Guarded(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_local_disk_keeps_writers_away_and_a_drive_letter_can_be_led_elsewhere() {
        let place = tempfile::tempdir().expect("a directory");
        let image = Image::open(&hostname()).expect("a program");
        assert_eq!(image.guarded(), Given::Yes);
        let plain = reasons(&Spec::new(image));
        assert!(
            plain.contains("; libraries are opened by path") && plain.contains("DefineDosDevice"),
            "{plain}"
        );
        let script = place.path().join("x.py");
        std::fs::write(&script, "x").expect("written");
        let held = OpenOptions::new().read(true).share_mode(FILE_SHARE_READ).open(&script).expect("opened");
        assert_eq!(writers(&held), None);
        let with = Spec::new(Image::open(&hostname()).expect("a program")).opens(&script, &held);
        assert!(reasons(&with).contains("script, pinned files and libraries are opened by path"));
    }

    #[test]
    fn directories_where_this_user_makes_files_are_named() {
        let place = tempfile::tempdir().expect("a directory");
        assert!(takes_files(place.path()), "it is this user's");
        assert!(takes_files(&place.path().join("not").join("there")), "this user can make it");
        let program = place.path().join("program.exe");
        std::fs::copy(hostname(), &program).expect("copied");
        let spec = Spec::new(Image::open(&program).expect("a program")).directory(place.path());
        let path = std::env::join_paths([Path::new("relative"), place.path()]).expect("a path");
        let found = libraries(&spec.env("Path", path));
        let expected =
            ["its directory", "its working directory", &format!("{} of its PATH", place.path().display())];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_this_user_owns_was_this_users_to_fill() {
        let place = tempfile::tempdir().expect("a directory");
        let opened = directory_with(place.path(), READ_CONTROL).expect("opened");
        assert!(is_this_users(&opened));
    }
}
