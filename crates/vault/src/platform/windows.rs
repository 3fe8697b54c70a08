//! What Windows says of this machine and user, and where the vault and the notes of its state are kept.

use std::io;
use std::path::PathBuf;

use crate::windows::user;

/// The machine's number (`MachineGuid`) and the user's SID; empty what cannot be read.
pub(crate) fn machine() -> Vec<u8> {
    let mut id = user::machine_guid().unwrap_or_default();
    id.extend(user::sid().map(|sid| sid.as_bytes().to_vec()).unwrap_or_default());
    id
}

/// The state directory, `envseal-state` in the same place as the vault's; there is none of the login.
pub(crate) fn note_directories() -> (Option<PathBuf>, Option<PathBuf>) {
    (user::local_data().ok().map(|dir| dir.join("envseal-state")), None)
}

/// The directory of the vault where nothing else is said: `envseal` in `FOLDERID_LocalAppData`. The variable
/// `LOCALAPPDATA` does not matter; `USERPROFILE` does, and so does the user's part of the registry.
///
/// An error when Windows knows none.
pub fn default_directory() -> io::Result<PathBuf> {
    user::local_data().map(|dir| dir.join("envseal"))
}
