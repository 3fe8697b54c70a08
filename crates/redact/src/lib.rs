#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod forms;
mod marks;
mod masker;
mod pattern;
mod patterns;
mod search;

pub use masker::Masker;
pub use patterns::{Builder, Patterns, TooShort};
