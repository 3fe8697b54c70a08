//! The files that a program opens for itself: its script, and what the grant pins.
//!
//! What is executed is held by its handle; these are opened by path, after everything was decided.

use std::path::Path;

use envseal_sandbox::Spec;
use envseal_vault::{EngineName, Grant, OsText};

use crate::request::Request;
use crate::run::RunError;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

/// What must live for as long as the program does.
pub struct Held {
    #[expect(dead_code, reason = "open files are the hold")]
    kept: Vec<system::Kept>,
}

/// Why a file cannot be held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NotHeld {
    /// It has other bytes by now, or is elsewhere.
    Changed,
    /// Another process has it open and may write to it.
    #[cfg_attr(unix, expect(dead_code, reason = "Unix does not tell"))]
    Busy,
}

/// Looks at them once more, because the log was written since they were hashed, and holds them as firmly as the
/// system can.
pub fn hold(
    mut spec: Spec,
    request: &Request,
    grant: &Grant,
    engine: EngineName,
) -> Result<(Spec, Held), RunError> {
    let script = request.script.clone().zip(request.script_as.clone());
    let pins = grant.pins.iter().map(|pin| (pin.clone(), OsText::from(&pin.path)));
    let mut kept = Vec::new();
    for (file, opened_as) in script.into_iter().chain(pins) {
        let held = system::hold(spec, &file, Path::new(opened_as.as_os_str()), engine);
        let (with, keeps) = held.map_err(|why| match why {
            NotHeld::Changed => RunError::ChangedMeanwhile(file.path),
            NotHeld::Busy => RunError::Busy(file.path),
        })?;
        spec = with;
        kept.push(keeps);
    }
    Ok((spec, Held { kept }))
}
