//! Placement: how fast an instance finds its node in fleets of different sizes, and how densely nodes are packed.

mod fleet;
mod mix;
mod report;

use std::time::Instant;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use self::fleet::{Fleet, least_nodes, offline_nodes};
use self::mix::Request;
pub use self::report::Report;
use self::report::{Row, percentile_ms};

/// Nodes of the fleets.
const FLEETS: [u32; 4] = [100, 1_000, 10_000, 100_000];
/// The fleet is filled so far before decisions are measured, in percent of its cores.
const FULL_PERCENT: u64 = 90;
/// Decisions that are measured in each round, at least.
const DECISIONS: usize = 50_000;
/// Fleets are filled with the same requests in each run.
const SEED: u64 = 45_24;

/// How to measure placement.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Nodes of the largest fleet.
    #[arg(long, value_name = "NODES", default_value_t = 100_000)]
    fleet_max: u32,
}

/// Measures every fleet, each so many rounds.
pub fn run(arguments: &Arguments, rounds: usize) -> Report {
    let fleets = FLEETS.into_iter().filter(|nodes| *nodes <= arguments.fleet_max);
    Report { rounds, rows: fleets.map(|nodes| measure(nodes, rounds)).collect() }
}

fn measure(nodes: u32, rounds: usize) -> Row {
    let mut rng = StdRng::seed_from_u64(SEED);
    let requests = mix::requests(u64::from(nodes) * mix::NODE_CORES * FULL_PERCENT / 100, &mut rng);
    let mut fleet = Fleet::new(nodes);
    let refused = requests.iter().filter(|request| !fleet.place(request, &mut |_| {})).count();
    let online = fleet.nodes_in_use();
    let offline = offline_nodes(&requests);
    let mut per_second = Vec::new();
    let mut p99_ms = Vec::new();
    for _ in 0..rounds {
        let (rate, p99) = churn(&mut fleet, &mut rng);
        per_second.push(rate);
        p99_ms.push(p99);
    }
    Row {
        nodes,
        instances: requests.iter().map(|request| u64::from(request.count)).sum(),
        refused,
        per_second: crate::report::median(per_second.into_iter()),
        p99_ms: crate::report::median(p99_ms.into_iter()),
        online,
        offline,
        least: least_nodes(&requests),
    }
}

/// Roles go by chance and others come, in a full fleet: decisions per second of deciding, and the time below which 99
/// of 100 decisions were.
fn churn(fleet: &mut Fleet, rng: &mut StdRng) -> (f64, f64) {
    let mut seconds: Vec<f64> = Vec::with_capacity(DECISIONS);
    while seconds.len() < DECISIONS {
        let freed = fleet.remove_one(rng);
        for request in mix::requests(freed, rng) {
            let request: Request = request;
            let mut began = Instant::now();
            fleet.place(&request, &mut |_| {
                seconds.push(began.elapsed().as_secs_f64());
                began = Instant::now();
            });
        }
    }
    let rate = f64::from(u32::try_from(seconds.len()).unwrap_or(u32::MAX)) / seconds.iter().sum::<f64>();
    (rate, percentile_ms(&mut seconds, 99))
}
