//! Everything that envseal keeps on disk: key slots, sealed entries, grants and audit rows in one SQLite file.
//!
//! The vault seals, opens and authenticates; it decides nothing. Who may have a secret is the engine's
//! question, how a person is asked is the command line's.
#![deny(unsafe_code)]

mod digest;
mod event;
mod grant;
mod name;

pub use digest::Digest;
pub use event::{Caller, Event, EventKind};
pub use grant::{
    ArgsRule, CallerRule, Delivery, Effect, FileRule, Grant, GrantId, NamePattern, OsText, SecretRule,
    TierName,
};
pub use name::{InvalidName, InvalidVariable, SecretName, Variable};
