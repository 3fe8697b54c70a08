//! Delivery by what Unix has: a pipe that holds a whole value, memory files under descriptor numbers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;

use envseal_sandbox::Spec;
use envseal_vault::{Delivery, SecretName};
use rustix::fs::{MemfdFlags, SealFlags};

use super::DeliverError;

/// The deliveries that carry any bytes.
pub const ANY_BYTES: &str = "fd or file";

/// The first descriptor that is handed over.
const FIRST: i32 = 3;

/// Every delivery can be made.
pub fn check(_: Delivery) -> Result<(), DeliverError> {
    Ok(())
}

/// A value as that of a variable; the system takes any bytes but NUL.
pub fn text(_: &str, _: &SecretName, value: &[u8]) -> Result<OsString, DeliverError> {
    Ok(OsString::from_vec(value.to_vec()))
}

/// Sealed memory files, each under its number.
#[derive(Default)]
pub struct Files(Vec<(OwnedFd, i32)>);

impl Files {
    /// Puts a value into one; returns the variable that says where it is.
    pub fn add(
        &mut self,
        variable: &str,
        value: &[u8],
        how: Delivery,
    ) -> Result<(OsString, OsString), DeliverError> {
        let number = FIRST + i32::try_from(self.0.len()).unwrap_or(i32::MAX);
        self.0.push((sealed_file(value)?, number));
        Ok(match how {
            Delivery::Fd => (format!("{variable}_FD").into(), number.to_string().into()),
            _ => (format!("{variable}_FILE").into(), format!("/dev/fd/{number}").into()),
        })
    }

    /// Hands them over.
    pub fn lay(&mut self, spec: Spec) -> Spec {
        self.0.drain(..).fold(spec, |spec, (file, number)| spec.descriptor(file, number))
    }
}

/// A pipe that holds the whole value and nothing else: whoever reads it empties it.
///
/// A value is at most 1 MiB, which is the largest pipe that an ordinary user may have (pipe(7),
/// `/proc/sys/fs/pipe-max-size`).
pub fn pipe_with(value: &[u8]) -> Result<OwnedFd, DeliverError> {
    let failed = |step| move |source: rustix::io::Errno| DeliverError::System { step, source: source.into() };
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("pipe"))?;
    if value.len() > rustix::pipe::fcntl_getpipe_size(&write).map_err(failed("F_GETPIPE_SZ"))? {
        rustix::pipe::fcntl_setpipe_size(&write, value.len()).map_err(failed("F_SETPIPE_SZ"))?;
    }
    let mut write = File::from(write);
    write.write_all(value).map_err(|source| DeliverError::System { step: "write to a pipe", source })?;
    Ok(read)
}

/// A file in memory that nobody can change, grow, shrink or execute any more (memfd_create(2)).
fn sealed_file(value: &[u8]) -> Result<OwnedFd, DeliverError> {
    let failed = |step| move |source: rustix::io::Errno| DeliverError::System { step, source: source.into() };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("envseal", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create("envseal", flags)) // before Linux 6.3
        .map_err(failed("memfd_create"))?;
    let mut file = File::from(file);
    file.write_all(value)
        .and_then(|()| file.rewind())
        .map_err(|source| DeliverError::System { step: "write to a memory file", source })?;
    seal(&file).map_err(failed("F_ADD_SEALS"))?;
    Ok(file.into())
}

/// Keeps everybody from changing, growing or shrinking a memory file, for good.
pub(crate) fn seal(file: &File) -> rustix::io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file, seals)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::tests::one;
    use super::*;

    #[test]
    fn a_sealed_file_reads_whole_and_cannot_be_written() {
        let value = vec![7; 1 << 20];
        let mut file = File::from(sealed_file(&value).unwrap());
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == value);
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn a_value_of_any_bytes_goes_by_descriptor() {
        let delivered = one(b"a\0b", Delivery::Fd).unwrap();
        assert_eq!(delivered.env, [("A_FD".into(), "3".into())]);
        assert_eq!(one(b"\xff", Delivery::File).unwrap().env, [("A_FILE".into(), "/dev/fd/3".into())]);
        assert!(one(b"\xff", Delivery::Env).is_ok());
    }
}
