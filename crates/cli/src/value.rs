//! Reads a secret's value: from a file, standard input, or the terminal. Never from an argument.

use std::fs::File;
use std::io::{IsTerminal as _, Read};

use envseal_vault::SecretBytes;
use zeroize::{Zeroize as _, Zeroizing};

use crate::args::ValueSource;
use crate::context::Context;
use crate::failure::Failure;
use crate::owner::typed;
use crate::terminal::Terminal;

/// Reads the value that `source` names; asks twice at a terminal.
pub fn read(context: &Context, source: &ValueSource, name: &str) -> Result<SecretBytes, Failure> {
    let bytes = match &source.file {
        Some(path) => {
            let failed = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
            let file = open_regular(path).map_err(failed)?;
            read_bounded(file).map_err(failed)?
        }
        None if std::io::stdin().is_terminal() => ask(name)?,
        None => {
            let read = read_bounded(std::io::stdin().lock());
            let mut bytes = read.map_err(|error| Failure::other(format!("standard input: {error}")))?;
            if !source.keep_newline && strip_newline(&mut bytes) {
                crate::output::done(
                    &context.common,
                    "(the line ending after the value was taken off; --keep-newline keeps it)",
                );
            }
            bytes
        }
    };
    SecretBytes::new(bytes).map_err(|error| Failure::other(error.to_string()))
}

/// Opens a file, or anything that can be read to its end; a FIFO (process substitution) is welcome here.
fn open_regular(path: &std::path::Path) -> std::io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::other("it is a directory"));
    }
    Ok(file)
}

/// Reads to the end, or one byte more than a value may have, without leaving copies behind.
fn read_bounded(from: impl Read) -> std::io::Result<Vec<u8>> {
    let limit = SecretBytes::MAX_LEN + 1;
    // The whole capacity at once: a vector that grows leaves parts of the value in freed memory.
    let mut bytes = Vec::with_capacity(limit);
    match from.take(limit as u64).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            bytes.zeroize();
            Err(error)
        }
    }
}

fn strip_newline(bytes: &mut Vec<u8>) -> bool {
    let newline = bytes.last() == Some(&b'\n');
    if newline {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    newline
}

fn ask(name: &str) -> Result<Vec<u8>, Failure> {
    let mut terminal = Terminal::open().ok_or_else(|| Failure::other("there is no terminal to ask at"))?;
    let mut first = typed(terminal.ask_hidden(&format!("Value of {name} (not shown): ")))?;
    let second: Zeroizing<Vec<u8>> = typed(terminal.ask_hidden("The same again: "))?;
    if *first != *second {
        return Err(Failure::other("the two values differ; nothing was stored"));
    }
    Ok(std::mem::take(&mut *first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_ending_is_taken_off_and_no_more() {
        for (text, stripped) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\r", "a\r")]
        {
            let mut bytes = text.as_bytes().to_vec();
            strip_newline(&mut bytes);
            assert_eq!(bytes, stripped.as_bytes());
        }
    }

    #[test]
    fn no_more_is_read_than_a_value_may_have() {
        let bytes = read_bounded(std::io::repeat(b'x')).unwrap();
        assert_eq!(bytes.len(), SecretBytes::MAX_LEN + 1);
    }
}
