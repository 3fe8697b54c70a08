//! All tests: the README's second command.

use crate::{Failed, cargo, fuzz, must, prepare};

/// Seconds for each fuzz target.
const FUZZ: u32 = 60;

/// Installs what the tests need, runs them, then each fuzz target for a minute.
pub fn run() -> Result<(), Failed> {
    prepare::programs()?;
    must(cargo().args(["test", "--workspace", "--locked"]))?;
    fuzz::run(FUZZ)
}
