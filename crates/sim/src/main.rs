//! Replays a seed and tells what happens, or runs one seed after the other until something does not hold.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use welkin_sim::{Canary, Options, Violation, run};

/// The fabric from one seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Replay this seed and tell what happens.
    #[arg(long, conflicts_with = "hours")]
    seed: Option<u64>,
    /// Run seeds nobody ran before for so long, on every processor.
    #[arg(long, default_value_t = 0.01)]
    hours: f64,
    /// Nodes of each run; otherwise up to nine, from the seed.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    nodes: Option<u32>,
    /// Switch a bug on, to see that it is found.
    #[arg(long, value_parser = canary)]
    canary: Option<Canary>,
}

fn canary(name: &str) -> Result<Canary, String> {
    let names: Vec<String> = Canary::ALL.iter().map(|canary| format!("{canary:?}")).collect();
    let found = Canary::ALL.into_iter().find(|canary| format!("{canary:?}") == name);
    found.ok_or_else(|| format!("there are {}", names.join(", ")))
}

fn main() -> ExitCode {
    let Arguments { seed, hours, nodes, canary } = Arguments::parse();
    let options = Options { seed: seed.unwrap_or_default(), nodes, canary, trace: seed.is_some() };
    let found = match seed {
        Some(_) => run(options).map(|outcome| println!("{outcome:?}")).err(),
        None => search(options, Duration::from_secs_f64((hours * 3_600.0).clamp(1.0, 1e9))),
    };
    match found {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("{violation}\nreplay with ./x sim --seed {}", violation.seed);
            ExitCode::FAILURE
        }
    }
}

/// Runs seeds from a new one on; answers the first violation.
fn search(options: Options, for_so_long: Duration) -> Option<Violation> {
    let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() << 16);
    let next = AtomicU64::new(first);
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let found = std::thread::scope(|scope| {
        let work = || {
            while began.elapsed() < for_so_long {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if let Err(violation) = run(Options { seed, ..options }) {
                    return Some(violation);
                }
            }
            None
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().find_map(|one| one.join().ok().flatten())
    });
    println!("{} seeds from {first} on", next.load(Ordering::Relaxed) - first);
    found
}
