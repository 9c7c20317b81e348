//! Some hundreds of runs. `./x sim --seed N` replays one and tells what happens; `WELKIN_SIM_SEEDS=n` runs that many.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use welkin_sim::{Canary, Options, Outcome, Violation, run};

const SEEDS: u64 = 200;
/// A canary is found within this many seeds.
const CANARY_SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs seeds on all processors and answers the violation of the lowest seed, if any.
fn run_all(seeds: Range<u64>, canary: Option<Canary>) -> Result<Vec<Outcome>, Violation> {
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    let worst: Mutex<Option<Violation>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while worst.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match run(Options { seed, canary, ..Options::default() }) {
                        Ok(outcome) => outcomes.lock().unwrap().push(outcome),
                        Err(violation) => {
                            let mut worst = worst.lock().unwrap();
                            if worst.as_ref().is_none_or(|known| violation.seed < known.seed) {
                                *worst = Some(violation);
                            }
                        }
                    }
                }
            });
        }
    });
    match worst.into_inner().unwrap() {
        Some(violation) => Err(violation),
        None => Ok(outcomes.into_inner().unwrap()),
    }
}

#[test]
fn seeds_hold() {
    let seeds = 0..number("WELKIN_SIM_SEEDS").unwrap_or(SEEDS);
    let count = seeds.end - seeds.start;
    let outcomes = match run_all(seeds, None) {
        Ok(outcomes) => outcomes,
        Err(violation) => panic!("{violation}\nreplay with ./x sim --seed {}", violation.seed),
    };
    if count >= SEEDS {
        // The runs are not idle: each thing that can happen did.
        let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
        assert!(sum(|outcome| outcome.granted) > 5 * count);
        assert!(sum(|outcome| outcome.restarts) > count);
        assert!(sum(|outcome| outcome.cut_short) > 10);
        assert!(sum(|outcome| outcome.updates) > count);
        assert!(sum(|outcome| outcome.deposed) > 10);
        assert!(sum(|outcome| outcome.lies) > count);
        assert!(sum(|outcome| outcome.orders) > count);
        assert!(outcomes.iter().map(|outcome| outcome.deployments).sum::<usize>() > 100);
    }
}

#[test]
fn a_seed_is_one_run() {
    let options = Options { seed: 3, ..Options::default() };
    assert_eq!(run(options), run(options));
}

/// Hundreds of nodes, of which some die all the time.
#[test]
fn a_large_fleet_holds() {
    let options = Options { seed: 1, nodes: Some(300), ..Options::default() };
    let outcome = run(options).unwrap();
    assert!(outcome.granted > 10, "{outcome:?}");
}

#[test]
fn canaries_are_found() {
    for canary in Canary::ALL {
        let found = run_all(0..CANARY_SEEDS, Some(canary));
        let violation = found.err().unwrap_or_else(|| panic!("{canary:?} was not found"));
        println!("{canary:?}: {violation}");
    }
}
