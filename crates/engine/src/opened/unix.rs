//! Held by looking once more, and in the namespace engine by a sealed copy in its place.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use envseal_sandbox::Spec;
use envseal_vault::{EngineName, FileRule};
use rustix::fs::MemfdFlags;

use super::NotHeld;
use crate::deliver::seal;
use crate::identity::{file_at, hash_to};

/// Nothing of the private engine's stays open; a copy goes to the program.
pub type Kept = ();

/// In the namespace engine the program finds these very bytes; in the other they can still be replaced after this
/// (N6 *guarded*).
pub fn hold(
    spec: Spec,
    file: &FileRule,
    opened_as: &Path,
    engine: EngineName,
) -> Result<(Spec, Kept), NotHeld> {
    let spec = match engine {
        EngineName::Private => file_at(opened_as).is_ok_and(|found| found == *file).then_some(spec),
        // The copy is hashed as it is made.
        EngineName::Namespaces if opened_as.canonicalize().is_ok_and(|found| found == file.path) => {
            copy(file).ok().map(|copy| spec.pin(&file.path, copy))
        }
        EngineName::Namespaces => None,
    };
    spec.map(|spec| (spec, ())).ok_or(NotHeld::Changed)
}

/// The approved bytes, in a memory file that nobody can change; an error when the file has others by now.
fn copy(file: &FileRule) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create("envseal", flags)?);
    if hash_to(&file.path, |bytes| copy.write_all(bytes))? != file.sha256 {
        return Err(io::Error::other("it was changed"));
    }
    let bits = file.path.metadata()?.permissions().mode() & 0o555;
    copy.set_permissions(Permissions::from_mode(bits | 0o400))?;
    seal(&copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn a_copy_has_the_approved_bytes_and_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        std::fs::write(&path, "approved").unwrap();
        let file = file_at(&path).unwrap();
        let mut held = copy(&file).unwrap();
        std::fs::write(&path, "replaced").unwrap();
        let mut text = String::new();
        held.rewind().unwrap();
        held.read_to_string(&mut text).unwrap();
        assert_eq!(text, "approved");
        assert!(held.write_all(b"x").is_err() && held.set_len(0).is_err());
        assert!(copy(&file).is_err(), "other bytes are not copied");
    }
}
