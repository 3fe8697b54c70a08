//! Finding and opening files on Unix.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use envseal_vault::OsText;

use super::leads::Leads;
use super::{IdentityError, Search};

/// Whether a program's name is a path, and is not searched for.
pub fn is_path(program: &OsStr) -> bool {
    program.as_encoded_bytes().contains(&b'/')
}

/// A path, relative to the caller's directory or not.
pub fn absolute(path: &OsStr, cwd: &Path) -> PathBuf {
    cwd.join(path)
}

/// The program at a path; what is wrong with it is said when it is opened.
pub fn at(path: &Path, _: Search<'_>) -> Option<PathBuf> {
    Some(path.to_owned())
}

/// The program of this name in a directory.
pub fn within(directory: &Path, name: &OsStr, _: Search<'_>) -> Option<PathBuf> {
    let path = directory.join(name);
    let regular = std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
    (regular && rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok()).then_some(path)
}

/// The path that a program is called by.
pub fn called(found: &Path) -> OsText {
    by_its_directory(found)
}

/// The path by which a script is given to its interpreter.
pub fn script_as(path: &Path) -> OsText {
    by_its_directory(path)
}

/// A path with its directory made canonical and its last part as it was found: `/bin/sh` is `/usr/bin/sh`.
fn by_its_directory(found: &Path) -> OsText {
    let directory = found.parent().and_then(|parent| parent.canonicalize().ok());
    OsText::from(match (directory, found.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => found.to_owned(),
    })
}

/// The directories in which an interpreter looks for its settings: that of the path it is called by, and of each link
/// on the way to its file.
pub fn directories_of(called: &Path, image: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut at = called.to_owned();
    // As many links as the kernel follows (path_resolution(7)).
    for _ in 0..40 {
        let Some(parent) = at.parent() else { break };
        found.push(parent.canonicalize().unwrap_or_else(|_| parent.to_owned()));
        let Ok(target) = at.read_link() else { break };
        at = parent.join(target);
    }
    found.extend(image.parent().map(Path::to_owned));
    found.sort();
    found.dedup();
    found
}

/// Settings name a directory, and start no program.
pub fn follow(_: &mut Leads, _: &str, _: &OsStr) -> Result<(), IdentityError> {
    Ok(())
}

/// Nothing else.
pub fn beside(_: &mut Leads, _: &Path) -> Result<(), IdentityError> {
    Ok(())
}

/// A shim is a script of its own here.
pub fn shim(_: &mut Leads, _: &Path) -> Result<bool, IdentityError> {
    Ok(false)
}

/// Opens a file to be hashed. Never waits on a FIFO.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::{Identity, IdentityError, Search, file_at, hash_file};
    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn resolve(program: &str, args: &[&str], search: &str, cwd: &Path) -> Result<Identity, IdentityError> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        let search = Search { path: OsStr::new(search), extensions: OsStr::new("") };
        Identity::resolve(OsStr::new(program), &args, search, cwd)
    }

    const SYSTEM: &str = "/usr/bin:/bin";

    #[test]
    fn a_symlink_is_known_by_the_file_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/bin/sh", dir.path().join("mine")).unwrap();
        let identity = resolve("mine", &["x y"], dir.path().to_str().unwrap(), Path::new("/")).unwrap_err();
        assert!(matches!(identity, IdentityError::Script { .. }), "sh reads its first argument: {identity}");
        write(&dir.path().join("x y"), "true", 0o600);
        let identity = resolve("mine", &["x y"], dir.path().to_str().unwrap(), dir.path()).unwrap();
        assert_eq!(identity.image.path(), Path::new("/bin/sh").canonicalize().unwrap());
        let here = dir.path().canonicalize().unwrap();
        assert_eq!(identity.called, OsText::from(here.join("mine")));
        assert_eq!(identity.argv, [here.join("x y").into_os_string()]);
        assert_eq!(identity.script.unwrap().path, here.join("x y"));
        assert!(!identity.arbitrary);
    }

    #[test]
    fn an_env_script_is_its_interpreter_and_its_own_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("tool");
        write(&script, "#!/usr/bin/env sh\necho hi\n", 0o755);
        let identity = resolve("./tool", &["-c", "z"], SYSTEM, dir.path()).unwrap();
        assert_eq!(identity.image.path(), Path::new("/bin/sh").canonicalize().unwrap());
        assert_eq!(identity.script.as_ref().unwrap().sha256, hash_file(&script).unwrap());
        let canonical = script.canonicalize().unwrap().into_os_string();
        assert_eq!(identity.argv, [canonical, "-c".into(), "z".into()]);
        assert_eq!(identity.called, OsText::from("/usr/bin/sh"));
        assert!(!identity.arbitrary);
    }

    /// A virtual environment as `python3 -m venv` makes it: links to links, and its settings above them.
    fn environment(dir: &Path) -> (PathBuf, PathBuf) {
        let top = dir.canonicalize().unwrap();
        std::fs::create_dir_all(top.join("venv/bin")).unwrap();
        symlink("/bin/sh", top.join("venv/bin/python")).unwrap();
        symlink("python", top.join("venv/bin/python3")).unwrap();
        symlink(top.join("venv/bin/python3"), top.join("python3")).unwrap();
        std::fs::write(top.join("venv/pyvenv.cfg"), "home = /usr/bin\n").unwrap();
        write(&top.join("x.py"), "#!/usr/bin/env python3\n", 0o755);
        (top.join("venv/pyvenv.cfg"), top)
    }

    #[test]
    fn the_settings_of_a_python_environment_belong_to_what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (settings, top) = environment(dir.path());
        let bin = top.join("venv/bin");
        for (program, search) in
            [("./venv/bin/python3", ""), ("./python3", ""), ("python", bin.to_str().unwrap())]
        {
            let identity = resolve(program, &["x.py"], search, &top).unwrap();
            assert_eq!(identity.leads, [file_at(&settings).unwrap()], "{program}");
            assert!(!identity.arbitrary);
        }
        let script = resolve("./x.py", &[], bin.to_str().unwrap(), &top).unwrap();
        assert_eq!(script.leads, [file_at(&settings).unwrap()], "by its #! line");
        // Beside the interpreter is the nearer place; what appears there during an approval is seen.
        let mut identity = resolve("./venv/bin/python3", &["x.py"], "", &top).unwrap();
        std::fs::write(bin.join("pyvenv.cfg"), "home = /tmp\n").unwrap();
        identity.rehash().unwrap();
        assert_eq!(identity.leads, [bin.join("pyvenv.cfg"), settings].map(|path| file_at(&path).unwrap()));
        // Another program obeys no such file.
        symlink("/bin/true", bin.join("tool")).unwrap();
        assert!(resolve("./venv/bin/tool", &[], "", &top).unwrap().leads.is_empty());
    }

    #[test]
    fn settings_that_cannot_be_read_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (settings, top) = environment(dir.path());
        std::fs::remove_file(&settings).unwrap();
        std::fs::create_dir(&settings).unwrap();
        let error = resolve("./venv/bin/python", &["x.py"], "", &top).unwrap_err();
        assert!(matches!(error, IdentityError::Lead { .. }), "{error}");
    }

    #[test]
    fn an_env_line_with_options_is_arbitrary_code() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("tool"), "#!/usr/bin/env -S sh -e\n", 0o755);
        assert!(resolve("./tool", &[], SYSTEM, dir.path()).unwrap().arbitrary);
    }

    #[test]
    fn relative_entries_of_the_search_path_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("tool"), "#!/bin/sh\n", 0o755);
        for search in [".", "", "::", "../"] {
            let error = resolve("tool", &[], search, dir.path()).unwrap_err();
            assert!(matches!(error, IdentityError::NotFound { .. }), "{search}: {error}");
        }
    }

    #[test]
    fn a_script_that_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        for script in ["fifo", ".", "missing", "/dev/zero"] {
            let error = resolve("sh", &[script], SYSTEM, dir.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Script { .. }), "{script}: {error}");
        }
    }

    #[test]
    fn a_change_during_an_approval_changes_the_digest() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("x.sh");
        write(&script, "echo one", 0o600);
        let mut identity = resolve("sh", &["x.sh"], SYSTEM, dir.path()).unwrap();
        let before = identity.script.clone().unwrap();
        std::fs::write(&script, "echo two").unwrap();
        identity.rehash().unwrap();
        assert_ne!(identity.script.unwrap().sha256, before.sha256);
    }
}
