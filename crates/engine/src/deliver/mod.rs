//! Puts secrets where a program finds them: a variable, its standard input, a sealed descriptor.

use std::ffi::OsString;

use envseal_sandbox::Spec;
use envseal_vault::{Delivery, SecretBytes, SecretName, Variable};

use crate::environment;
use crate::handle::Handle;
use crate::request::Wanted;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

#[cfg(unix)]
pub(crate) use system::seal;

/// What a program is started with so that it finds its secrets.
#[derive(Default)]
pub struct Delivered {
    /// Variables to add to its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its standard input, when that carries the secret.
    pub stdin: Option<Handle>,
    /// Files that it finds open.
    files: system::Files,
}

impl Delivered {
    /// Adds what goes into the program's environment, and the files that it finds open.
    pub fn lay(&mut self, spec: Spec) -> Spec {
        self.files.lay(spec.envs(self.env.drain(..)))
    }
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
    #[error("{0} holds a NUL byte, which no environment variable can carry; use --deliver {any}", any = system::ANY_BYTES)]
    Nul(SecretName),
    /// Variables of Windows are text.
    #[error("{0} is not UTF-8, and on Windows an environment variable is text; use --deliver {any}", any = system::ANY_BYTES)]
    NotText(SecretName),
    /// A variable of Windows has at most 32,767 UTF-16 units, its name included.
    #[error("{0} is longer than an environment variable can be; use --deliver {any}", any = system::ANY_BYTES)]
    TooLong(SecretName),
    /// The system hands over no open files by number or path.
    #[error("{0} needs numbered descriptors, which a Windows program does not have; use --deliver stdin")]
    NoDescriptors(Delivery),
    /// The kernel refused.
    #[error("{step}: {source}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Checks, without any value, that the secrets can go this way.
pub fn check(wanted: &[Wanted], how: Delivery) -> Result<(), DeliverError> {
    system::check(how)?;
    if how == Delivery::Stdin && wanted.len() != 1 {
        return Err(DeliverError::ManyOnStdin(wanted.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    match wanted.iter().find(|w| !seen.insert(environment::key(w.variable.as_str()))) {
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
                let text = system::text(variable, name, value.expose())?;
                delivered.env.push((variable.into(), text));
            }
            Delivery::Stdin => delivered.stdin = Some(system::pipe_with(value.expose())?),
            Delivery::Fd | Delivery::File => {
                let entry = delivered.files.add(variable, value.expose(), how)?;
                delivered.env.push(entry);
            }
        }
    }
    Ok(delivered)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    fn wanted(names: &[&str]) -> Vec<Wanted> {
        let wanted = |name: &&str| Wanted { name: "S".parse().unwrap(), variable: name.parse().unwrap() };
        names.iter().map(wanted).collect()
    }

    pub(super) fn one(value: &[u8], how: Delivery) -> Result<Delivered, DeliverError> {
        let secret = ("S".parse().unwrap(), SecretBytes::new(value.to_vec()).unwrap());
        deliver(&wanted(&["A"]), &[secret], how)
    }

    #[test]
    fn a_variable_has_the_value() {
        let delivered = one("päss wörd".as_bytes(), Delivery::Env).unwrap();
        assert_eq!(delivered.env, [("A".into(), "päss wörd".into())]);
    }

    #[test]
    fn the_largest_value_fits_into_a_pipe_that_then_ends() {
        let value = vec![7; 1 << 20];
        let mut read = Vec::new();
        let pipe = one(&value, Delivery::Stdin).unwrap().stdin.take().unwrap();
        File::from(pipe).read_to_end(&mut read).unwrap();
        assert!(read == value);
    }

    #[test]
    fn what_cannot_be_delivered_is_refused_before_anything_starts() {
        assert!(matches!(check(&wanted(&["A", "A"]), Delivery::Env), Err(DeliverError::Twice(_))));
        assert!(matches!(check(&wanted(&["A", "B"]), Delivery::Stdin), Err(DeliverError::ManyOnStdin(2))));
        assert!(matches!(one(b"a\0b", Delivery::Env), Err(DeliverError::Nul(_))));
        assert!(one(b"a\0b", Delivery::Stdin).is_ok());
    }
}
