//! The attack suite, which is Linux's; on Windows `tests/real_windows.ps1` and the tests in `tests/windows` attack.
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
mod suite;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    suite::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
