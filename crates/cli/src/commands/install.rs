//! `envseal install`: the private group, its launcher and the execute-only loader.

use crate::context::Context;
use crate::failure::Failure;

/// Installs the `envseal-launch` that lies beside this program.
#[cfg(target_os = "linux")]
pub fn install(context: &Context) -> Result<(), Failure> {
    use envseal_engine::show::visible;
    use envseal_sandbox::launch::{self, InstallError, LAUNCHER};

    if !rustix::process::geteuid().is_root() {
        return Err(needs_root(&InstallError::NotRoot, "install"));
    }
    // The link leads to this program's file, wherever it was called from.
    let own = std::fs::canonicalize("/proc/self/exe")
        .map_err(|error| Failure::other(format!("/proc/self/exe: {error}")))?;
    let source = own.with_file_name(LAUNCHER);
    launch::install(&source, |line| context.done(visible(line.as_ref()))).map_err(|error| match error {
        InstallError::Source { .. } => {
            Failure::other(error.to_string()).advise("it belongs beside envseal: unpack or build both")
        }
        error => needs_root(&error, "install"),
    })
}

/// A failure; where root was missing, with the command that has it.
#[cfg(target_os = "linux")]
pub fn needs_root(error: &envseal_sandbox::launch::InstallError, command: &str) -> Failure {
    let failure = Failure::other(error.to_string());
    match error {
        envseal_sandbox::launch::InstallError::NotRoot => failure.advise(format!("sudo envseal {command}")),
        _ => failure,
    }
}

/// Other systems keep programs private by other means.
#[cfg(not(target_os = "linux"))]
pub fn install(_: &Context) -> Result<(), Failure> {
    Err(Failure::other("there is nothing to install on this system"))
}
