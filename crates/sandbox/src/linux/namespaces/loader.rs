//! The loader that nobody can read, in the place of the one that a program names.
//!
//! The kernel asks whether a program's interpreter may be read too, and makes the process undumpable in the
//! user namespace that the interpreter's owner is in: the initial one, where the user owns nothing.

use std::ffi::{CStr, CString};
use std::fs::Metadata;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::super::hidden::bytes;
use super::super::launch::{DIRECTORY, LOADER, check_way, interpreter};
use super::super::sys_namespaces::{is_opened_by_handle, next_mount_namespace};
use super::Kind;
use crate::{Spec, Tier};

/// Bytes of an image in which its loader is named.
const HEAD: usize = 64 * 1024;

/// The installed loader, and where it has to be seen.
pub(super) struct Shield {
    pub(super) installed: CString,
    pub(super) at: PathBuf,
}

/// What shields `spec`, in `Lockdown`: below it the watcher answers for connect(2), for which it reads the
/// program's memory, and it could not read that one either.
pub(super) fn shield(spec: &Spec) -> Option<Shield> {
    if spec.tier != Tier::Lockdown {
        return None;
    }
    let installed = Path::new(DIRECTORY).join(LOADER);
    let copy = installed.symlink_metadata().ok().filter(is_unreadable)?;
    let mut head = vec![0; HEAD];
    let length = super::super::read_at(spec.image.file(), &mut head, 0).ok()?;
    let at = interpreter(&head[..length])?.canonicalize().ok()?;
    let named = at.symlink_metadata().ok()?;
    // A mount on a path that the user can rename is one that the user can take away.
    check_way(installed.parent()?).ok()?;
    check_way(at.parent()?).ok()?;
    // The installation gives the copy the time of what it copied.
    let same = named.is_file()
        && (named.uid(), named.size(), named.mtime(), named.mtime_nsec())
            == (0, copy.size(), copy.mtime(), copy.mtime_nsec());
    let installed = CString::new(bytes(&installed)).ok()?;
    same.then_some(Shield { installed, at })
}

fn is_unreadable(copy: &Metadata) -> bool {
    copy.is_file() && (copy.uid(), copy.mode() & 0o7777) == (0, 0o711)
}

/// Whether this kernel hands a namespace to the user who owns it, without asking whether that user may look
/// into a process that is in it. Such a user enters, with every right, before the program is executed, and
/// takes the loader away or puts another library in its place.
///
/// There are two ways, each open in some kernels: from one mount namespace to the next (NS_MNT_GET_NEXT of
/// ioctl_nsfs(2), Linux 6.12), and file handles of namespaces, whose numbers can be guessed
/// (open_by_handle_at(2), Linux 6.18). Tried in the outer watcher before it enters the namespace of which
/// `user` is the file; allocates nothing.
pub(super) fn are_namespaces_handed_out(user: &CStr) -> bool {
    let open_file = |path: &CStr| open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let (Ok(own), Ok(user)) = (open_file(Kind::Mount.file()), open_file(user)) else { return true };
    let next = match next_mount_namespace(own.as_fd()) {
        // Not allowed, or not known.
        Err(error) => !matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::NOTTY)),
        Ok(_) => true,
    };
    next || is_opened_by_handle(user.as_fd())
}
