//! Measures a start: medians of N starts of `/bin/true` here, beside a bare `std::process::Command` and
//! `bwrap` (where it is installed) with all its namespaces.
//!
//! `cargo run --release -p envseal-sandbox --example start [N]`

#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use envseal_sandbox::{Image, Spec, start};

const BWRAP: [&str; 9] =
    ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"];

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(500), |count| count.parse::<usize>())?;
    let (mut bare, mut ours, mut opening, mut started, mut bwrap) = (vec![], vec![], vec![], vec![], vec![]);
    let has_bwrap = Command::new("bwrap").arg("--version").output().is_ok();
    // In turns, so that a noisy moment meets both.
    for _ in 0..count {
        let at = Instant::now();
        Command::new("/bin/true").env_clear().status()?;
        bare.push(at.elapsed());

        let at = Instant::now();
        let image = Image::open("/bin/true".as_ref())?;
        opening.push(at.elapsed());
        let at = Instant::now();
        let mut running = start(Spec::new(image))?;
        started.push(at.elapsed());
        running.wait()?;
        drop(running);
        ours.push(at.elapsed());

        if has_bwrap {
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
