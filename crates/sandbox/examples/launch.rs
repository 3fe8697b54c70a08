//! The launcher for this crate's own tests: what `envseal-launch` is.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    envseal_sandbox::launch::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
