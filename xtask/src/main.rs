//! Developer commands: see [`HELP`].
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line tool")]

mod bench;
mod foreign;
mod fuzz;
mod macos;
mod prepare;
mod starts;
mod test;
mod windows;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What stops a developer command.
type Failed = Box<dyn std::error::Error>;

const HELP: &str =
    "cargo xtask test          install what the tests need, run all tests and a minute of each fuzz target
cargo xtask test-windows [SUITE]
                          build all tests for Windows and run them, here by Wine; or one suite
cargo xtask check-macos   check that everything that is there for macOS builds
cargo xtask fuzz [SECS]   build the fuzz targets and run each for SECS seconds (60)
cargo xtask bench [RUNS]  time `envseal run` beside a bare program and bwrap, in one run (100 runs)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |default| args.get(1).map_or(Ok(default), |text| text.parse::<u32>());
    let done = match args.first().map(String::as_str) {
        Some("test") => test::run(),
        Some("test-windows") => windows::run(args.get(1).map(String::as_str)),
        Some("check-macos") => macos::run(),
        Some("fuzz") => number(60).map_err(Failed::from).and_then(fuzz::run),
        Some("bench") => number(100).map_err(Failed::from).and_then(bench::run),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| ".".into(), Path::to_owned)
}

/// Runs a command in the workspace and fails where it fails.
fn must(command: &mut Command) -> Result<(), Failed> {
    let shown = format!("{command:?}");
    let status = command.current_dir(root()).status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

/// The cargo that runs this.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
