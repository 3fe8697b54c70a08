//! Held by open handles that let others read and do nothing else.
//!
//! While such a handle is open, nobody can write, rename or remove the file, nor rename a directory above it: the
//! program that opens the path finds the bytes that were hashed through the handle.

use std::fs::File;
use std::path::Path;

use envseal_sandbox::Spec;
use envseal_sandbox::paths::final_path;
use envseal_vault::{EngineName, FileRule};

use crate::identity::{hash_open, open};

/// The handle, until the program has ended.
pub type Kept = File;

/// Opens the file, and looks at its place and its bytes through the handle. `None` when they are others by now, or
/// when somebody has it open for writing.
pub fn hold(spec: Spec, file: &FileRule, opened_as: &Path, _: EngineName) -> Option<(Spec, Kept)> {
    let kept = open(opened_as).ok()?;
    // Where the handle's file is, not what the path leads to by now. From here on that does not change.
    let in_its_place = final_path(&kept).ok()? == file.path && opened_as == file.path;
    let same = in_its_place && hash_open(kept.try_clone().ok()?, |_| Ok(())).ok()? == file.sha256;
    same.then_some((spec, kept))
}

#[cfg(test)]
mod tests {
    use envseal_sandbox::Image;

    use super::*;
    use crate::identity::file_at;

    fn spec() -> Spec {
        Spec::new(Image::open("C:\\windows\\system32\\hostname.exe".as_ref()).unwrap())
    }

    #[test]
    fn a_file_that_is_held_stays_as_it_is_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dunce::canonicalize(dir.path()).unwrap().join("x.py");
        std::fs::write(&path, "approved").unwrap();
        let file = file_at(&path).unwrap();
        let (_, kept) = hold(spec(), &file, &path, EngineName::Private).unwrap();
        assert!(std::fs::write(&path, "replaced").is_err() && std::fs::remove_file(&path).is_err());
        assert!(std::fs::rename(&path, path.with_extension("old")).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"approved", "an interpreter reads it");
        drop(kept);
        std::fs::write(&path, "replaced").unwrap();
        assert!(hold(spec(), &file, &path, EngineName::Private).is_none(), "other bytes are not held");
    }

    #[test]
    fn a_file_that_somebody_may_write_or_that_is_elsewhere_is_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dunce::canonicalize(dir.path()).unwrap().join("x.py");
        std::fs::write(&path, "approved").unwrap();
        let file = file_at(&path).unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        assert!(hold(spec(), &file, &path, EngineName::Private).is_none());
        drop(writer);
        let elsewhere = path.with_file_name("y.py");
        std::fs::copy(&path, &elsewhere).unwrap();
        assert!(hold(spec(), &file, &elsewhere, EngineName::Private).is_none());
        assert!(hold(spec(), &file, &path, EngineName::Private).is_some());
    }
}
