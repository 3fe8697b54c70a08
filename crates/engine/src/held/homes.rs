//! Directories that programs make for themselves in a home, made before a program that may not make them.
//!
//! In `Hardened` nothing new can be made directly in a directory above a hidden one: Landlock gives rights to whole
//! trees, so what lies beside the vault is granted entry by entry, as it is at the start. A tool that makes `~/.npm`
//! or `~/.cache` on its first run would fail in a fresh home, and only there. So these are made for it, empty.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// What many programs use, whatever they are (XDG Base Directory Specification).
const COMMON: [&str; 6] = [".cache", ".config", ".local/bin", ".local/lib", ".local/share", ".local/state"];

/// What one kind of program keeps elsewhere, or in a directory of its own beside the vault: its names, and where.
const OWN: [(&[&str], &[&str]); 10] = [
    (&["npm", "npx", "node", "yarn", "pnpm"], &[".npm", ".local/share/pnpm", ".local/state/pnpm"]),
    // Not ~/.rustup: rustup would find no toolchain in an empty one.
    (&["cargo", "rustc", "rustup"], &[".cargo"]),
    (&["go"], &["go"]),
    (&["gem", "ruby"], &[".gem", ".local/share/gem"]),
    (&["uv", "uvx"], &[".local/share/uv"]),
    (&["gh"], &[".local/share/gh", ".local/state/gh"]),
    (&["aws"], &[".aws"]),
    (&["kubectl"], &[".kube"]),
    (&["gpg", "gpg2"], &[".gnupg"]),
    (&["ssh", "scp", "sftp"], &[".ssh"]),
];

/// Makes what a program of these names may need in `home`, mode 0700, where it cannot do so for itself: where `home`
/// is the user's and lies above one of the `hidden` paths. What cannot be made is left out.
pub fn prepare(home: &Path, names: &[&OsStr], hidden: &[PathBuf]) {
    let Ok(home) = home.canonicalize() else { return };
    let is_the_users = home
        .metadata()
        .is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw() && found.is_dir());
    if !is_the_users || !hidden.iter().any(|path| path != &home && path.starts_with(&home)) {
        return;
    }
    let own = OWN.iter().filter(|(of, _)| names.iter().any(|name| of.iter().any(|known| name == known)));
    for directory in COMMON.iter().chain(own.flat_map(|(_, directories)| *directories)) {
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(home.join(directory));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let names = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_tool_finds_its_directories_in_a_fresh_home() {
        let home = tempfile::tempdir().unwrap();
        let hidden = [home.path().canonicalize().unwrap().join(".local/share/envseal")];
        prepare(home.path(), &["node".as_ref(), "npm".as_ref()], &hidden);
        assert_eq!(entries(home.path()), [".cache", ".config", ".local", ".npm"]);
        assert_eq!(entries(&home.path().join(".local")), ["bin", "lib", "share", "state"]);
        assert_eq!(entries(&home.path().join(".local/share")), ["pnpm"]);
        let mode = home.path().join(".npm").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // What is there stays as it is.
        std::fs::write(home.path().join(".cache/x"), "x").unwrap();
        prepare(home.path(), &["cargo".as_ref()], &hidden);
        assert!(home.path().join(".cargo").is_dir() && home.path().join(".cache/x").exists());
    }

    #[test]
    fn a_home_that_hides_nothing_or_is_none_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().canonicalize().unwrap();
        for hidden in [vec![], vec!["/elsewhere/vault".into()], vec![path.clone()]] {
            prepare(&path, &["npm".as_ref()], &hidden);
        }
        prepare(&path.join("missing"), &["npm".as_ref()], &[path.join("missing/vault")]);
        assert!(entries(&path).is_empty());
    }
}
