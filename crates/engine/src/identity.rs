//! What will run: the executed file opened once, the script it reads, the arguments it gets.
//!
//! A name is looked up as a shell does, symbolic links are followed to the canonical file, and a `#!` line is
//! resolved here instead of by the kernel, so that interpreter and script are both known by their bytes.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use envseal_sandbox::{Image, ImageError};
use envseal_vault::{Digest, FileRule, OsText};
use sha2::{Digest as _, Sha256};

use crate::interpreter::{self, Reads};

/// A program that was found, opened and hashed.
#[derive(Debug)]
pub struct Identity {
    /// The file that will be executed, through the handle that was hashed.
    pub image: Image,
    /// The path it goes by, which is its first argument: the one that was found, its directory canonical. Programs look
    /// for their own files beside it, so it is part of what is allowed, and no link of a caller's can move it.
    pub called: OsText,
    /// All further arguments that it gets. The script among them stands with its directory canonical, whatever was typed.
    pub argv: Vec<OsString>,
    /// The path by which it is given the script.
    pub script_as: Option<OsText>,
    /// Where in `args` the script stands, when it was typed there.
    pub script_at: Option<usize>,
    /// The script was called, and its `#!` line names the interpreter.
    pub shebang: bool,
    /// The script, for an interpreter.
    pub script: Option<FileRule>,
    /// Runs what arguments or input say.
    pub arbitrary: bool,
}

/// Why a program cannot be identified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Nothing of that name in the search path.
    #[error("{}: command not found", crate::show::visible(name))]
    NotFound {
        /// The name as typed.
        name: OsString,
    },
    /// The file cannot be opened, hashed or executed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The script cannot be read.
    #[error("{}: the script cannot be read: {source}", path.display())]
    Script {
        /// The script.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The `#!` line names a file that is itself a script.
    #[error("{}: its interpreter {} is itself a script; name the final interpreter in the #! line",
        path.display(), interpreter.display())]
    NestedScript {
        /// The script.
        path: PathBuf,
        /// The interpreter of its `#!` line.
        interpreter: PathBuf,
    },
}

impl Identity {
    /// Finds, opens and hashes what `program args` would run.
    ///
    /// `search` is the value of `PATH` (empty and relative entries are passed over), `cwd` what a relative path
    /// is relative to.
    pub fn resolve(
        program: &OsStr,
        args: &[OsString],
        search: &OsStr,
        cwd: &Path,
    ) -> Result<Self, IdentityError> {
        let found = locate(program, search, cwd)?;
        let image = Image::open(&found)?;
        let Some(shebang) = image.shebang() else {
            let called = by_its_directory(&found);
            let name = image.path().file_name().unwrap_or_default();
            // What it is, and what it is called: busybox is one by its file, by its links another.
            let reads = match interpreter::reads(name, args) {
                Reads::Itself => interpreter::reads(found.file_name().unwrap_or_default(), args),
                reads => reads,
            };
            let mut argv = args.to_vec();
            let (mut script, mut script_at, mut script_as) = (None, None, None);
            if let Reads::Script(at) = reads {
                let path = cwd.join(&args[at]);
                let given = by_its_directory(&path);
                argv[at].clone_from(&given.0);
                let file = file_at(&path).map_err(|source| IdentityError::Script { path, source })?;
                (script, script_at, script_as) = (Some(file), Some(at), Some(given));
            }
            return Ok(Self {
                image,
                called,
                argv,
                script,
                script_as,
                script_at,
                shebang: false,
                arbitrary: reads == Reads::Arbitrary,
            });
        };
        // `#!/usr/bin/env NAME` would search PATH a second time, in a process that nobody hashed.
        let (interpreter, option) = match env_target(shebang.interpreter(), shebang.argument()) {
            Some(name) => (locate(name, search, cwd)?, None),
            None => (cwd.join(shebang.interpreter()), shebang.argument().map(OsStr::to_owned)),
        };
        let script = FileRule { path: image.path().to_owned(), sha256: Digest::new(image.sha256()) };
        let interpreter_image = Image::open(&interpreter)?;
        if interpreter_image.shebang().is_some() {
            return Err(IdentityError::NestedScript { path: script.path, interpreter });
        }
        let mut argv: Vec<OsString> = option.into_iter().collect();
        let given = by_its_directory(&found);
        argv.push(given.0.clone());
        let name = interpreter_image.path().file_name().unwrap_or_default();
        let launches = interpreter::reads(found.file_name().unwrap_or_default(), &[]) == Reads::Arbitrary;
        let arbitrary = match interpreter::reads(name, &argv) {
            _ if launches => true,
            Reads::Script(at) => at + 1 != argv.len(),
            Reads::Itself => argv.len() > 1,
            Reads::Arbitrary => true,
        };
        argv.extend_from_slice(args);
        Ok(Self {
            called: by_its_directory(&interpreter),
            image: interpreter_image,
            argv,
            script: Some(script),
            script_as: Some(given),
            script_at: None,
            shebang: true,
            arbitrary,
        })
    }

    /// The executed file by path and digest.
    pub fn program(&self) -> FileRule {
        FileRule { path: self.image.path().to_owned(), sha256: Digest::new(self.image.sha256()) }
    }

    /// Hashes program and script again, after the time that an answer took.
    pub fn rehash(&mut self) -> Result<(), IdentityError> {
        self.image.rehash()?;
        if let Some(script) = &mut self.script {
            script.sha256 = hash_file(&script.path)
                .map_err(|source| IdentityError::Script { path: script.path.clone(), source })?;
        }
        Ok(())
    }
}

/// `NAME` of `#!/usr/bin/env NAME`; anything with options or assignments is left to `env` itself.
fn env_target<'a>(interpreter: &Path, argument: Option<&'a OsStr>) -> Option<&'a OsStr> {
    let argument = argument?;
    let plain = !argument.as_encoded_bytes().iter().any(|b| matches!(b, b'=' | b' ' | b'\t'))
        && !argument.as_encoded_bytes().starts_with(b"-");
    (interpreter.file_name() == Some(OsStr::new("env")) && plain).then_some(argument)
}

/// A path with its directory made canonical and its last part as it was found: `/bin/sh` is `/usr/bin/sh`.
fn by_its_directory(found: &Path) -> OsText {
    let directory = found.parent().and_then(|parent| parent.canonicalize().ok());
    OsText::from(match (directory, found.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => found.to_owned(),
    })
}

/// The file that a path leads to: its canonical path and the digest of its bytes.
pub fn file_at(path: &Path) -> std::io::Result<FileRule> {
    let path = path.canonicalize()?;
    Ok(FileRule { sha256: hash_file(&path)?, path })
}

/// The largest script or pinned file that is read, in bytes: 256 MiB.
const LARGEST: u64 = 256 << 20;

/// Digest of a regular file. Never waits on a FIFO, never reads a device.
pub fn hash_file(path: &Path) -> std::io::Result<Digest> {
    hash_to(path, |_| Ok(()))
}

/// The same, with every byte that was hashed given to `sink`.
pub fn hash_to(path: &Path, mut sink: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<Digest> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(std::io::Error::other("it is larger than 256 MiB"));
    }
    let mut hash = Sha256::new();
    let mut file = file.take(LARGEST + 1);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::new(hash.finalize().into())),
            n => {
                hash.update(&buffer[..n]);
                sink(&buffer[..n])?;
            }
        }
    }
}

/// Finds a program as a shell does: a name with a slash is a path, any other is searched for.
fn locate(program: &OsStr, search: &OsStr, cwd: &Path) -> Result<PathBuf, IdentityError> {
    let not_found = || IdentityError::NotFound { name: program.to_owned() };
    if program.is_empty() {
        return Err(not_found());
    }
    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(cwd.join(program));
    }
    std::env::split_paths(search)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| is_executable(path))
        .ok_or_else(not_found)
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    let regular = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    regular && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn resolve(program: &str, args: &[&str], search: &str, cwd: &Path) -> Result<Identity, IdentityError> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        Identity::resolve(OsStr::new(program), &args, OsStr::new(search), cwd)
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
