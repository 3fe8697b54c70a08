//! A directory for the temporary files of one program, which its container opens and nobody else of the user's
//! containers does.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;

use super::start::container_name;
use super::sys_container::{identifier, make_directory};
use super::sys_security::{Descriptor, Sid};
use super::sys_token::Token;
use crate::Image;

/// Makes `path`, which must not be there, a directory for this user and for the container that `image` has in
/// [`Tier::Lockdown`](crate::Tier::Lockdown). It is so from the beginning, and what is made in it too.
///
/// Where the system has no containers it is this user's alone. Whether the container opens it is looked at by the
/// start (`AccessCheck`), for which it is named by [`Spec::write`](crate::Spec::write).
pub fn scratch(path: &Path, image: &Image) -> io::Result<()> {
    let user = Token::own()?.user()?.text()?;
    let container = identifier(&container_name(image)).ok();
    let container = container.map(|sid| sid.text()).transpose()?;
    let closed = Descriptor::from_text(&access(&user, container.as_deref()))?;
    let units: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    make_directory(&units, &closed)
}

/// Who this process runs as.
pub(super) fn this_user() -> io::Result<Sid> {
    Token::own()?.user()
}

/// All for the user; to read, change, execute and delete for the container (SDDL, `icacls` calls it M). A container's
/// integrity is low, so that the label must be, too: without one it could not write there.
fn access(user: &str, container: Option<&str>) -> String {
    let own = format!("O:{user}D:P(A;OICI;FA;;;{user})");
    match container {
        Some(container) => format!("{own}(A;OICI;0x1301bf;;;{container})S:(ML;OICI;NW;;;LW)"),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::super::paths::windows;
    use super::super::sys_security::text;
    use super::*;

    const CONTAINER: &str = "S-1-15-2-1-2-3-4-5-6-7";

    /// As the system itself reads it: Wine keeps no entry of a container on a file, and reads them all the same.
    #[test]
    fn the_container_may_change_what_is_in_it_and_nobody_else_of_the_users_containers() {
        let user = Token::own().and_then(|token| token.user()).and_then(|user| user.text()).expect("a user");
        let asked = access(&user, Some(CONTAINER));
        let descriptor = Descriptor::from_text(&asked).expect("a descriptor");
        let list = format!("D:P(A;OICI;FA;;;{user})(A;OICI;0x1301bf;;;{CONTAINER})");
        let written = text(&descriptor).expect("text");
        let label = written.strip_prefix(&format!("O:{user}{list}"));
        // Wine reads a label and has no word to write its kind; CC and NW are one bit.
        assert!(matches!(label, Some("S:(ML;OICI;NW;;;LW)" | "S:P(;OICI;CC;;;LW)")), "{written}");
        let alone = Descriptor::from_text(&access(&user, None)).expect("a descriptor");
        assert_eq!(text(&alone).expect("text"), format!("O:{user}D:P(A;OICI;FA;;;{user})"));
    }

    #[test]
    fn a_directory_is_made_once_for_its_user() {
        use std::os::windows::io::AsHandle;

        use windows_sys::Win32::Security::Authorization::SE_FILE_OBJECT;
        use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("own");
        let image =
            Image::open(&windows().expect("Windows").join("system32/hostname.exe")).expect("a program");
        scratch(&path, &image).expect("made");
        std::fs::write(path.join("x"), "x").expect("its user writes there");
        let opened = super::super::open::directory_with(&path, READ_CONTROL).expect("opened");
        let found = Descriptor::of(opened.as_handle(), SE_FILE_OBJECT);
        let user = Token::own().and_then(|token| token.user()).expect("a user");
        let found = found.expect("a descriptor");
        assert_eq!(found.owner().expect("an owner"), user);
        let shown = text(&found).expect("text");
        let user = user.text().expect("text");
        assert!(shown.contains(&format!("(A;OICI;FA;;;{user})")), "{shown}");
        // What is shared with others above it is not inherited.
        assert!(!shown.contains(";;;WD)") && !shown.contains(";;;BU)"), "{shown}");
        assert!(scratch(&path, &image).is_err(), "one that is there is not taken over");
        assert!(scratch(&place.path().join("no/way"), &image).is_err());
    }
}
