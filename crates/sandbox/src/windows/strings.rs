//! Texts of a start in the system's own form: UTF-16, ended by NUL.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::pure::environment::{Invalid, block};
use super::pure::quote::{Unquotable, command_line};
use super::sys::{compare_names, windows_directory};
use crate::{Spec, StartError};

/// Whether two names are one variable.
pub(crate) fn same_name(a: &OsStr, b: &OsStr) -> bool {
    compare_names(&units(a), &units(b)) == Ordering::Equal
}

/// What CreateProcessW takes. Dropped, arguments and variables are overwritten.
pub(super) struct Strings {
    pub(super) program: Vec<u16>,
    pub(super) line: Zeroizing<Vec<u16>>,
    pub(super) environment: Zeroizing<Vec<u16>>,
    pub(super) directory: Option<Vec<u16>>,
}

impl Strings {
    pub(super) fn new(spec: &Spec) -> Result<Strings, StartError> {
        let arguments: Vec<_> = spec.args.iter().map(|argument| Zeroizing::new(units(argument))).collect();
        let line = command_line(&units(&spec.arg0), &arguments).map_err(|why| match why {
            Unquotable::Nul => StartError::Nul { place: "an argument" },
            Unquotable::QuoteInName => {
                unwritable("write a double quote in argument 0, which has no form for it")
            }
            Unquotable::TooLong => unwritable("write a command line of more than 32,766 characters"),
        })?;
        let mut variables: Vec<_> =
            spec.env.iter().map(|(name, value)| (units(name), units(value).into())).collect();
        let root = OsStr::new("SystemRoot");
        if !spec.env.iter().any(|(name, _)| same_name(name, root)) {
            let failed = |source| StartError::System {
                step: "find the directory of Windows (GetSystemWindowsDirectoryW)",
                source,
            };
            variables.push((units(root), units(&windows_directory().map_err(failed)?).into()));
        }
        let environment = block(variables, compare_names).map_err(|why| match why {
            Invalid::Nul => StartError::Nul { place: "the environment" },
            Invalid::Name(name) => StartError::Variable { name: OsString::from_wide(&name) },
        })?;
        let directory = spec.directory.as_deref().map(directory).transpose()?;
        Ok(Strings { program: ended(spec.image.path())?, line, environment, directory })
    }
}

/// Started or not, what the caller named is overwritten: an argument or a variable may be a secret's value.
impl Drop for Spec {
    fn drop(&mut self) {
        let values = self.env.drain(..).map(|(_, value)| value);
        for text in self.args.drain(..).chain(values) {
            text.into_encoded_bytes().zeroize();
        }
    }
}

/// A working directory that is there; the system takes none with the prefix `\\?\`.
fn directory(path: &Path) -> Result<Vec<u16>, StartError> {
    let failed = |source| StartError::Directory { path: path.to_owned(), source };
    if !path.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::NotADirectory.into()));
    }
    ended(dunce::simplified(path))
}

pub(super) fn ended(path: &Path) -> Result<Vec<u16>, StartError> {
    let mut units = units(path.as_os_str());
    if units.contains(&0) {
        return Err(StartError::Nul { place: "a path" });
    }
    units.push(0);
    Ok(units)
}

fn units(text: &OsStr) -> Vec<u16> {
    // No more units than bytes, and a final NUL: no growth, which would leave a copy behind.
    let mut units = Vec::with_capacity(text.len() + 1);
    units.extend(text.encode_wide());
    units
}

fn unwritable(step: &'static str) -> StartError {
    StartError::System { step, source: std::io::ErrorKind::InvalidInput.into() }
}
