//! The time that decides.

use envseal_vault::{Vault, VaultError};

use crate::run::RunError;

/// How far the log's last row may be ahead of the clock, in seconds: two processes, one clock being adjusted.
const CLOCK_SLACK: u64 = 300;

/// The time that decides, in seconds since 1970: the clock, but never earlier than the last row of the log, so
/// that a clock set back brings no expired grant to life.
///
/// A log that is far ahead of the clock decides nothing: either the clock was set back, or somebody wrote a row with a
/// clock of their own, which must not stop time for the grants.
pub fn now(vault: &Vault) -> Result<u64, RunError> {
    let (clock, log) = clocks(vault)?;
    if log > clock.saturating_add(CLOCK_SLACK) { Err(RunError::ClockBehind) } else { Ok(clock.max(log)) }
}

/// The same for showing what is left of a grant, where a wrong clock is no reason to show nothing.
pub fn about_now(vault: &Vault) -> Result<u64, VaultError> {
    clocks(vault).map(|(clock, log)| clock.max(log))
}

/// The clock, and the time of the log's last row.
fn clocks(vault: &Vault) -> Result<(u64, u64), VaultError> {
    let clock =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok((clock, vault.last_time()?.map_or(0, |milliseconds| milliseconds / 1000)))
}
