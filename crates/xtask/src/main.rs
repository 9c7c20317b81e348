//! Repository chores and house rules.

mod images;
mod run;

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
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Images { out } => images::build(&out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
