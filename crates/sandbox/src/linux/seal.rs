//! A program's bytes in memory that nobody can change and, once executed, nobody can read.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, fcntl_get_seals, memfd_create, sendfile,
};
use rustix::io::Errno;

use crate::{Given, Image};

/// Against all writing from now on (Linux 5.1). F_SEAL_WRITE would say the same here, where nothing is mapped,
/// but first waits for every page that the kernel itself still holds, and may give up with EBUSY.
const SEALS: SealFlags =
    SealFlags::FUTURE_WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);
/// Missing in rustix; include/uapi/linux/memfd.h and fcntl.h (Linux 6.3).
const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);

/// A memory file that can be executed, closed on execution.
pub(super) fn executable_memory(name: &[u8], flags: MemfdFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | MemfdFlags::CLOEXEC;
    match memfd_create(name, flags | MFD_EXEC) {
        // Before Linux 6.3 all of them can.
        Err(Errno::INVAL) => memfd_create(name, flags),
        made => made,
    }
}

/// A sealed copy of `image` of mode 0111, whose bytes are those that were hashed.
///
/// A process that executes a file which it may not read is not dumpable (execve(2)): /proc/PID/mem,
/// environ and ptrace(2) are closed to every process without CAP_SYS_PTRACE.
pub(super) fn seal(image: &Image) -> io::Result<OwnedFd> {
    let name = image.path().file_name().map_or(b"program".as_slice(), OsStr::as_bytes);
    // memfd_create(2) takes 249 bytes.
    let name = &name[..name.len().min(200)];
    let copy = executable_memory(name, MemfdFlags::ALLOW_SEALING)?;
    let mut offset = 0;
    while sendfile(&copy, image.file(), Some(&mut offset), 1 << 30)? > 0 {}
    fchmod(&copy, Mode::from_bits_retain(0o111))?;
    fcntl_add_seals(&copy, SEALS)?;
    let copy = File::from(copy);
    // What nobody could have changed since it was hashed need not be hashed once more.
    if image.guarded() != Given::Yes && crate::image::digest(&copy)? != image.sha256() {
        return Err(io::Error::other("the file changed after it was hashed"));
    }
    Ok(copy.into())
}

/// Whether `image` is sealed.
pub(super) fn is_sealed(image: impl AsFd) -> bool {
    fcntl_get_seals(image).is_ok_and(|seals| seals.contains(SEALS))
}
