//! Which files and sockets a program of the tier `Hardened` or above never reaches.
//!
//! Sockets of this user's own services (ssh-agent, gpg-agent, the session bus, the user's systemd, Wayland,
//! PulseAudio, PipeWire, tmux, editors) need no list: a listener of the same user outside the program's
//! tree is refused, whatever its path is. The lists are for services that belong to others.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files and sockets here are out of reach: the runtime directories of users.
pub(super) const RUNTIME: &str = "/run/user";

/// Sockets at or beneath these are never connected to: buses, managers and daemons that act with more
/// rights than the user has, desktops, smart cards.
pub(super) const SOCKETS: [&str; 30] = [
    RUNTIME,
    "/run/dbus",
    "/run/systemd",
    "/run/udev",
    "/run/docker.sock",
    "/run/docker",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/buildkit",
    "/run/libvirt",
    "/run/lxd.socket",
    "/var/lib/lxd",
    "/var/lib/incus",
    "/var/snap/lxd",
    "/run/snapd.socket",
    "/run/snapd-snap.socket",
    "/run/pcscd",
    "/run/tpm2-abrmd",
    "/run/NetworkManager",
    "/run/acpid.socket",
    "/run/screen",
    "/run/.heim_org.h5l.kcm-socket",
    "/run/gssproxy.sock",
    "/run/k3s",
    "/run/tailscale",
    "/var/lib/gssproxy",
    "/nix/var/nix/daemon-socket",
    "/tmp/.X11-unix",
    "/tmp/.ICE-unix",
];

/// A set of paths that are out of reach with all that is beneath them.
#[derive(Debug, Default)]
pub(super) struct Hidden(BTreeSet<PathBuf>);

impl Hidden {
    /// Resolves links in `paths`, as far as they exist.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Hidden {
        Hidden(paths.into_iter().map(resolve).collect())
    }

    /// Whether `path`, canonical, is one of them or beneath one.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.0.iter().any(|hidden| path.starts_with(hidden))
    }

    /// Whether one of them lies beneath `path`, canonical.
    pub(super) fn lies_beneath(&self, path: &Path) -> bool {
        self.0.iter().any(|hidden| hidden != path && hidden.starts_with(path))
    }

    /// Those that are no directories, or not there: what takes their place can have another inode.
    pub(super) fn without_directories(&self) -> Hidden {
        Hidden(self.0.iter().filter(|path| !path.is_dir()).cloned().collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }
}

/// The canonical form of the part of `path` that exists, and the rest as it is.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut known = path;
    loop {
        if let Ok(canonical) = known.canonicalize() {
            return rest.into_iter().rev().fold(canonical, |path, name| path.join(name));
        }
        match (known.parent(), known.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name);
                known = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            }
            _ => return path.to_owned(),
        }
    }
}

/// Whether `path` is `prefix` or beneath it. For code that cannot allocate.
pub(super) fn is_beneath(path: &[u8], prefix: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix.strip_suffix(b"/").unwrap_or(prefix));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The bytes of a path.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_covered_by_names_not_by_letters() {
        let hidden = Hidden::new([Path::new("/nowhere/vault")]);
        assert!(hidden.covers(Path::new("/nowhere/vault")) && hidden.covers(Path::new("/nowhere/vault/a")));
        assert!(!hidden.covers(Path::new("/nowhere/vaults")) && !hidden.covers(Path::new("/nowhere")));
        assert!(
            hidden.lies_beneath(Path::new("/nowhere")) && !hidden.lies_beneath(Path::new("/nowhere/vault"))
        );
        assert!(is_beneath(b"/run/user/1", b"/run/user") && is_beneath(b"/run/user", b"/run/user/"));
        assert!(!is_beneath(b"/run/users", b"/run/user") && is_beneath(b"/a", b"/"));
    }

    #[test]
    fn links_are_resolved_and_what_is_missing_is_kept() {
        let room = tempfile::tempdir().expect("a directory");
        let real = room.path().canonicalize().expect("a path").join("real");
        std::fs::create_dir(&real).expect("a directory");
        std::os::unix::fs::symlink(&real, room.path().join("link")).expect("a link");
        assert_eq!(resolve(&room.path().join("link/not/there")), real.join("not/there"));
    }
}
