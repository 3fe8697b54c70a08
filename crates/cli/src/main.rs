//! envseal: a write-only secret vault with process-level access control.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod context;
mod descriptor;
mod duration;
mod failure;
mod output;
mod owner;
mod passphrase;
mod terminal;
mod value;

use clap::Parser as _;

use crate::context::Context;

fn main() {
    // The whole number: on Windows a program's status has 32 bits.
    std::process::exit(status());
}

fn status() -> i32 {
    if let Err(error) = harden() {
        output::to_stderr(&format!("envseal: this process is open to others of yours: {error}"));
    }
    #[cfg(windows)]
    terminal::restore_after_panic();
    let cli = args::Cli::parse();
    let context = Context { common: cli.common };
    commands::run(&context, cli.command).unwrap_or_else(|failure| {
        // A path or an argument in the message may hold anything.
        let line = envseal_engine::show::visible(failure.line().as_ref());
        output::to_stderr(&format!("{} {line}", output::styled(output::RED, "envseal:")));
        failure.status.into()
    })
}

/// Closes this process to other processes of the same user before it holds anything: no ptrace, no
/// `/proc/PID/mem` or `environ`, no core dump (PR_SET_DUMPABLE of prctl(2)).
///
/// It does not protect from whoever started it under a debugger or with a preloaded library; the broker does.
#[cfg(target_os = "linux")]
fn harden() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Where the hard limit is lower already, there is nothing to set.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: None });
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The same on Windows: no process of the same user opens it, its threads or its token. Whoever started it has a handle
/// already.
#[cfg(windows)]
fn harden() -> std::io::Result<()> {
    envseal_sandbox::process::close_to_others()
}

/// Not there yet for other systems.
#[cfg(not(any(target_os = "linux", windows)))]
fn harden() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
