//! `envseal man`: the manual pages.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args;
use crate::failure::Failure;

/// Writes `envseal.1` and a page a command into `directory`, which is made where it does not exist.
pub fn man(directory: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(args::Cli::command(), directory).map_err(failed)
}
