//! Delivery by what Windows has: text in variables, and a pipe as standard input.

use std::ffi::OsString;
use std::io::Write as _;

use envseal_sandbox::Spec;
use envseal_vault::{Delivery, SecretName};
use zeroize::Zeroizing;

use super::DeliverError;
use crate::handle::Handle;

/// The deliveries that carry any bytes.
pub const ANY_BYTES: &str = "stdin";

/// The most UTF-16 units of a variable: its name, `=`, its value and the end (SetEnvironmentVariableW).
const LONGEST: usize = 32_767;

/// A program of Windows has no numbered descriptors, and nothing like `/dev/fd`.
pub fn check(how: Delivery) -> Result<(), DeliverError> {
    match how {
        Delivery::Env | Delivery::Stdin => Ok(()),
        Delivery::Fd | Delivery::File => Err(DeliverError::NoDescriptors(how)),
    }
}

/// A value as that of a variable, which is UTF-16.
pub fn text(variable: &str, name: &SecretName, value: &[u8]) -> Result<OsString, DeliverError> {
    let text = std::str::from_utf8(value).map_err(|_| DeliverError::NotText(name.clone()))?;
    if variable.len() + 2 + text.encode_utf16().count() > LONGEST {
        return Err(DeliverError::TooLong(name.clone()));
    }
    Ok(text.into())
}

/// No open files are handed over.
#[derive(Default)]
pub struct Files;

impl Files {
    /// Refuses, as [`check`] does before.
    pub fn add(&mut self, _: &str, _: &[u8], how: Delivery) -> Result<(OsString, OsString), DeliverError> {
        Err(DeliverError::NoDescriptors(how))
    }

    /// Hands over nothing.
    pub fn lay(&mut self, spec: Spec) -> Spec {
        spec
    }
}

/// A pipe that carries the value and ends. A thread writes it, because a pipe of Windows holds no more than its
/// reader takes; the thread ends with the value, or with the reader.
pub fn pipe_with(value: &[u8]) -> Result<Handle, DeliverError> {
    let failed = |step| move |source| DeliverError::System { step, source };
    let (read, mut write) = std::io::pipe().map_err(failed("CreatePipe"))?;
    let value = Zeroizing::new(value.to_vec());
    let feed = move || {
        // A program that does not read its input to the end has a right to that.
        let _ = write.write_all(&value);
    };
    std::thread::Builder::new().spawn(feed).map_err(failed("a thread for standard input"))?;
    Ok(read.into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::one;
    use super::*;

    #[test]
    fn what_a_variable_cannot_carry_is_refused_with_the_way_on() {
        let not_text = one(b"\xff\xfe", Delivery::Env).err().unwrap();
        assert!(matches!(not_text, DeliverError::NotText(_)), "{not_text}");
        assert!(not_text.to_string().ends_with("use --deliver stdin"), "{not_text}");
        let most = vec![b'x'; LONGEST - 3];
        assert_eq!(one(&most, Delivery::Env).unwrap().env[0].1.len(), most.len());
        let longer = vec![b'x'; LONGEST - 2];
        assert!(matches!(one(&longer, Delivery::Env), Err(DeliverError::TooLong(_))));
    }

    #[test]
    fn descriptors_are_refused_before_a_value_is_there() {
        for how in [Delivery::Fd, Delivery::File] {
            assert!(matches!(super::super::check(&[], how), Err(DeliverError::NoDescriptors(_))), "{how}");
            assert!(matches!(one(b"x", how), Err(DeliverError::NoDescriptors(_))), "{how}");
        }
    }
}
