//! The private group: a small program with a capability of its own starts the others, so that no other process
//! of the user can read them.
//!
//! A process whose real, effective and saved group are all a group that nobody else has is closed to ptrace(2)
//! and everything that asks the same question, for the whole tree and across execve: the kernel wants the
//! groups to be equal, beside the users, and the capabilities to be no more than the reader's. Root installs
//! the launcher once ([`install`]). The way of a start:
//!
//! ```text
//! client: start_through ── socket ──► launcher: main       (real uid: the same user)
//!   Spec → request, descriptors         checks itself, drops what it inherited, takes the group whole
//!                                       request → Spec, hashes the image again, start()
//!   Running ◄── link, watcher, facts    stays as the supervisor of the watchers until they have ended
//! ```
//!
//! The launcher trusts nobody: whoever runs it gets a program with the group, in that program's own
//! domain, and no more. The client talks to the watchers directly afterwards; its end of the socket tells
//! the launcher that it lives.

mod client;
mod codec;
mod elf;
mod failure;
mod frame;
mod install;
mod place;
mod reply;
mod request;
mod serve;

pub use client::start_through;
pub use install::{InstallError, install, uninstall};
pub use place::{DIRECTORY, LAUNCHER, LOADER, Launcher, RANGE, Unusable};
pub use serve::main;

pub(super) use client::Helper;
pub(super) use elf::interpreter;
pub(super) use place::check_way;

/// Whether these bytes are a request that the launcher would read. For fuzzing.
#[doc(hidden)]
pub fn reads_request(bytes: &[u8]) -> bool {
    request::Request::decode(bytes).is_ok()
}

/// Whether these bytes are an answer that a client would read. For fuzzing.
#[doc(hidden)]
pub fn reads_reply(bytes: &[u8]) -> bool {
    reply::Started::decode(bytes).is_ok() | failure::decode(bytes).is_ok()
}
