//! envseal: a write-only secret vault with process-level access control.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod context;
mod duration;
mod failure;
mod output;
mod owner;
mod passphrase;
mod terminal;
mod value;

use std::process::ExitCode;

use clap::Parser as _;

use crate::context::Context;

fn main() -> ExitCode {
    harden();
    let cli = args::Cli::parse();
    let context = Context { common: cli.common };
    match commands::run(&context, cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // A path or an argument in the message may hold anything.
            let line = envseal_engine::show::visible(failure.line().as_ref());
            output::to_stderr(&format!("{} {line}", output::styled(output::RED, "envseal:")));
            ExitCode::from(failure.status)
        }
    }
}

/// Closes this process to other processes of the same user before it holds anything: no ptrace, no
/// `/proc/PID/mem` or `environ`, no core dump (PR_SET_DUMPABLE of prctl(2)).
///
/// It does not protect from whoever started it under a debugger or with a preloaded library; the broker does.
#[cfg(target_os = "linux")]
fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: None });
}
