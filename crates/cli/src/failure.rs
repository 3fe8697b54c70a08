//! How a command fails: one line and an exit status.

use envseal_engine::RunError;
use envseal_engine::allow::AllowError;
use envseal_engine::approve::OwnerError;
use envseal_engine::identity::IdentityError;
use envseal_vault::{UnlockError, VaultError};

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// What was refused and why.
    pub message: String,
    /// What to do.
    pub advice: Option<String>,
}

/// Exit statuses of section 9 of the design.
pub mod status {
    /// Wrong use of the command line.
    pub const USAGE: u8 = 2;
    /// Locked, and nobody to ask (EX_TEMPFAIL of sysexits.h).
    pub const LOCKED: u8 = 75;
    /// Refused (EX_NOPERM).
    pub const REFUSED: u8 = 77;
    /// The vault is damaged or was tampered with (EX_CONFIG).
    pub const DAMAGED: u8 = 78;
    /// envseal could not do it.
    pub const FAILED: u8 = 125;
    /// The program cannot be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// There is no such program.
    pub const NOT_FOUND: u8 = 127;
}

impl Failure {
    /// envseal could not do it.
    pub fn other(message: impl Into<String>) -> Self {
        Self { status: status::FAILED, message: message.into(), advice: None }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: status::USAGE, ..Self::other(message) }
    }

    /// With a word on what to do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn with_status(status: u8, error: &impl std::error::Error) -> Self {
        Self { status, ..Self::other(error.to_string()) }
    }

    /// The one line on standard error.
    pub fn line(&self) -> String {
        match &self.advice {
            Some(advice) => format!("{}; {advice}", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let failure =
            Self::with_status(if error.is_damage() { status::DAMAGED } else { status::FAILED }, &error);
        match error {
            VaultError::NoVault { .. } => failure.advise("create one with: envseal init"),
            VaultError::Exists { .. } => failure.advise("a backup replaces it with: envseal restore --replace"),
            VaultError::NeedsOwner => Self { status: status::REFUSED, ..failure }
                .advise("unlock with the passphrase or the recovery code"),
            VaultError::RolledBack { .. } | VaultError::WitnessMissing => failure.advise(
                "if you put an older copy there yourself: envseal restore --accept-state (withdraws every grant)",
            ),
            _ => failure,
        }
    }
}

impl From<UnlockError> for Failure {
    fn from(error: UnlockError) -> Self {
        match error {
            UnlockError::Vault(error) => error.into(),
            error => Self::with_status(status::REFUSED, &error),
        }
    }
}

impl From<OwnerError> for Failure {
    fn from(error: OwnerError) -> Self {
        let code = if matches!(error, OwnerError::Cancelled) { status::REFUSED } else { status::FAILED };
        Self::with_status(code, &error)
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let code = match &error {
            IdentityError::NotFound { .. } => status::NOT_FOUND,
            IdentityError::Image(error) => {
                u8::try_from(error.shell_status()).unwrap_or(status::NOT_EXECUTABLE)
            }
            IdentityError::Script { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                status::NOT_FOUND
            }
            _ => status::NOT_EXECUTABLE,
        };
        Self::with_status(code, &error)
    }
}

impl From<AllowError> for Failure {
    fn from(error: AllowError) -> Self {
        match error {
            AllowError::Identity(error) => error.into(),
            error => Self::with_status(status::USAGE, &error),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let message = error.to_string();
        let with = |status| Self { status, ..Self::other(message.clone()) };
        match error {
            RunError::Refused { allow: Some(allow), .. } => {
                with(status::REFUSED).advise(format!("to allow it: {allow}"))
            }
            RunError::Refused { allow: None, .. } | RunError::DeniedByOwner => with(status::REFUSED),
            RunError::Locked => {
                with(status::LOCKED).advise("run it at a terminal, or give --passphrase-fd or --keyfile")
            }
            RunError::ChangedMeanwhile(_) | RunError::Busy(_) | RunError::Moved(_) => with(status::REFUSED),
            RunError::ClockBehind => with(status::DAMAGED).advise(
                "set the clock right; if it is right: envseal restore --accept-state (withdraws every grant)",
            ),
            RunError::NoSuchSecret(name) => {
                with(status::FAILED).advise(format!("put it in with: envseal store {name}"))
            }
            RunError::InInbox(name) => {
                with(status::REFUSED).advise(format!("make it usable with: envseal accept {name}"))
            }
            RunError::Variable(_) | RunError::Deliver(_) | RunError::Path(_) => with(status::USAGE),
            RunError::Identity(error) => error.into(),
            RunError::Vault(error) => error.into(),
            RunError::Unlock(error) => error.into(),
            RunError::Owner(error) => error.into(),
            RunError::NotGiven { ids, allow, .. } => {
                let install = match cfg!(target_os = "linux") && ids.split(',').any(|id| id == "L6") {
                    true => "L6 holds once `sudo envseal install` was done; ",
                    false => "",
                };
                with(status::FAILED).advise(format!(
                    "{install}only the owner can do without: {allow}; then run it with --allow-weaker {ids}"
                ))
            }
            RunError::Start(error) => with(u8::try_from(error.shell_status()).unwrap_or(status::FAILED)),
            _ => with(status::FAILED),
        }
    }
}
