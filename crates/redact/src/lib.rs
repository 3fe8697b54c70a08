#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod forms;
mod masker;
mod patterns;

pub use masker::Masker;
pub use patterns::{Builder, Patterns, TooShort};
