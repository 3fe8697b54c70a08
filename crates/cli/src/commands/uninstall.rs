//! `envseal uninstall`: takes out what `envseal install` put in.

use crate::context::Context;
use crate::failure::Failure;

/// Removes the launcher, the loader, their directory and the group.
#[cfg(target_os = "linux")]
pub fn uninstall(context: &Context) -> Result<(), Failure> {
    let tell = |line: &str| context.done(line);
    envseal_sandbox::launch::uninstall(tell).map_err(|error| super::install::needs_root(&error, "uninstall"))
}

/// Other systems have nothing installed.
#[cfg(not(target_os = "linux"))]
pub fn uninstall(_: &Context) -> Result<(), Failure> {
    Err(Failure::other("there is nothing to uninstall on this system"))
}
