//! Measures a start: medians of N starts of `/bin/true` here, beside a bare `std::process::Command` and
//! `bwrap` (where it is installed) with all its namespaces.
//!
//! `cargo run --release -p envseal-sandbox --example start [N [TIER [ENGINE]]]`
//!
//! A guarantee that this machine does not give is waived, so that a tier can be measured everywhere.

#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use envseal_sandbox::{Engine, Guarantee, Image, Spec, Tier, start};

const BWRAP: [&str; 9] =
    ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"];

/// Into how many blocks each program's starts are divided.
const BLOCKS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |place| std::env::args().nth(place);
    let count = argument(1).map_or(Ok(500), |count| count.parse::<usize>())?;
    let tier: Tier = argument(2).map_or(Ok(Tier::None), |tier| tier.parse())?;
    let engine: Engine = argument(3).map_or(Ok(Engine::Private), |engine| engine.parse())?;
    // As envseal has it: a directory of the user's home is hidden.
    let home = std::env::var_os("HOME").unwrap_or_default();
    let hidden = std::path::Path::new(&home).join(".local/share/envseal");
    let (mut bare, mut ours, mut opening, mut started, mut bwrap) = (vec![], vec![], vec![], vec![], vec![]);
    let has_bwrap = Command::new("bwrap").arg("--version").output().is_ok();
    // In blocks, as hyperfine does it: the kernel takes a network namespace apart after the process has gone,
    // and the cost of that shall meet the program that made it. In several, so that a noisy moment meets all.
    for block in 0..BLOCKS {
        let turns = 0..count * (block + 1) / BLOCKS - count * block / BLOCKS;
        for _ in turns.clone() {
            let at = Instant::now();
            Command::new("/bin/true").env_clear().status()?;
            bare.push(at.elapsed());
        }
        for _ in turns.clone() {
            let at = Instant::now();
            let image = Image::open("/bin/true".as_ref())?;
            opening.push(at.elapsed());
            let at = Instant::now();
            let spec = Spec::new(image).tier(tier).engine(engine).hide(&hidden);
            let mut running = start(spec.allow_weaker(Guarantee::ALL))?;
            started.push(at.elapsed());
            running.wait()?;
            drop(running);
            ours.push(at.elapsed());
        }
        for _ in turns.filter(|_| has_bwrap) {
            let at = Instant::now();
            Command::new("bwrap").args(BWRAP).status()?;
            bwrap.push(at.elapsed());
        }
    }
    let [bare, opening, started, ours, bwrap] = [bare, opening, started, ours, bwrap].map(median);
    let of = |part: Duration, whole: Duration| part.as_secs_f64() / whole.as_secs_f64();
    println!("bare exec, start to end         {bare:>10.1?}");
    println!("open and hash the image         {opening:>10.1?}");
    println!("start() until it runs           {started:>10.1?}");
    println!("start(), wait() and drop        {ours:>10.1?}");
    println!("all of it, ratio to bare        {:>10.2}", of(opening + ours, bare));
    if has_bwrap {
        println!("bwrap --unshare-all             {bwrap:>10.1?}");
        println!("all of it, ratio to bwrap       {:>10.2}", of(opening + ours, bwrap));
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
