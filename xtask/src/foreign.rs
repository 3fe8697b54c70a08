//! Builds for systems other than this one.
//!
//! rustup's targets serve where they are installed. Elsewhere Debian's `rustc-web` builds the standard library from
//! its sources; it has a target folder of its own, since it is another compiler than the one of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failed, cargo, prepare, root};

/// A system that is built for here.
pub struct Foreign {
    /// The target triple.
    pub triple: &'static str,
    /// Packages that linking for it needs: a file that each brings, and its name.
    pub packages: &'static [(&'static str, &'static str)],
    /// Variables for the builds.
    pub env: &'static [(&'static str, &'static str)],
}

/// Debian's compiler and the sources of its library.
const COMPILER: &str = "/usr/bin/rustc";
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/share/doc/rustc-web", "rustc-web"),
    ("/usr/share/doc/rust-web-src", "rust-web-src"),
    ("/usr/bin/cargo-clippy", "rust-web-clippy"),
];

impl Foreign {
    /// Installs what is missing.
    pub fn prepare(&self) -> Result<(), Failed> {
        let compiler = if self.has_rustup_target() { &[] } else { PACKAGES };
        prepare::packages(compiler.iter().chain(self.packages))
    }

    /// `cargo SUBCOMMAND` for the target; `strategy` is the panic strategy of a library that has to be built.
    pub fn cargo(&self, subcommand: &str, strategy: &str) -> Command {
        let own = !self.has_rustup_target();
        let mut command = match subcommand {
            // The clippy of the compiler that builds.
            "clippy" if own => {
                let mut clippy = Command::new("/usr/bin/cargo-clippy");
                clippy.env("CARGO", cargo().get_program());
                clippy
            }
            _ => cargo(),
        };
        command.arg(subcommand).args(["--locked", "--target", self.triple]);
        if own {
            command.arg(format!("-Zbuild-std=std,{strategy}"));
            command.env("RUSTC", COMPILER).env("RUSTC_BOOTSTRAP", "1");
        }
        command.env("CARGO_TARGET_DIR", self.target());
        command.envs(self.env.iter().copied());
        command
    }

    /// The target folder.
    pub fn target(&self) -> PathBuf {
        let own = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        own.join("foreign")
    }

    fn has_rustup_target(&self) -> bool {
        let print = ["--print", "target-libdir", "--target", self.triple];
        let found = Command::new("rustc").args(print).output();
        found.is_ok_and(|output| {
            output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
        })
    }
}
