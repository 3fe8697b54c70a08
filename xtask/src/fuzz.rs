//! Runs the fuzz targets with coverage feedback, on the stable compiler.
//!
//! `cargo fuzz` wants a nightly compiler; what it does is set these flags. RUSTC_BOOTSTRAP lets the stable one
//! take them, for the fuzz crate alone.

use std::process::Command;

use crate::{Failed, cargo, must, root};

const TARGETS: &[&str] = &["masker", "vault_rows"];

/// SanitizerCoverage with libFuzzer's counters (LLVM documentation, "SanitizerCoverage").
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1";

const HOST: &str = "x86_64-unknown-linux-gnu";

/// Builds the targets and runs each for so many seconds from an empty corpus.
pub fn run(seconds: u32) -> Result<(), Failed> {
    let build = root().join("fuzz/target");
    must(
        cargo()
            .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", HOST])
            .env("CARGO_TARGET_DIR", &build)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS),
    )?;
    for target in TARGETS {
        println!("fuzzing {target} for {seconds} s");
        let corpus = root().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let binary = build.join(HOST).join("release").join(target);
        must(Command::new(binary).arg(corpus).arg(format!("-max_total_time={seconds}")).args([
            "-print_final_stats=1",
            "-verbosity=0",
            "-rss_limit_mb=4096",
        ]))?;
        println!("{target}: no failure");
    }
    Ok(())
}
