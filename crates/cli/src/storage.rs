//! `welkin storage check`, `backup`, `restore` and `stats`: what an operator does with a storage service's data.
//!
//! All but `restore` work on the data of a running service, by its control socket, and of one that does not run.

mod backup;
mod check;
mod stats;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::{CliError, chain};

/// What can be done with the data of a storage service.
#[derive(Debug, Clone, Subcommand)]
pub enum StorageCommand {
    /// Look at all data and say what is damaged
    Check(DataArgs),
    /// Write all data, as of now, to a file or a pipe
    Backup(BackupArgs),
    /// Make a data folder of a backup
    Restore(RestoreArgs),
    /// Show figures of the data and of the service
    Stats(StatsArgs),
}

/// Whose data.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// The data folder of the storage service
    #[arg(long, value_name = "FOLDER", default_value = "welkin-storage")]
    pub data: PathBuf,
}

/// Arguments of `storage backup`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  welkin storage backup --data ./data --to monday.backup\n  \
    welkin storage backup --data ./data --to - | ssh elsewhere 'cat > monday.backup'")]
pub struct BackupArgs {
    #[command(flatten)]
    pub of: DataArgs,
    /// The file, which must not exist; - is standard output
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Arguments of `storage restore`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  welkin storage restore --from monday.backup --data ./restored\n  \
    ssh elsewhere 'cat monday.backup' | welkin storage restore --from - --data ./restored")]
pub struct RestoreArgs {
    /// The backup; - is standard input
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The new data folder, which must not exist or be empty
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
}

/// Arguments of `storage stats`.
#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub of: DataArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Does it.
pub async fn run(command: &StorageCommand) -> Result<(), CliError> {
    match command {
        StorageCommand::Check(args) => check::run(args).await,
        StorageCommand::Backup(args) => backup::backup(args).await,
        StorageCommand::Restore(args) => backup::restore(args).await,
        StorageCommand::Stats(args) => stats::run(args).await,
    }
}

fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::Service(chain(error))
}
