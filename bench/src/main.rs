//! Benchmarks. Each compares two ways of doing the same work in one run on one machine, and
//! prints ratios: rates of a shared disk say little by themselves.

mod engine;
mod load;
mod raw;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures Welkin against the limits of the machine.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The embedded engine against raw writes and reads of the same bytes.
    Engine(EngineArguments),
}

/// How to measure the engine.
#[derive(Debug, clap::Args)]
struct EngineArguments {
    /// A folder on the disk to be measured; the work is done in a new folder inside, which is removed.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Rounds; each does every work once, and the medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Duration of one measurement, in milliseconds.
    #[arg(long, default_value_t = 1500)]
    measure_ms: u64,
}

fn main() -> ExitCode {
    let What::Engine(arguments) = Arguments::parse().what;
    let run = engine::run(&arguments.folder, arguments.rounds, Duration::from_millis(arguments.measure_ms));
    match run {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}
