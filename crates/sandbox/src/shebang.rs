//! The `#!` line of a script, read as the Linux kernel reads it (`binfmt_script`, execve(2)).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// How many bytes of a file the kernel looks at (`BINPRM_BUF_SIZE`, 256 since Linux 5.1).
pub(crate) const LOOKS_AT: usize = 256;

/// The interpreter line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shebang {
    interpreter: PathBuf,
    argument: Option<OsString>,
}

impl Shebang {
    /// The interpreter, as written: it may be relative, a link, or itself a script.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// All that follows the interpreter, as one argument; blanks around it are not part of it.
    pub fn argument(&self) -> Option<&OsStr> {
        self.argument.as_deref()
    }

    /// `head` is the start of the file, at most [`LOOKS_AT`] bytes of it. `Ok(None)` without `#!`.
    pub(crate) fn parse(head: &[u8]) -> Result<Option<Shebang>, InvalidShebang> {
        let head = &head[..head.len().min(LOOKS_AT)];
        let Some(rest) = head.strip_prefix(b"#!") else { return Ok(None) };
        let whole_file = head.len() < LOOKS_AT;
        let line = match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => &rest[..end],
            None if whole_file => rest,
            // The kernel drops the buffer's last byte and then needs proof that the path has ended.
            None => {
                let line = &rest[..rest.len() - 1];
                let path = line.trim_ascii_blank_start();
                if !path.iter().any(|&byte| is_blank(byte) || byte == 0) {
                    return Err(InvalidShebang::Truncated);
                }
                line
            }
        };
        let line = line.trim_ascii_blank_start().trim_ascii_blank_end();
        let end = line.iter().position(|&byte| is_blank(byte) || byte == 0).unwrap_or(line.len());
        let (interpreter, rest) = line.split_at(end);
        if interpreter.is_empty() {
            return Err(InvalidShebang::NoInterpreter);
        }
        let argument = match rest.first() {
            None | Some(0) => None,
            Some(_) => {
                let argument = rest.trim_ascii_blank_start();
                let end = argument.iter().position(|&byte| byte == 0).unwrap_or(argument.len());
                Some(os(&argument[..end])).filter(|argument| !argument.is_empty())
            }
        };
        Ok(Some(Shebang { interpreter: os(interpreter).into(), argument }))
    }
}

/// Why a `#!` line cannot be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidShebang {
    #[error("its #! line names no interpreter")]
    NoInterpreter,
    #[error("the path in its #! line is longer than the kernel reads (256 bytes)")]
    Truncated,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

trait Blank {
    fn trim_ascii_blank_start(&self) -> &Self;
    fn trim_ascii_blank_end(&self) -> &Self;
}

impl Blank for [u8] {
    fn trim_ascii_blank_start(&self) -> &[u8] {
        let from = self.iter().position(|&byte| !is_blank(byte)).unwrap_or(self.len());
        &self[from..]
    }

    fn trim_ascii_blank_end(&self) -> &[u8] {
        let until = self.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
        &self[..until]
    }
}

#[cfg(unix)]
fn os(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &[u8]) -> Option<(String, Option<String>)> {
        let shebang = Shebang::parse(head).expect("a line that the kernel takes")?;
        let argument = shebang.argument().map(|argument| argument.to_string_lossy().into_owned());
        Some((shebang.interpreter().display().to_string(), argument))
    }

    #[test]
    fn one_argument_is_all_that_follows() {
        assert_eq!(parse(b"#!/bin/sh\n"), Some(("/bin/sh".into(), None)));
        assert_eq!(parse(b"#! \t/bin/sh \t \necho"), Some(("/bin/sh".into(), None)));
        assert_eq!(parse(b"#!/bin/sh -e -x \n"), Some(("/bin/sh".into(), Some("-e -x".into()))));
        assert_eq!(parse(b"#!/usr/bin/env\tnode"), Some(("/usr/bin/env".into(), Some("node".into()))));
        assert_eq!(parse(b"#!/bin/sh\r\n"), Some(("/bin/sh\r".into(), None)));
        assert_eq!(parse(b"#!/bin/sh\0 x\n"), Some(("/bin/sh".into(), None)));
    }

    #[test]
    fn a_file_without_the_two_bytes_is_no_script() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"#"), None);
        assert_eq!(parse(b"\x7fELF"), None);
        assert_eq!(parse(b" #!/bin/sh"), None);
    }

    #[test]
    fn a_line_without_an_interpreter_is_refused() {
        assert_eq!(Shebang::parse(b"#!"), Err(InvalidShebang::NoInterpreter));
        assert_eq!(Shebang::parse(b"#! \t\n/bin/sh"), Err(InvalidShebang::NoInterpreter));
        let mut blank = [b' '; LOOKS_AT];
        blank[..2].copy_from_slice(b"#!");
        assert!(Shebang::parse(&blank).is_err());
    }

    #[test]
    fn a_path_cut_off_by_the_limit_is_refused_and_an_argument_is_cut() {
        let mut long = [b'a'; 300];
        long[..3].copy_from_slice(b"#!/");
        assert_eq!(Shebang::parse(&long), Err(InvalidShebang::Truncated));
        long[254] = b'\n';
        assert_eq!(parse(&long).map(|(path, _)| path.len()), Some(252));
        long[254] = b'a';
        long[9] = b' ';
        assert_eq!(parse(&long), Some(("/aaaaaa".into(), Some("a".repeat(245)))));
    }
}
