//! What will run: the executed file opened once, the script it reads, the arguments it gets.
//!
//! A name is looked up as a shell does, symbolic links are followed to the canonical file, and a `#!` line is
//! resolved here instead of by the kernel, so that interpreter and script are both known by their bytes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use envseal_sandbox::{Image, ImageError};
use envseal_vault::{Digest, FileRule, OsText};
use sha2::{Digest as _, Sha256};

use crate::interpreter::{self, Reads};

mod leads;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use leads::Leads;

pub use system::is_path;
pub(crate) use system::open;

/// A program that was found, opened and hashed.
#[derive(Debug)]
pub struct Identity {
    /// The file that will be executed, through the handle that was hashed.
    pub image: Image,
    /// The path it goes by, which is its first argument: the one that was found, its directory canonical. Programs look
    /// for their own files beside it, so it is part of what is allowed, and no link of a caller's can move it.
    pub called: OsText,
    /// All further arguments that it gets. The script among them stands with its directory canonical, whatever was typed
    /// (on Windows the whole path).
    pub argv: Vec<OsString>,
    /// The path by which it is given the script.
    pub script_as: Option<OsText>,
    /// Where in `args` the script stands, when it was typed there.
    pub script_at: Option<usize>,
    /// The script was called, and its `#!` line names the interpreter.
    pub shebang: bool,
    /// The script, for an interpreter.
    pub script: Option<FileRule>,
    /// Files that lead the program to other code by where they are; a grant has to pin them.
    pub leads: Vec<FileRule>,
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
    /// A file that leads the program to other code cannot be read.
    #[error("{}: it leads the program to other code, and cannot be read: {source}", path.display())]
    Lead {
        /// The file.
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
    /// `cwd` is what a relative path is relative to.
    pub fn resolve(
        program: &OsStr,
        args: &[OsString],
        search: Search<'_>,
        cwd: &Path,
    ) -> Result<Self, IdentityError> {
        let found = search.locate(program, cwd)?;
        let image = Image::open(&found)?;
        let Some(shebang) = image.shebang() else {
            let called = system::called(&found);
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
                let given = system::script_as(&path);
                argv[at].clone_from(&given.0);
                let file = file_at(&path).map_err(|source| IdentityError::Script { path, source })?;
                (script, script_at, script_as) = (Some(file), Some(at), Some(given));
            }
            let leads = Leads::of(Path::new(called.as_os_str()), image.path())?;
            let runs_others = leads.unclear || interpreter::is_systems(image.path());
            return Ok(Self {
                image,
                called,
                argv,
                script,
                script_as,
                script_at,
                shebang: false,
                arbitrary: reads == Reads::Arbitrary || runs_others,
                leads: leads.files(),
            });
        };
        // `#!/usr/bin/env NAME` would search PATH a second time, in a process that nobody hashed.
        let (interpreter, option) = match env_target(shebang.interpreter(), shebang.argument()) {
            Some(name) => (search.locate(name, cwd)?, None),
            None => (cwd.join(shebang.interpreter()), shebang.argument().map(OsStr::to_owned)),
        };
        let script = FileRule { path: image.path().to_owned(), sha256: Digest::new(image.sha256()) };
        let interpreter_image = Image::open(&interpreter)?;
        if interpreter_image.shebang().is_some() {
            return Err(IdentityError::NestedScript { path: script.path, interpreter });
        }
        let mut argv: Vec<OsString> = option.into_iter().collect();
        let given = system::script_as(&found);
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
        let called = system::called(&interpreter);
        let leads = Leads::of(Path::new(called.as_os_str()), interpreter_image.path())?;
        let arbitrary = arbitrary || leads.unclear || interpreter::is_systems(interpreter_image.path());
        Ok(Self {
            called,
            image: interpreter_image,
            argv,
            script: Some(script),
            script_as: Some(given),
            script_at: None,
            shebang: true,
            arbitrary,
            leads: leads.files(),
        })
    }

    /// The executed file by path and digest.
    pub fn program(&self) -> FileRule {
        FileRule { path: self.image.path().to_owned(), sha256: Digest::new(self.image.sha256()) }
    }

    /// Hashes program and script again, after the time that an answer took, and looks anew for what leads it.
    pub fn rehash(&mut self) -> Result<(), IdentityError> {
        self.image.rehash()?;
        let leads = Leads::of(Path::new(self.called.as_os_str()), self.image.path())?;
        self.arbitrary |= leads.unclear;
        self.leads = leads.files();
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

/// The file that a path leads to: its canonical path and the digest of its bytes.
pub fn file_at(path: &Path) -> std::io::Result<FileRule> {
    let path = dunce::canonicalize(path)?;
    Ok(FileRule { sha256: hash_file(&path)?, path })
}

/// The largest script or pinned file that is read, in bytes: 256 MiB.
const LARGEST: u64 = 256 << 20;

/// Digest of a regular file. Never waits on a FIFO, never reads a device.
pub fn hash_file(path: &Path) -> std::io::Result<Digest> {
    hash_to(path, |_| Ok(()))
}

/// The same, with every byte that was hashed given to `sink`.
pub fn hash_to(path: &Path, sink: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<Digest> {
    hash_open(open(path)?, sink)
}

/// Digest of an open file, from where it stands.
pub fn hash_open(file: File, mut sink: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<Digest> {
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

/// Where programs are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The value of `PATH`; empty and relative entries are passed over, and so is the current directory.
    pub path: &'a OsStr,
    /// The value of `PATHEXT`, which counts on Windows only: the extensions that a name may be without.
    pub extensions: &'a OsStr,
}

impl Search<'_> {
    /// Finds a program as a shell does: what has a separator in it is a path, any other is searched for.
    fn locate(self, program: &OsStr, cwd: &Path) -> Result<PathBuf, IdentityError> {
        let found = match program.is_empty() {
            true => None,
            false if is_path(program) => system::at(&system::absolute(program, cwd), self),
            false => std::env::split_paths(self.path)
                .filter(|directory| directory.is_absolute())
                .find_map(|directory| system::within(&directory, program, self)),
        };
        found.ok_or_else(|| IdentityError::NotFound { name: program.to_owned() })
    }
}
