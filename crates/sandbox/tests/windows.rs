//! The Windows backend with real processes. Under Wine, what Wine does not tell is waived by the table in
//! `windows/support.rs`, which is exact: a guarantee more or less fails a test.

#![cfg(windows)]

#[path = "windows/arguments.rs"]
mod arguments;
#[path = "windows/closed.rs"]
mod closed;
#[path = "windows/consoles.rs"]
mod consoles;
#[path = "windows/handles.rs"]
mod handles;
#[path = "windows/images.rs"]
mod images;
#[path = "windows/jobs.rs"]
mod jobs;
#[path = "windows/support.rs"]
mod support;
#[path = "windows/tiers.rs"]
mod tiers;
#[path = "windows/tree.rs"]
mod tree;
