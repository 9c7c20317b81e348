//! Repository chores and house rules.

mod fuzz;
mod images;
mod run;
mod sample;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Repository chores and house rules.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Build the guest OS image.
    Images {
        /// Where to put kernel, initramfs, root and version.toml.
        #[arg(long)]
        out: PathBuf,
    },
    /// Build the sample service's role folders.
    Sample {
        /// Where to put the service definition and a folder for each role.
        #[arg(long)]
        out: PathBuf,
    },
    /// Build `welkin-tls`, which takes TLS off an endpoint, as a program that needs no library of the guest OS.
    Tls {
        /// Where to put the program.
        #[arg(long)]
        out: PathBuf,
    },
    /// Fuzz the parsers of the storage protocol.
    Fuzz(fuzz::Fuzz),
    /// Check the house rules.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Images { out } => images::build(&out),
        Chore::Sample { out } => sample::build(&out),
        Chore::Tls { out } => sample::build_tls(&out),
        Chore::Fuzz(fuzz) => fuzz::run(&fuzz),
        Chore::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
