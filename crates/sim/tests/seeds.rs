//! Some hundreds of runs. `WELKIN_SIM_SEED=n` replays one; `WELKIN_SIM_SEEDS=n` runs that many.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use welkin_sim::{Canary, Outcome, Violation, run};

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
                    match run(seed, canary) {
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
    let seeds = match number("WELKIN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WELKIN_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    let outcomes = match run_all(seeds, None) {
        Ok(outcomes) => outcomes,
        Err(violation) => panic!("{violation}\nreplay with WELKIN_SIM_SEED={}", violation.seed),
    };
    if count >= SEEDS {
        // The runs are not idle: things were deployed, and controllers ended.
        assert!(outcomes.iter().map(|outcome| outcome.granted).sum::<u64>() > 5 * count);
        assert!(outcomes.iter().map(|outcome| outcome.restarts).sum::<u64>() > count);
        assert!(outcomes.iter().map(|outcome| outcome.cut_short).sum::<u64>() > 10);
        assert!(outcomes.iter().map(|outcome| outcome.updates).sum::<u64>() > count);
        assert!(outcomes.iter().map(|outcome| outcome.deployments).sum::<usize>() > 100);
    }
}

#[test]
fn a_seed_is_one_run() {
    assert_eq!(run(3, None), run(3, None));
}

#[test]
fn canaries_are_found() {
    for canary in
        [Canary::ForgetsLeaving, Canary::SaysBeforeStoring, Canary::KeepsIncarnation, Canary::SkipsHealth]
    {
        let violation =
            run_all(0..CANARY_SEEDS, Some(canary)).expect_err(&format!("{canary:?} was not found"));
        println!("{canary:?}: {violation}");
    }
}
