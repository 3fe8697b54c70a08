//! Numbers between Rust and SQLite, which has only signed ones.

use crate::VaultError;

/// A count as SQLite stores it.
pub(crate) fn signed(number: u64) -> Result<i64, VaultError> {
    i64::try_from(number).map_err(|_| VaultError::corrupt("a number is too large"))
}

/// A stored count.
pub(crate) fn unsigned(number: i64) -> Result<u64, VaultError> {
    u64::try_from(number).map_err(|_| VaultError::corrupt("a number is negative"))
}

/// A stored blob of a fixed size.
pub(crate) fn array<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], VaultError> {
    bytes
        .try_into()
        .map_err(|_| VaultError::corrupt(format!("{what} has {} bytes instead of {N}", bytes.len())))
}
