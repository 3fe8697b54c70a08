//! Sees to it that the programs which the tests drive are there.

use std::path::Path;
use std::process::Command;

use crate::{Failed, must};

/// A program that tests drive, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("bwrap", "bubblewrap"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus"),
    ("faketime", "faketime"),
    ("g++", "g++"),
    ("git", "git"),
    ("gdb", "gdb"),
    ("hyperfine", "hyperfine"),
    ("less", "less"),
    ("make", "make"),
    ("man", "man-db"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("psql", "postgresql-client"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("ssh-agent", "openssh-client"),
    ("tmux", "tmux"),
    ("top", "procps"),
    ("vim", "vim"),
];

/// Installs what the tests need and is missing.
pub fn programs() -> Result<(), Failed> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !Path::new("/usr/lib/postgresql").exists() {
        missing.push("postgresql");
    }
    // What `python3 -m venv` puts into an environment.
    if !Path::new("/usr/share/python-wheels").exists() {
        missing.push("python3-venv");
    }
    install(&missing)
}

/// Installs each package whose file is not there.
pub fn packages<'a>(wanted: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Result<(), Failed> {
    let missing = wanted.filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package);
    install(&missing.collect::<Vec<_>>())
}

/// As root with apt-get; else names them.
fn install(missing: &[&str]) -> Result<(), Failed> {
    if missing.is_empty() {
        return Ok(());
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root || !is_there("apt-get") {
        return Err(format!("these packages are needed: {}", missing.join(" ")).into());
    }
    println!("installing {}", missing.join(" "));
    must(Command::new("apt-get").args(["-qq", "update"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["-qq", "install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]);
    must(install.args(missing))
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}
