//! The time, for people. Nothing is decided by it here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; negative when the clock stands before it.
pub(crate) fn now() -> i64 {
    let signed = |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => signed(since),
        Err(before) => -signed(before.duration()),
    }
}
