//! A streaming masker: bytes in, bytes out, and no secret that it was told passes.
//!
//! Each secret is replaced by `[envseal:NAME]`, whatever the chunking of the stream, in the forms that programs print
//! values in: as it is, line by line, in base64, hexadecimal, percent-encoding, JSON escapes, reversed. It is a guard
//! against accidents: a program that wants to get a value past it can.
#![forbid(unsafe_code)]

mod forms;
mod masker;
mod patterns;

pub use masker::Masker;
pub use patterns::{Builder, Patterns, TooShort};
