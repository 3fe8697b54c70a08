//! The type check for macOS: nothing runs here, but what is there for it builds.
//!
//! The bundled SQLite is C, for which zig's compiler from PyPI brings the headers of macOS.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::foreign::Foreign;
use crate::{Failed, must};

const MACOS: Foreign = Foreign { triple: "aarch64-apple-darwin", packages: &[], env: &[] };

/// cc(1) as cc-rs calls it; zig has its own name for the target.
const COMPILER: &str = r#"#!/bin/sh
for argument; do
    shift
    case "$argument" in --target=*) ;; *) set -- "$@" "$argument" ;; esac
done
exec "${0%/*}/bin/python3" -m ziglang cc -target aarch64-macos "$@"
"#;
const ARCHIVER: &str = r#"#!/bin/sh
exec "${0%/*}/bin/python3" -m ziglang ar "$@"
"#;

/// Runs clippy for macOS on what is there for it.
pub fn run() -> Result<(), Failed> {
    MACOS.prepare()?;
    let zig = MACOS.target().join("zig");
    if !zig.join("bin/pip").exists() {
        must(Command::new("python3").args(["-m", "venv"]).arg(&zig))?;
    }
    if must(Command::new(zig.join("bin/python3")).args(["-c", "import ziglang"])).is_err() {
        must(Command::new(zig.join("bin/pip")).args(["install", "--quiet", "ziglang"]))?;
    }
    let compiler = script(&zig, "cc", COMPILER)?;
    let archiver = script(&zig, "ar", ARCHIVER)?;
    let mut clippy = MACOS.cargo("clippy", "panic_abort");
    clippy.env("CC_aarch64_apple_darwin", compiler).env("AR_aarch64_apple_darwin", archiver);
    for package in ["envseal-redact", "envseal-vault", "envseal-sandbox"] {
        clippy.args(["--package", package]);
    }
    must(clippy.args(["--", "-D", "warnings"]))
}

fn script(directory: &Path, name: &str, text: &str) -> Result<PathBuf, Failed> {
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    must(Command::new("chmod").arg("+x").arg(&path))?;
    Ok(path)
}
