//! `envseal completions`: a completion script for a shell.

use clap::CommandFactory as _;

use crate::failure::Failure;
use crate::{args, output};

/// Prints the script.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::Cli::command(), "envseal", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
