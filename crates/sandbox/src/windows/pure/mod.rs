//! What the Windows backend decides without asking the system, so that it is tested on every system.

pub(crate) mod approved;
pub(crate) mod environment;
pub(crate) mod flags;
pub(crate) mod judge;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod pe;
pub(crate) mod quote;
