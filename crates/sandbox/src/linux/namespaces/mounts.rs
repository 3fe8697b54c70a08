//! One step in making what a program sees of the file system.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::RawFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdir, mknodat, open, sendfile, symlink};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change,
};

use super::super::sys;
use super::super::sys_namespaces::set_mount_attributes;

pub(super) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub(super) const NO_SETUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// No way to change anything, nor to run anything.
pub(super) const INERT: u64 = READ_ONLY | NO_SETUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// One step. Relative sources lie in the system's own `/dev`, which is the working directory meanwhile.
#[derive(Debug)]
pub(in super::super) enum Step {
    /// What is mounted elsewhere from now on shall not appear here.
    Private,
    /// Memory as a file system.
    Memory { at: CString, options: CString },
    /// The processes of the PID namespace.
    Processes { at: CString },
    /// Terminals of its own.
    Terminals { at: CString },
    /// A directory; that it is there already is no error.
    Directory { at: CString },
    /// An empty file, to mount on.
    File { at: CString },
    /// A symbolic link.
    Link { at: CString, to: CString },
    /// The bytes of a descriptor.
    Copy { of: RawFd, at: CString, mode: u32 },
    /// What is at one path is at another too, `tree`: with what is mounted beneath. `if_there`: where that
    /// path is.
    Bind { of: CString, at: CString, tree: bool, if_there: bool },
    /// Attributes (MOUNT_ATTR_*) of a mount.
    Attributes { at: CString, tree: bool, set: u64, clear: u64 },
}

impl Step {
    /// Takes the step. Allocates nothing.
    pub(super) fn take(&self) -> rustix::io::Result<()> {
        let own = MountFlags::NOSUID | MountFlags::NOEXEC;
        match self {
            Step::Private => mount_change(c"/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE),
            Step::Memory { at, options } => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                mount(c"tmpfs", at.as_c_str(), c"tmpfs", flags, options.as_c_str())
            }
            Step::Processes { at } => mount(c"proc", at.as_c_str(), c"proc", own | MountFlags::NODEV, None),
            Step::Terminals { at } => {
                mount(c"devpts", at.as_c_str(), c"devpts", own, c"newinstance,ptmxmode=0666,mode=620")
            }
            Step::Directory { at } => match mkdir(at.as_c_str(), Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) => Ok(()),
                made => made,
            },
            Step::File { at } => {
                let made = mknodat(CWD, at.as_c_str(), FileType::RegularFile, Mode::from_raw_mode(0o444), 0);
                if made == Err(Errno::EXIST) { Ok(()) } else { made }
            }
            Step::Link { at, to } => symlink(to.as_c_str(), at.as_c_str()),
            Step::Copy { of, at, mode } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = open(at.as_c_str(), flags, Mode::from_raw_mode(*mode))?;
                let mut offset = 0;
                while sendfile(&file, sys::borrow(*of), Some(&mut offset), 1 << 30)? > 0 {}
                Ok(())
            }
            Step::Bind { of, at, tree, if_there } => {
                let bound = if *tree {
                    mount_bind_recursive(of.as_c_str(), at.as_c_str())
                } else {
                    mount_bind(of.as_c_str(), at.as_c_str())
                };
                // A path beneath one that is covered by now is as good as covered.
                if *if_there && matches!(bound, Err(Errno::NOENT | Errno::NOTDIR)) { Ok(()) } else { bound }
            }
            Step::Attributes { at, tree, set, clear } => {
                let failed = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
                set_mount_attributes(at, *tree, *set, *clear).map_err(failed)
            }
        }
    }
}

/// What was tried, to follow "cannot".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |path: &CString| path.to_string_lossy().into_owned();
        match self {
            Step::Private => f.write_str("take the mounts out of the system's"),
            Step::Memory { at, .. } => write!(f, "mount a tmpfs on {}", text(at)),
            Step::Processes { at } => write!(f, "mount a proc file system on {}", text(at)),
            Step::Terminals { at } => write!(f, "mount terminals on {}", text(at)),
            Step::Directory { at } | Step::File { at } | Step::Link { at, .. } => {
                write!(f, "make {}", text(at))
            }
            Step::Copy { at, .. } => write!(f, "copy a pinned file to {}", text(at)),
            Step::Bind { of, at, .. } => write!(f, "mount {} on {}", text(of), text(at)),
            Step::Attributes { at, .. } => write!(f, "set the attributes of the mount at {}", text(at)),
        }
    }
}
