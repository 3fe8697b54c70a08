//! The private group's launcher: `sudo envseal install` gives it its capabilities, envseal starts programs
//! through it.
//!
//! It takes no arguments and reads no environment; all it does stands in `envseal_sandbox::launch`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    envseal_sandbox::launch::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::from(125)
}
