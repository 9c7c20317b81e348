//! Benchmarks. Each compares two ways of doing the same work in one run on one machine, and
//! prints ratios: rates of a shared disk say little by themselves.

mod engine;
mod fabric;
mod failover;
mod load;
mod management;
mod page;
mod raw;
mod report;
mod storage;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::page::Page;

/// Measures Welkin against the limits of the machine, and against its peers.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The embedded engine against raw writes and reads of the same bytes.
    Engine(EngineArguments),
    /// The storage service against its peers, and against raw writes of the same bytes.
    Storage(StorageArguments),
    /// How the cost of the storage service grows with what is stored.
    Growth(StorageArguments),
    /// The management API, with one client and with 64, and as services grow.
    Management(ManagementArguments),
    /// How long nobody leads after a fabric controller was killed (root).
    Failover(FailoverArguments),
    /// Placement in fleets of up to 100,000 nodes.
    Fabric(FabricArguments),
    /// All, as the page of the documentation.
    Page(PageArguments),
}

/// How to measure the engine.
#[derive(Debug, clap::Args)]
struct EngineArguments {
    #[command(flatten)]
    common: Common,
    /// Duration of one measurement, in milliseconds.
    #[arg(long, default_value_t = 1500)]
    measure_ms: u64,
}

/// How to measure the storage service.
#[derive(Debug, clap::Args)]
struct StorageArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    storage: storage::Arguments,
}

/// How to measure the management API.
#[derive(Debug, clap::Args)]
struct ManagementArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    management: management::Arguments,
    /// The page whose section is to be written anew
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

/// How to measure a failover.
#[derive(Debug, clap::Args)]
struct FailoverArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    failover: failover::Arguments,
}

/// How to measure placement.
#[derive(Debug, clap::Args)]
struct FabricArguments {
    #[command(flatten)]
    fabric: fabric::Arguments,
    /// Rounds; the medians are printed.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
}

/// How to measure everything.
#[derive(Debug, clap::Args)]
struct PageArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    storage: storage::Arguments,
    #[command(flatten)]
    fabric: fabric::Arguments,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Measure how cost grows too; otherwise that part of the page stays as it was.
    #[arg(long)]
    scale: bool,
    /// The load average before everything, when this program was built for the run.
    #[arg(long, value_name = "TEXT")]
    load_average: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// A folder on the disk to be measured; the work is done in a new folder inside, which is removed.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Rounds; each does every work once, and the medians are printed.
    #[arg(long, default_value_t = 3, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    rounds: usize,
}

fn main() -> ExitCode {
    match run(Arguments::parse().what) {
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

fn run(what: What) -> Result<String, Box<dyn Error>> {
    match what {
        What::Engine(EngineArguments { common, measure_ms }) => {
            let duration = Duration::from_millis(measure_ms);
            Ok(engine::run(&common.folder, common.rounds, duration)?.to_string())
        }
        What::Storage(StorageArguments { common, storage }) => {
            let report = storage::run(&storage, &common.folder, common.rounds)?;
            Ok(format!("{}\n{}", report.targets(), report.details()))
        }
        What::Growth(StorageArguments { common, storage }) => {
            let machine = storage::Machine::look(None);
            Ok(storage::measure_growth(&storage, &common.folder, common.rounds, &machine)?.to_string())
        }
        What::Management(arguments) => measure_management(&arguments),
        What::Failover(FailoverArguments { common, failover }) => {
            Ok(failover::run(&failover, &common.folder)?.to_string())
        }
        What::Fabric(FabricArguments { fabric, rounds }) => Ok(fabric::run(&fabric, rounds).to_string()),
        What::Page(arguments) => page(arguments),
    }
}

fn measure_management(arguments: &ManagementArguments) -> Result<String, Box<dyn Error>> {
    let ManagementArguments { common, management, into } = arguments;
    let machine = storage::Machine::look(None);
    let figures = management::run(management, &common.folder, common.rounds)?;
    let section = page::Management { machine: Some(machine), rounds: common.rounds, figures }.to_string();
    if let Some(path) = into {
        let last = std::fs::read_to_string(path)?;
        let page = page::with_management(&last, &section).ok_or("the page has no such section")?;
        std::fs::write(path, page)?;
    }
    Ok(section)
}

fn page(arguments: PageArguments) -> Result<String, Box<dyn Error>> {
    let PageArguments { common, storage, fabric, out, scale, load_average } = arguments;
    let machine = storage::Machine::look(load_average);
    // The engine's own measurements may be shorter: nothing but the disk must come to speed.
    let duration = Duration::from_secs_f64(storage.seconds * 0.75);
    let engine = engine::run(&common.folder, common.rounds, duration)?;
    let figures = storage::run(&storage, &common.folder, common.rounds)?;
    let fabric = fabric::run(&fabric, common.rounds);
    let (rounds, seconds) = (common.rounds, storage.seconds);
    eprintln!("management");
    let management = management::Arguments {
        welkin: storage.welkin.clone(),
        seconds: storage.seconds,
        port_offset: storage.port_offset,
    };
    let management = management::run(&management, &common.folder, common.rounds)?;
    let management = page::Management { machine: None, rounds: common.rounds, figures: management };
    let growth = if scale {
        storage::measure_growth(&storage, &common.folder, common.rounds, &machine)?.to_string()
    } else {
        let last = std::fs::read_to_string(&out).unwrap_or_default();
        page::growth_of(&last).unwrap_or("Not measured yet.").to_owned()
    };
    let page =
        Page { machine, rounds, seconds, engine, storage: figures, management, fabric, growth }.to_string();
    std::fs::write(&out, &page)?;
    Ok(page)
}
