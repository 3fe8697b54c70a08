//! What can be wrong with a vault. Every line names the situation; none has a value in it.

use std::io;
use std::path::PathBuf;

use crate::{GrantId, InvalidValue, SecretName, SlotId, SlotKind};

/// Why the vault did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is nothing to open.
    #[error("there is no vault in {}", dir.display())]
    NoVault {
        /// Where one was looked for.
        dir: PathBuf,
    },
    /// There is a vault already.
    #[error("there is a vault in {} already", dir.display())]
    Exists {
        /// Where it is.
        dir: PathBuf,
    },
    /// A path that others could have prepared.
    #[error("{} is refused: {why}", path.display())]
    Unsafe {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Neither a passphrase, nor a recovery code, nor a key file was given to a new vault.
    #[error("a new vault needs a passphrase, a recovery code or a key file")]
    NoFactor,

    /// The file ends too early.
    #[error("the vault file is truncated: {found} bytes of {expected}")]
    Truncated {
        /// Bytes there.
        found: u64,
        /// Bytes that should be there at least.
        expected: u64,
    },
    /// The file is another program's.
    #[error("{} is not an envseal vault", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was made by a later envseal.
    #[error("the vault has format {found}, this envseal knows up to {known}: a newer version made it")]
    Newer {
        /// Format of the file.
        found: u32,
        /// The latest format known here.
        known: u32,
    },
    /// Tables, triggers or views that envseal did not make.
    #[error("the vault's tables were changed outside envseal: {what}")]
    Schema {
        /// The first difference.
        what: String,
    },
    /// The file cannot be read as what it should be.
    #[error("the vault is damaged: {what}")]
    Corrupt {
        /// What could not be read.
        what: String,
    },
    /// A version of a secret is not the one that the owner accepted.
    #[error("the entry of secret {name} was changed outside envseal")]
    EntryChanged {
        /// The secret.
        name: SecretName,
    },
    /// Versions of a secret were taken away, put back or added.
    #[error("versions of secret {name} were removed, added or rolled back outside envseal")]
    EntriesMoved {
        /// The secret, or another whose place in the tree it shares.
        name: String,
    },
    /// The digests of the secrets do not fit the manifest.
    #[error("the vault's table of secrets was changed outside envseal: {what}")]
    TreeChanged {
        /// Which part.
        what: String,
    },
    /// A grant is not the one that the owner gave.
    #[error("grant {id} was changed outside envseal")]
    GrantChanged {
        /// The grant.
        id: GrantId,
    },
    /// Grants were taken away, put back or added.
    #[error("a grant was removed, added or brought back outside envseal")]
    GrantsMoved,
    /// A key slot cannot be read.
    #[error("key slot {id} is damaged: {what}")]
    SlotDamaged {
        /// The slot.
        id: SlotId,
        /// What could not be read.
        what: String,
    },
    /// Key slots were taken away, put back, added or changed.
    #[error("the key slots were changed outside envseal")]
    SlotsChanged,
    /// The manifest is not the one that was written last by whoever holds the vault key.
    #[error("the vault's manifest was changed outside envseal")]
    ManifestChanged,
    /// Values would be sealed to somebody else's key.
    #[error("the vault's public key was replaced outside envseal")]
    PublicKey,
    /// The vault's own keys do not open.
    #[error("the vault's {what} was changed outside envseal")]
    KeyChanged {
        /// Which one.
        what: &'static str,
    },
    /// The log is not as it was written.
    #[error("the audit log was changed at row {row}: {change}")]
    LogChanged {
        /// The first bad row.
        row: u64,
        /// Edit, removal, reorder, insertion or truncation.
        change: String,
    },
    /// The key that authenticates the next row is missing or does not fit.
    #[error("the audit key is unusable: {why}")]
    AuditKey {
        /// What is wrong with it.
        why: String,
    },
    /// An older copy of the vault.
    #[error(
        "the vault is an older copy: its state is {vault_counter}, and {witness_counter} was seen on this machine"
    )]
    RolledBack {
        /// The counter in the vault.
        vault_counter: u64,
        /// The highest counter seen.
        witness_counter: u64,
    },
    /// The note about the vault's state, kept outside it, is gone.
    #[error(
        "the record of this vault's last state is missing from the state directory, so an older copy could not be told"
    )]
    WitnessMissing,
    /// The inbox item is not one that was sealed to this vault under this name.
    #[error(
        "what waits in the inbox as {name} cannot be opened: it was not sealed to this vault under this name"
    )]
    InboxUnreadable {
        /// The item's name.
        name: SecretName,
    },
    /// The backup is not whole.
    #[error("the backup {} is damaged: {what}", path.display())]
    BackupDamaged {
        /// The file.
        path: PathBuf,
        /// What could not be read.
        what: String,
    },

    /// The vault file is not the one that was opened.
    #[error("the vault file was replaced while it was open: open it again")]
    Replaced,
    /// Somebody called `panic` since the vault was unlocked.
    #[error("everything was stopped by `envseal panic`: every grant is withdrawn")]
    Panicked,
    /// No such secret.
    #[error("there is no secret {0}")]
    NoSuchSecret(SecretName),
    /// Nothing waits under that name.
    #[error("nothing waits in the inbox as {0}")]
    NotInInbox(SecretName),
    /// The new name is taken.
    #[error("there is a secret {0} already")]
    NameTaken(SecretName),
    /// No such grant.
    #[error("there is no grant {0}")]
    NoSuchGrant(GrantId),
    /// The grant's runs are used up.
    #[error("grant {0} is used up")]
    GrantUsedUp(GrantId),
    /// The grant does not cover what was asked under it.
    #[error("grant {id} does not cover {name}")]
    NotGranted {
        /// The grant.
        id: GrantId,
        /// What it does not cover.
        name: SecretName,
    },
    /// No such key slot.
    #[error("there is no key slot {0}")]
    NoSuchSlot(SlotId),
    /// A vault without a passphrase has none to change.
    #[error("this vault has no passphrase to change")]
    NoPassphraseSlot,
    /// The passphrases that there are belong to Windows users and were not proven.
    #[error(
        "the passphrases of this vault are those of dpapi key slots ({slots}), and none of them was given: change one \
         with --dpapi where it opens, or add a passphrase with: envseal slot add passphrase"
    )]
    PassphraseOfMachine {
        /// Their numbers.
        slots: String,
    },
    /// A passphrase of no bytes.
    #[error("an empty passphrase protects nothing: give one of at least one byte")]
    EmptyPassphrase,
    /// Nobody could open the vault as its owner any more.
    #[error("key slot {0} is the last one that opens the vault as its owner")]
    LastOwnerSlot(SlotId),
    /// The key file may run what is allowed, and no more.
    #[error("a key file does not suffice for this")]
    NeedsOwner,
    /// What opens on one machine only would be the owner's only way in.
    #[error(
        "a key slot of this Windows user cannot be the owner's only one, since it is lost with the machine: add a \
         passphrase or a recovery code first"
    )]
    OnlyOfMachine,
    /// The system has no DPAPI.
    #[error(
        "a dpapi key slot is not available on this system: it is bound to a Windows user; open the vault by another \
         one, or remove it"
    )]
    OnlyOnWindows,
    /// The file to write is there already.
    #[error("{} exists already", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The value is too short or too long.
    #[error(transparent)]
    Value(#[from] InvalidValue),

    /// Others kept the vault locked for too long.
    #[error("the vault is busy: other processes kept it locked for {seconds} seconds")]
    Busy {
        /// How long it was tried.
        seconds: u64,
    },
    /// No space left.
    #[error("no space left for the vault; nothing was changed")]
    Full,
    /// The vault's place cannot be written.
    #[error("the vault cannot be written: {why}")]
    NotWritable {
        /// What the system said.
        why: String,
    },
    /// The operating system said no.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to which path.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// SQLite said no.
    #[error("the vault file: {0}")]
    Storage(String),
    /// No random numbers.
    #[error("the operating system gave no random numbers: {0}")]
    Random(String),
    /// No locked memory.
    #[error("no memory for keys: {0}")]
    Memory(io::Error),
    /// DPAPI neither did it nor said that it is not this user's.
    #[error("the data protection of Windows (DPAPI) failed, which says nothing of the passphrase: {0}")]
    Dpapi(String),
    /// Key derivation failed.
    #[error("the key derivation failed: {0}")]
    Kdf(String),
    /// Encryption failed.
    #[error("sealing failed")]
    Sealing,
}

impl VaultError {
    /// Whether the vault, its log or a backup is not what envseal wrote last: truncated, zeroed, flipped, older,
    /// foreign, newer, or changed by somebody without the key.
    pub fn is_damage(&self) -> bool {
        use VaultError::*;
        matches!(
            self,
            Truncated { .. }
                | Foreign { .. }
                | Newer { .. }
                | Schema { .. }
                | Corrupt { .. }
                | EntryChanged { .. }
                | EntriesMoved { .. }
                | TreeChanged { .. }
                | GrantChanged { .. }
                | GrantsMoved
                | SlotDamaged { .. }
                | SlotsChanged
                | ManifestChanged
                | PublicKey
                | KeyChanged { .. }
                | LogChanged { .. }
                | AuditKey { .. }
                | RolledBack { .. }
                | WitnessMissing
                | InboxUnreadable { .. }
                | BackupDamaged { .. }
        )
    }

    /// Something that should be readable is not.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// An operating system's refusal, with what was being done.
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (what, source) = (what.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::NotWritable { why: format!("{what}: {source}") }
            }
            // A lock that somebody else holds.
            io::ErrorKind::WouldBlock => Self::Busy { seconds: crate::db::PATIENCE.as_secs() },
            _ => Self::Io { what, source },
        }
    }
}

impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;

        /// Read errors that mean the bytes are not there (sqlite.org/rescode.html).
        const SHORT_READ: i32 = 522;
        const DATA: i32 = 8202;
        const CORRUPT_FS: i32 = 8458;

        match error {
            rusqlite::Error::SqliteFailure(failure, ref text) => {
                let said = text.clone().unwrap_or_else(|| failure.to_string());
                match (failure.code, failure.extended_code) {
                    (
                        ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                        | ErrorCode::SchemaChanged
                        | ErrorCode::TooBig,
                        _,
                    )
                    | (ErrorCode::SystemIoFailure, SHORT_READ | DATA | CORRUPT_FS) => Self::corrupt(said),
                    (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => {
                        Self::Busy { seconds: crate::db::PATIENCE.as_secs() }
                    }
                    (ErrorCode::DiskFull, _) => Self::Full,
                    (ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _) => {
                        Self::NotWritable { why: said }
                    }
                    _ => Self::Storage(said),
                }
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::QueryReturnedMoreThanOneRow
            | rusqlite::Error::Utf8Error(..) => Self::corrupt(error.to_string()),
            // A statement that does not compile names tables that are not there: checked before, changed since.
            rusqlite::Error::SqlInputError { msg, .. } => Self::Schema { what: msg },
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Why the vault did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// What was given opens no key slot of its kind.
    #[error("wrong passphrase, recovery code or key file")]
    Wrong,
    /// There is no key slot that what was given could open.
    #[error("this vault has no key slot of the kind {kind}: it is opened by {has}")]
    NoSlot {
        /// The kind that was asked for.
        kind: SlotKind,
        /// The kinds that there are.
        has: String,
    },
    /// The only key slot of a Windows user has no passphrase.
    #[error(
        "key slot {0} would be opened by every program of its Windows user, without a passphrase, and is refused: \
         unlock with the passphrase or the recovery code, make a new one (envseal slot add dpapi) and take this one \
         away (envseal slot remove {0})"
    )]
    DpapiAlone(SlotId),
    /// No key slot is this Windows user's.
    #[error(
        "no dpapi key slot of this vault was made by this Windows user on this machine: unlock with the passphrase or \
         the recovery code"
    )]
    NotThisUser,
    /// The vault is damaged, was changed by somebody else, or cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
}
