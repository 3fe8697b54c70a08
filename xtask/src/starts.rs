//! The sandbox alone: starts in each tier and engine beside `bwrap`, and a build in Hardened beside one outside.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failed, cargo, must, root};

/// Prints both tables.
pub fn run(target: &Path, runs: u32) -> Result<(), Failed> {
    must(cargo().args(["build", "--release", "--locked", "--package", "envseal-sandbox", "--examples"]))?;
    let example = |name: &str| target.join("release/examples").join(name);
    for (tier, engine) in [
        ("none", "private"),
        ("hardened", "private"),
        ("lockdown", "private"),
        ("hardened", "namespaces"),
        ("lockdown", "namespaces"),
    ] {
        println!("\nstart of /bin/true, {tier}, {engine} engine, medians of {runs}:");
        must(ordinary(&example("start")).args([&runs.to_string(), tier, engine]))?;
    }
    build(&example("supervise"))
}

/// Root measures as an ordinary user: that is who envseal is for.
fn ordinary(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]);
    // Root's own home is closed to it.
    command.arg(program).env("HOME", "/home");
    command
}

/// How often a build is timed in each place; in turns, so that a slow moment meets both.
const BUILDS: usize = 4;

/// A crate with some twenty dependencies, from nothing.
fn build(supervise: &Path) -> Result<(), Failed> {
    let place = std::env::temp_dir().join(format!("envseal-bench-build-{}", std::process::id()));
    // As envseal has it.
    let hidden = std::env::home_dir().unwrap_or_default().join(".local/share/envseal");
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    for turn in 0..BUILDS {
        let mut command = Command::new(supervise);
        command.args(["--quiet", "--tier", "hardened", "--hide"]).arg(&hidden);
        for (name, value) in std::env::vars() {
            command.args(["--env".to_owned(), format!("{name}={value}")]);
        }
        command.args(["--env".to_owned(), format!("CARGO_TARGET_DIR={}", place.display())]);
        // The toolchain's own: that in PATH may be a proxy which goes by the name it is called with.
        command.arg(cargo().get_program());
        // Neither is always the first.
        if turn % 2 == 0 {
            outside.push(timed(cargo(), &place)?);
            inside.push(timed(command, &place)?);
        } else {
            inside.push(timed(command, &place)?);
            outside.push(timed(cargo(), &place)?);
        }
    }
    let (outside, inside) = (median(outside), median(inside));
    println!(
        "\nbuild of envseal-sandbox from nothing, medians of {BUILDS}: outside {outside:.2?}, in Hardened {inside:.2?}, \
         {:.3} of outside",
        inside.as_secs_f64() / outside.as_secs_f64()
    );
    Ok(())
}

fn timed(mut command: Command, place: &Path) -> Result<Duration, Failed> {
    command.args(["build", "--quiet", "--locked", "--offline", "--package", "envseal-sandbox"]);
    command.current_dir(root()).env("CARGO_TARGET_DIR", place).stdin(Stdio::null());
    let at = Instant::now();
    must(&mut command)?;
    let took = at.elapsed();
    std::fs::remove_dir_all(place)?;
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
