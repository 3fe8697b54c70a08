//! By what the bytes that run can still be others than those that were approved.

use crate::Given;

/// The file systems that refuse a second opening for writing whoever asks, be it from another machine: what such a
/// machine opens goes through them too.
const KNOWN: [&str; 2] = ["NTFS", "ReFS"];

/// Why a handle of a file that shares reading alone does not keep every writer from it; `None` where it does.
///
/// `name` is the kernel's name of the file (`\Device\HarddiskVolume3\x`), `system` its file system's name of itself;
/// an error is the call that failed. Both count: a share of another machine passes on the name of the system there,
/// and a program that serves a drive chooses one.
pub(crate) fn writers(name: Result<&str, String>, system: Result<&str, String>) -> Option<String> {
    let name = match name {
        Ok(name) => name,
        Err(why) => return Some(format!("where it is cannot be told ({why})")),
    };
    let device = name.strip_prefix(r"\Device\").unwrap_or(name);
    let device = device.split('\\').next().unwrap_or_default();
    let number = device.strip_prefix("HarddiskVolume").unwrap_or_default();
    if ["Mup", "LanmanRedirector"].iter().any(|known| known.eq_ignore_ascii_case(device)) {
        return Some(
            "it is on another machine, or in a Linux of this one, where others may write to it".into(),
        );
    }
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("a program may serve its drive ({device}), and change it"));
    }
    match system {
        Ok(system) if KNOWN.contains(&system) => None,
        Ok(system) => Some(format!("its file system ({system}) is none that is known to keep writers away")),
        Err(why) => Some(format!("its file system cannot be told ({why})")),
    }
}

/// What N6 is worth.
///
/// `image` is the program's own file, which runs through its handle and was compared by the kernel's name. `files` are
/// those that it opens by their paths, each with what [`writers`] said, `libraries` the directories in which they
/// are looked for and this user can change something. Never `Yes`: libraries are opened by path, and `\??` belongs
/// to the logon session.
pub(crate) fn approved(image: Given, files: &[Option<String>], libraries: &[String]) -> Given {
    let mut weak = match image {
        Given::Yes => Vec::new(),
        Given::Guarded(why) => vec![why],
        no => return no,
    };
    weak.extend(files.iter().flatten().cloned());
    if !libraries.is_empty() {
        weak.push(format!(
            "libraries are not pinned, and this user can put some into {}",
            libraries.join(", ")
        ));
    }
    let opened = if files.is_empty() { "libraries" } else { "script, pinned files and libraries" };
    weak.push(format!(
        "{opened} are opened by path, and a process of the same logon session can lead a drive letter elsewhere \
         (DefineDosDevice)"
    ));
    Given::Guarded(weak.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(name: &str, system: &str) -> Option<String> {
        writers(Ok(name), Ok(system))
    }

    #[test]
    fn a_disk_of_this_machine_with_a_known_file_system_keeps_writers_away() {
        for system in ["NTFS", "ReFS"] {
            assert_eq!(says(r"\Device\HarddiskVolume3\Users\me\x.py", system), None);
        }
        for system in ["FAT32", "exFAT", "FAT", "UDF", "9P", "", "ntfs2"] {
            let why = says(r"\Device\HarddiskVolume12\x", system).expect("a weakness");
            assert!(why.contains("file system"), "{why}");
        }
    }

    #[test]
    fn the_name_of_a_file_system_elsewhere_is_not_believed() {
        for name in [r"\Device\Mup\server\share\x", r"\Device\Mup\wsl.localhost\Debian\x", r"\Device\MUP\a\b"]
        {
            let why = says(name, "NTFS").expect("a weakness");
            assert!(why.contains("another machine"), "{name}: {why}");
        }
        for name in [
            r"\Device\Volume{6b1f2d90-0000-0000-0000-000000000000}\x",
            r"\Device\HarddiskVolume\x",
            r"\Device\HarddiskVolume3x\x",
            r"\Device\CdRom0\x",
            r"\Device\WinFsp.Disk\x",
            r"C:\x",
            "",
        ] {
            let why = says(name, "NTFS").expect("a weakness");
            assert!(why.contains("serve its drive"), "{name}: {why}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_a_weakness() {
        assert!(writers(Err("error 5".into()), Ok("NTFS")).is_some_and(|why| why.contains("error 5")));
        let volume = writers(Ok(r"\Device\HarddiskVolume1\x"), Err("error 87".into()));
        assert!(volume.is_some_and(|why| why.contains("error 87")));
    }

    fn guarded(given: Given) -> String {
        match given {
            Given::Guarded(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_weakness_is_named_and_none_that_is_not_there() {
        let least = guarded(approved(Given::Yes, &[], &[]));
        assert!(
            least.starts_with("libraries are opened by path") && least.contains("DefineDosDevice"),
            "{least}"
        );
        let script = guarded(approved(Given::Yes, &[None], &[]));
        assert!(script.starts_with("script, pinned files and libraries are opened by path"), "{script}");
        let all = approved(
            Given::Guarded("image".into()),
            &[None, Some("a share".into())],
            &["its directory".into(), "C:\\x".into()],
        );
        let all = guarded(all);
        for part in ["image; a share; ", "into its directory, C:\\x; ", "DefineDosDevice"] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        assert_eq!(approved(Given::No("gone".into()), &[None], &[]), Given::No("gone".into()));
    }
}
