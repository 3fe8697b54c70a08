//! Names of Unix: as they are.

use std::ffi::OsString;
use std::path::Path;

use super::Reads;

/// A program's name without what every program's name has.
pub fn without_extension(name: &str) -> &str {
    name
}

/// Whether two names are one.
pub fn same(one: &str, other: &str) -> bool {
    one == other
}

/// Whether it is a program of the system's that starts others under an interpreter's name: there is none.
pub fn is_launcher(_: &Path) -> bool {
    false
}

/// What the system's own interpreters read.
pub fn reads(_: &str, _: &[OsString]) -> Option<Reads> {
    None
}
