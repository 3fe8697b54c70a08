//! The main job of envseal: identify a program, decide, ask, open the named secrets, run, mask, record.
#![forbid(unsafe_code)]

pub mod environment;
pub mod policy;
pub mod request;
pub mod show;
