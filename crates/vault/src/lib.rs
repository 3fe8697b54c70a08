//! Everything that envseal keeps on disk: key slots, sealed entries, grants and audit rows in one SQLite file.
//!
//! The vault seals, opens and authenticates; it decides nothing. Who may have a secret is the engine's
//! question, how a person is asked is the command line's.
//!
//! Locked, a vault takes values ([`Vault::store`]) and rows of the log ([`Vault::append`]) and lists names. Unlocked
//! ([`Vault::unlock`]), it verifies all that it says, takes the owner's changes, and gives values to one function
//! only, [`Unlocked::begin_run`], which writes a row of the log first. The format on disk is in this crate's README.
#![deny(unsafe_code)]

mod access;
mod backup;
mod change;
mod clock;
mod confinement;
mod db;
mod digest;
mod dpapi;
mod encode;
mod entry;
mod error;
mod event;
mod files;
mod grant;
mod granted;
mod header;
mod inbox;
mod kdf;
mod keyfile;
mod keys;
mod log;
mod log_check;
mod log_key;
mod manifest;
mod memory;
mod moment;
mod name;
#[cfg_attr(unix, path = "platform/unix.rs")]
#[cfg_attr(windows, path = "platform/windows.rs")]
mod platform;
mod recovery;
mod restore;
mod row;
mod schema;
mod seal;
mod secret;
mod slot;
mod tree;
mod unlock;
mod unlocked;
mod vault;
mod verify;
#[cfg(windows)]
mod windows;
mod witness;

pub use access::{NewSlot, PassphraseChange, Released};
pub use backup::BackupReport;
pub use confinement::{Confinement, EngineName, GuaranteeName, InvalidGuarantee};
pub use digest::Digest;
pub use entry::SecretInfo;
pub use error::{UnlockError, VaultError};
pub use event::{Caller, Event, EventKind};
pub use grant::{
    ArgsRule, CallerRule, Delivery, Effect, FileRule, Grant, GrantId, NamePattern, OsText, SecretRule,
    TierName,
};
pub use inbox::InboxItem;
pub use kdf::{Argon2Cost, KdfTarget};
pub use keyfile::{InvalidKeyFile, KeyFile};
pub use keys::VaultId;
pub use log::AuditRow;
pub use log_check::AuditReport;
pub use name::{InvalidName, InvalidVariable, SecretName, Variable};
#[cfg(windows)]
pub use platform::default_directory;
pub use recovery::{InvalidRecoveryCode, RecoveryCode};
pub use restore::{RestoreOptions, RestoreReport, restore, restore_with};
pub use secret::{InvalidValue, Passphrase, SecretBytes};
pub use slot::{Factor, SlotId, SlotInfo, SlotKind};
pub use unlock::Proof;
pub use unlocked::{SecretUser, Unlocked};
pub use vault::{Created, NewVault, Vault};
pub use verify::VerifyReport;
pub use witness::Witness;

/// Parsers of what lies on disk, for the fuzzer.
#[doc(hidden)]
pub mod parse {
    pub use crate::backup::parse_backup as backup;
    pub use crate::header::check as header;
    pub use crate::log_key::parse_any as log_key;
    pub use crate::slot::parse_parameters as slot_parameters;
    pub use crate::witness::parse_any as witness;

    /// Reads a grant's JSON.
    pub fn grant(bytes: &[u8]) -> bool {
        serde_json::from_slice::<crate::Grant>(bytes).is_ok()
    }

    /// Reads an event's JSON.
    pub fn event(bytes: &[u8]) -> bool {
        serde_json::from_slice::<crate::Event>(bytes).is_ok()
    }
}
