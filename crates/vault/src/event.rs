//! One event of the audit log: what happened, to what, by whom. Never a value.

use serde::{Deserialize, Serialize};

use crate::{Digest, GrantId, SecretName};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The vault was made.
    Init,
    /// A value went into the inbox.
    Store,
    /// An inbox item became usable.
    Accept,
    /// An inbox item was thrown away.
    Reject,
    /// A secret was removed.
    Remove,
    /// A secret got another name.
    Rename,
    /// A secret got another value.
    Rotate,
    /// Old values were erased.
    Purge,
    /// The owner allowed.
    Allow,
    /// The owner denied.
    Deny,
    /// A grant was withdrawn.
    Revoke,
    /// A program was let have secrets; written before it starts.
    Run,
    /// That program ended.
    Exit,
    /// A run was refused.
    Refuse,
    /// A passphrase, code or key file opened nothing.
    UnlockFailed,
    /// A key slot was added.
    SlotAdd,
    /// A key slot was removed.
    SlotRemove,
    /// The passphrase was changed.
    Passwd,
    /// A backup was written.
    Backup,
    /// The vault was restored from a backup.
    Restore,
    /// Everything was stopped: runs ended, grants withdrawn.
    Panic,
    /// The owner took the vault file as it stood.
    AcceptState,
    /// The log's key file was made anew.
    RepairAuditKey,
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = serde_json::to_value(self).map_err(|_| std::fmt::Error)?;
        f.pad(word.as_str().unwrap_or_default())
    }
}

/// The process that asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// Its process id.
    pub pid: u32,
    /// Its user id.
    pub uid: u32,
    /// Names of its ancestors, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestry: Vec<String>,
    /// Whether it had a controlling terminal.
    #[serde(default)]
    pub terminal: bool,
}

/// What one audit row says. Fields that do not apply are absent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The secrets it was about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// The executed file's canonical path (lossy where it is not UTF-8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Digest of the whole request: program, script, arguments, directory, secrets, tier, delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Digest>,
    /// The grant that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// The tier asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<crate::TierName>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// The program's exit status in shell form (128+N for signal N).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// A few words more: why it was refused, what a slot is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The sequence number of the row this one answers (an exit answers a run).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
}

impl Event {
    /// An event of `kind` that says nothing else yet.
    pub const fn new(kind: EventKind) -> Self {
        Self {
            kind,
            secrets: Vec::new(),
            program: None,
            sha256: None,
            request: None,
            grant: None,
            tier: None,
            caller: None,
            status: None,
            note: None,
            answers: None,
        }
    }
}
