//! Puts secrets where a program finds them: a variable, its standard input, a sealed descriptor.

use std::ffi::OsString;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;

use envseal_vault::{Delivery, SecretBytes, SecretName, Variable};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::request::Wanted;

/// What a program is started with so that it finds its secrets.
#[derive(Default)]
pub struct Delivered {
    /// Variables to add to its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its standard input, when that carries the secret.
    pub stdin: Option<OwnedFd>,
    /// Descriptors to hand over, each under its number.
    pub descriptors: Vec<(OwnedFd, i32)>,
}

impl Drop for Delivered {
    fn drop(&mut self) {
        for (_, value) in &mut self.env {
            zeroize::Zeroize::zeroize(&mut std::mem::take(value).into_encoded_bytes());
        }
    }
}

/// Why a secret cannot be delivered in the way asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// Two secrets under one variable.
    #[error("{0} would carry two secrets")]
    Twice(Variable),
    /// Standard input carries one secret.
    #[error("standard input can carry one secret, not {0}")]
    ManyOnStdin(usize),
    /// An environment variable ends at a NUL byte.
    #[error("{0} holds a NUL byte, which no environment variable can carry; use --deliver fd or file")]
    Nul(SecretName),
    /// The kernel refused.
    #[error("{step}: {source}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// The first descriptor that is handed over.
const FIRST: i32 = 3;

/// Checks, without any value, that the secrets can go this way.
pub fn check(wanted: &[Wanted], how: Delivery) -> Result<(), DeliverError> {
    if how == Delivery::Stdin && wanted.len() != 1 {
        return Err(DeliverError::ManyOnStdin(wanted.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    match wanted.iter().find(|w| !seen.insert(&w.variable)) {
        Some(twice) => Err(DeliverError::Twice(twice.variable.clone())),
        None => Ok(()),
    }
}

/// Prepares the delivery of `secrets`, which stand in the order of `wanted`.
pub fn deliver(
    wanted: &[Wanted],
    secrets: &[(SecretName, SecretBytes)],
    how: Delivery,
) -> Result<Delivered, DeliverError> {
    check(wanted, how)?;
    let mut delivered = Delivered::default();
    for (wanted, (name, value)) in wanted.iter().zip(secrets) {
        let variable = wanted.variable.as_str();
        match how {
            Delivery::Env => {
                if value.expose().contains(&0) {
                    return Err(DeliverError::Nul(name.clone()));
                }
                delivered.env.push((variable.into(), os_string(value.expose())));
            }
            Delivery::Stdin => delivered.stdin = Some(pipe_with(value.expose())?),
            Delivery::Fd | Delivery::File => {
                let number = FIRST + i32::try_from(delivered.descriptors.len()).unwrap_or(i32::MAX);
                delivered.descriptors.push((sealed_file(value.expose())?, number));
                let entry = match how {
                    Delivery::Fd => (format!("{variable}_FD").into(), number.to_string().into()),
                    _ => (format!("{variable}_FILE").into(), format!("/dev/fd/{number}").into()),
                };
                delivered.env.push(entry);
            }
        }
    }
    Ok(delivered)
}

fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

/// A pipe that holds the whole value and nothing else: whoever reads it empties it.
///
/// A value is at most 1 MiB, which is the largest pipe that an ordinary user may have (pipe(7),
/// `/proc/sys/fs/pipe-max-size`).
fn pipe_with(value: &[u8]) -> Result<OwnedFd, DeliverError> {
    let failed = |step| move |source: rustix::io::Errno| DeliverError::System { step, source: source.into() };
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed("pipe"))?;
    if value.len() > rustix::pipe::fcntl_getpipe_size(&write).map_err(failed("F_GETPIPE_SZ"))? {
        rustix::pipe::fcntl_setpipe_size(&write, value.len()).map_err(failed("F_SETPIPE_SZ"))?;
    }
    let mut write = std::fs::File::from(write);
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
    let mut file = std::fs::File::from(file);
    file.write_all(value)
        .and_then(|()| file.rewind())
        .map_err(|source| DeliverError::System { step: "write to a memory file", source })?;
    seal(&file).map_err(failed("F_ADD_SEALS"))?;
    Ok(file.into())
}

/// Keeps everybody from changing, growing or shrinking a memory file, for good.
pub(crate) fn seal(file: &std::fs::File) -> rustix::io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file, seals)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn wanted(names: &[&str]) -> Vec<Wanted> {
        let wanted = |name: &&str| Wanted { name: "S".parse().unwrap(), variable: name.parse().unwrap() };
        names.iter().map(wanted).collect()
    }

    fn secret(value: &[u8]) -> (SecretName, SecretBytes) {
        ("S".parse().unwrap(), SecretBytes::new(value.to_vec()).unwrap())
    }

    #[test]
    fn a_sealed_file_reads_whole_and_cannot_be_written() {
        let value = vec![7; 1 << 20];
        let mut file = std::fs::File::from(sealed_file(&value).unwrap());
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == value);
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn the_largest_value_fits_into_a_pipe_that_then_ends() {
        let value = vec![7; 1 << 20];
        let mut read = Vec::new();
        std::fs::File::from(pipe_with(&value).unwrap()).read_to_end(&mut read).unwrap();
        assert!(read == value);
    }

    #[test]
    fn what_cannot_be_delivered_is_refused_before_anything_starts() {
        assert!(matches!(check(&wanted(&["A", "A"]), Delivery::Env), Err(DeliverError::Twice(_))));
        assert!(matches!(check(&wanted(&["A", "B"]), Delivery::Stdin), Err(DeliverError::ManyOnStdin(2))));
        let nul = deliver(&wanted(&["A"]), &[secret(b"a\0b")], Delivery::Env);
        assert!(matches!(nul, Err(DeliverError::Nul(_))));
        assert!(deliver(&wanted(&["A"]), &[secret(b"a\0b")], Delivery::Fd).is_ok());
    }
}
