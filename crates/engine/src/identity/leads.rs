//! Files that lead a program to other code, though nobody names them: the settings of a Python environment, shims.
//!
//! They are found by where the program is. Who writes one chooses what an allowed program runs, so they belong to what
//! is allowed: a grant that does not pin each of them does not fit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use envseal_vault::{Digest, FileRule};

use super::{IdentityError, hash_to, system};
use crate::interpreter::is_python;

/// The settings of a virtual environment (PEP 405): beside the interpreter, or one directory above.
const SETTINGS: &str = "pyvenv.cfg";

/// The largest file of settings that is read.
const LARGEST: usize = 1 << 20;

/// What was found.
#[derive(Default)]
pub struct Leads {
    /// Canonical, each once.
    files: BTreeMap<PathBuf, Digest>,
    /// What runs stands in no file that is found: a shim's file gives arguments too, and a relative path depends on the
    /// directory.
    pub unclear: bool,
}

impl Leads {
    /// Of a program that is called by `called` and whose canonical file is `image`.
    pub fn of(called: &Path, image: &Path) -> Result<Self, IdentityError> {
        let mut leads = Self::default();
        let name = |path: &Path| path.file_name().is_some_and(is_python);
        if name(called) || name(image) {
            for directory in system::directories_of(called, image) {
                leads.settings(&directory, called.file_name().unwrap_or_default())?;
            }
        }
        leads.unclear |= system::shim(&mut leads, image)?;
        Ok(leads)
    }

    /// In the order of their paths.
    pub fn files(self) -> Vec<FileRule> {
        self.files.into_iter().map(|(path, sha256)| FileRule { path, sha256 }).collect()
    }

    /// Both places are looked at, though the nearer one wins: either can be filled later.
    fn settings(&mut self, directory: &Path, name: &OsStr) -> Result<(), IdentityError> {
        for place in [Some(directory), directory.parent()].into_iter().flatten() {
            if let Some(text) = self.take(&place.join(SETTINGS))? {
                system::follow(self, &text, name)?;
            }
        }
        system::beside(self, directory)
    }

    /// Adds a file, where there is one, and gives its text.
    pub(super) fn take(&mut self, path: &Path) -> Result<Option<String>, IdentityError> {
        let failed = |source| IdentityError::Lead { path: path.to_owned(), source };
        let found = match dunce::canonicalize(path) {
            Ok(found) => found,
            Err(error) if is_nowhere(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        let more = |part: &[u8]| {
            bytes.extend_from_slice(part);
            if bytes.len() > LARGEST { Err(io::Error::other("it is larger than 1 MiB")) } else { Ok(()) }
        };
        let sha256 = hash_to(&found, more).map_err(failed)?;
        self.files.insert(found, sha256);
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Adds a file that is not read, where there is one.
    #[cfg_attr(unix, expect(dead_code, reason = "on Unix none of them starts a program"))]
    pub(super) fn take_program(&mut self, path: &Path) -> Result<(), IdentityError> {
        let failed = |source| IdentityError::Lead { path: path.to_owned(), source };
        match dunce::canonicalize(path) {
            Ok(found) => {
                let sha256 = super::hash_file(&found).map_err(failed)?;
                self.files.insert(found, sha256);
                Ok(())
            }
            Err(error) if is_nowhere(&error) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn is_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Every value of `key = value`, whatever the key's case; without the quotes around it.
#[cfg_attr(unix, cfg_attr(not(test), expect(dead_code, reason = "on Unix none of them starts a program")))]
pub(super) fn values<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    let lines = text.trim_start_matches('\u{feff}').lines();
    let pairs = lines.filter_map(|line| line.split_once('='));
    let mine = pairs.filter(move |(name, _)| name.trim().eq_ignore_ascii_case(key));
    mine.map(|(_, value)| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
        values(text, key).collect()
    }

    #[test]
    fn settings_are_read_as_their_readers_do() {
        let shim = "\u{feff}path = \"C:\\apps\\real tool.exe\"\r\nargs = --x=1\r\n";
        assert_eq!(all(shim, "path"), ["C:\\apps\\real tool.exe"]);
        assert_eq!(all(shim, "args"), ["--x=1"]);
        let settings =
            "HOME=/usr/bin\nhome = /opt/bin  \ninclude-system-site-packages = false\nhomes = x\nhome\n";
        assert_eq!(all(settings, "home"), ["/usr/bin", "/opt/bin"]);
        assert!(all("", "home").is_empty() && all("path", "path").is_empty());
    }

    #[test]
    fn a_file_of_settings_that_cannot_be_read_is_an_error_and_none_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut leads = Leads::default();
        assert_eq!(leads.take(&dir.path().join("missing")).unwrap(), None);
        std::fs::write(dir.path().join("large"), vec![b'x'; LARGEST + 1]).unwrap();
        let error = leads.take(&dir.path().join("large")).unwrap_err();
        assert!(error.to_string().contains("1 MiB"), "{error}");
        assert!(leads.take(dir.path()).is_err(), "a directory");
        assert!(leads.files().is_empty());
    }
}
