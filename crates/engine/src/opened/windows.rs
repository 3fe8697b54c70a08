//! Held by open handles that let others read and do nothing else.
//!
//! While such a handle is open, nobody can write, rename or remove the file, nor rename a directory above it: the
//! program that opens the path finds the bytes that were hashed through the handle.

use std::fs::File;
use std::path::Path;

use envseal_sandbox::Spec;
use envseal_sandbox::paths::final_path;
use envseal_vault::{EngineName, FileRule};

use super::NotHeld;
use crate::identity::{hash_open, open};

/// The handle, until the program has ended.
pub type Kept = File;

/// CreateFileW says so of a file that is open, or mapped, for writing (ERROR_SHARING_VIOLATION,
/// ERROR_USER_MAPPED_FILE).
const BUSY: [i32; 2] = [32, 1224];

/// Opens the file, and looks at its place and its bytes through the handle.
pub fn hold(spec: Spec, file: &FileRule, opened_as: &Path, _: EngineName) -> Result<(Spec, Kept), NotHeld> {
    let kept = open(opened_as).map_err(|error| match error.raw_os_error() {
        Some(code) if BUSY.contains(&code) => NotHeld::Busy,
        _ => NotHeld::Changed,
    })?;
    match opened_as == file.path && is_still(&kept, file) {
        true => Ok((spec.opens(&file.path, &kept), kept)),
        false => Err(NotHeld::Changed),
    }
}

/// Where the handle's file is, not what the path leads to by now: from here on that does not change.
fn is_still(kept: &File, file: &FileRule) -> bool {
    let in_place = final_path(kept).is_ok_and(|found| found == file.path);
    let digest = kept.try_clone().and_then(|kept| hash_open(kept, |_| Ok(())));
    in_place && digest.is_ok_and(|found| found == file.sha256)
}

#[cfg(test)]
mod tests {
    use envseal_sandbox::Image;

    use super::*;
    use crate::identity::file_at;

    fn spec() -> Spec {
        Spec::new(Image::open("C:\\windows\\system32\\hostname.exe".as_ref()).unwrap())
    }

    fn refused(file: &FileRule, opened_as: &Path) -> Option<NotHeld> {
        hold(spec(), file, opened_as, EngineName::Private).err()
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
        assert_eq!(refused(&file, &path), Some(NotHeld::Changed), "other bytes are not held");
    }

    #[test]
    fn a_file_that_somebody_may_write_or_that_is_elsewhere_is_not_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dunce::canonicalize(dir.path()).unwrap().join("x.py");
        std::fs::write(&path, "approved").unwrap();
        let file = file_at(&path).unwrap();
        let writer = File::options().write(true).open(&path).unwrap();
        assert_eq!(refused(&file, &path), Some(NotHeld::Busy));
        drop(writer);
        let elsewhere = path.with_file_name("y.py");
        std::fs::copy(&path, &elsewhere).unwrap();
        assert_eq!(refused(&file, &elsewhere), Some(NotHeld::Changed));
        std::fs::rename(&path, path.with_file_name("moved.py")).unwrap();
        assert_eq!(refused(&file, &path), Some(NotHeld::Changed));
        std::fs::rename(path.with_file_name("moved.py"), &path).unwrap();
        assert_eq!(refused(&file, &path), None);
    }
}
