//! Ratios against peers, taken in one run on one machine: a time alone says nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Failed, cargo, must, prepare, root, starts};

/// Times `envseal run -- true` with three secrets beside the bare program and `bwrap`, and prints the ratios;
/// then the sandbox alone.
pub fn run(runs: u32) -> Result<(), Failed> {
    prepare::programs()?;
    must(cargo().args(["build", "--release", "--locked", "--package", "envseal"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = target.join("release/envseal");
    let home = std::env::temp_dir().join(format!("envseal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let measured = measure(&program, &home, runs);
    std::fs::remove_dir_all(&home)?;
    measured?;
    starts::run(&target, runs)
}

fn measure(program: &Path, home: &Path, runs: u32) -> Result<(), Failed> {
    let envseal = |args: &[&str], input: &str| -> Result<(), Failed> {
        let mut command = Command::new(program);
        place(&mut command, home);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().ok_or("no pipe")?.write_all(input.as_bytes())?;
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("envseal {args:?}: {status}").into()) }
    };
    let keyfile = home.join("keyfile");
    let keyfile = keyfile.to_str().ok_or("a temporary directory that is not UTF-8")?;
    envseal(&["-q", "init", "--with-keyfile", keyfile], "")?;
    let secrets = ["ONE", "TWO", "THREE"];
    for secret in secrets {
        envseal(&["-q", "--keyfile", keyfile, "store", secret], "a value of some length")?;
    }
    let ask = ["-s", "ONE", "-s", "TWO", "-s", "THREE"];
    let mut allow = vec!["-q", "--keyfile", keyfile, "allow"];
    allow.extend(ask);
    allow.extend(["--", "/bin/true"]);
    envseal(&allow, "")?;
    let results = home.join("results.csv");
    let run = format!("{} --keyfile {keyfile} run {} -- /bin/true", program.display(), ask.join(" "));
    let bwrap = "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev true";
    let mut hyperfine = Command::new("hyperfine");
    place(&mut hyperfine, home);
    hyperfine.args(["-N", "--style", "none", "--warmup", "10", "--runs", &runs.to_string(), "--export-csv"]);
    must(hyperfine.arg(&results).args(["/bin/true", bwrap, &run]).stdout(Stdio::null()))?;

    let table = std::fs::read_to_string(results)?;
    let medians: Vec<f64> = table
        .lines()
        .skip(1)
        .map(median)
        .collect::<Option<_>>()
        .ok_or("hyperfine's table has another shape")?;
    let [bare, bwrap, envseal] = medians[..] else { return Err("hyperfine measured something else".into()) };
    println!("median of {runs} runs, one machine, one run:");
    for (name, time) in [
        ("bare /bin/true", bare),
        ("bwrap --unshare-all", bwrap),
        ("envseal run, 3 secrets, key file", envseal),
    ] {
        println!(
            "{name:<34} {:7.2} ms  {:6.2} of bare  {:5.2} of bwrap",
            time * 1e3,
            time / bare,
            time / bwrap
        );
    }
    Ok(())
}

fn place(command: &mut Command, home: &Path) {
    command
        .env("ENVSEAL_HOME", home.join("vault"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env_remove("XDG_RUNTIME_DIR");
}

/// The column `median` of a row of hyperfine's table, in seconds: command,mean,stddev,median,user,system,min,max.
fn median(row: &str) -> Option<f64> {
    row.rsplit(',').nth(4)?.parse().ok()
}
