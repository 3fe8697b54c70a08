//! A run costs what it asks for, not what there is.
#![allow(clippy::print_stdout, reason = "measurements are for whoever runs the tests")]

mod support;

use std::time::{Duration, Instant};

use envseal_vault::*;
use support::*;

fn filled(secrets: usize) -> Place {
    let place = Place::new();
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    unlocked.put(&name("FIRST"), &value("first"), &[]).unwrap();
    let names = (0..secrets).map(|number| name(&format!("MANY/{number}")));
    unlocked.put_all(names.map(|name| (name.clone(), value(name.as_str()), vec![]))).unwrap();
    drop(unlocked);
    drop(vault);
    place
}

fn time_of_a_run(place: &Place) -> Duration {
    let mut vault = place.open();
    let mut unlocked = unlock(&mut vault);
    let once = |unlocked: &mut Unlocked<'_>| {
        let begun = Instant::now();
        unlocked.begin_run(&run(), None, &[name("FIRST"), name("MANY/3"), name("MANY/7")]).unwrap();
        begun.elapsed()
    };
    once(&mut unlocked);
    let mut times: Vec<_> = (0..41).map(|_| once(&mut unlocked)).collect();
    times.sort();
    times[20]
}

#[test]
fn a_run_among_a_hundred_thousand_secrets_reads_as_little_as_among_ten() {
    let (few, many) = (filled(10), filled(100_000));
    // Turn by turn, so that what else the machine does falls on both.
    let rounds: Vec<_> = (0..5).map(|_| (time_of_a_run(&few), time_of_a_run(&many))).collect();
    println!("{rounds:?}");
    let fast = rounds.iter().map(|round| round.0).min().unwrap();
    let slow = rounds.iter().map(|round| round.1).min().unwrap();
    println!(
        "median run with 10 secrets {fast:?}, with 100,000 {slow:?}: {:.2}",
        slow.as_secs_f64() / fast.as_secs_f64()
    );

    // Rows: those of the leaves that the three names fall into.
    let rows = |place: &Place| -> i64 {
        let sql = "SELECT count(*) FROM entry WHERE leaf IN \
                   (SELECT leaf FROM entry WHERE name IN ('FIRST', 'MANY/3', 'MANY/7'))";
        place.attacker().query_row(sql, (), |row| row.get(0)).unwrap()
    };
    println!("rows read: {} and {}", rows(&few), rows(&many));
    assert_eq!(rows(&few), 3);
    assert!(rows(&many) <= 20);

    let begun = Instant::now();
    let mut vault = many.open();
    let unlocked = unlock(&mut vault);
    println!("unlocking among 100,000 by key file: {:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(unlocked.verify().unwrap().secrets, 100_001);
    println!("verifying all of 100,000: {:?}", begun.elapsed());
}
