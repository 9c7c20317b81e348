//! `welkin`: every service of the cloud is a subcommand, and `welkin up` runs them all.

mod client;
mod cloud;
mod config;
mod delete;
mod deploy;
mod down;
mod error;
mod fabric_key;
mod logs;
mod network;
mod package;
mod parts;
mod process;
mod program;
mod service;
mod state;
mod status;
mod storage;
mod subscription;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::Settings;
use crate::error::{CliError, chain};

/// A cloud operating system for machines that you own.
#[derive(Debug, Parser)]
#[command(name = "welkin", version, arg_required_else_help = true)]
struct Arguments {
    /// The cloud's state folder
    #[arg(
        long,
        global = true,
        env = "WELKIN_STATE",
        default_value = "/var/lib/welkin",
        value_name = "FOLDER"
    )]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole cloud on this machine
    Up(up::UpArgs),
    /// End the cloud; its state stays
    Down,
    /// Show every endpoint, node, deployment and instance
    Status(status::StatusArgs),
    /// Show what a part or a role instance says
    Logs(logs::LogsArgs),
    /// Make a service package from a definition and the roles' files
    Package(package::PackageArgs),
    /// Print the key to which this cloud's service packages are encrypted
    FabricKey,
    /// Deploy a service package
    Deploy(deploy::DeployArgs),
    /// Delete a hosted service and its deployments
    Delete(delete::DeleteArgs),
    /// Make, list and change subscriptions: who may manage what, and how much of it
    Subscription(subscription::SubscriptionArgs),
    /// Run the storage service: alone (--dev), or as a part of a cloud; check and back up its data
    Storage(service::StorageArgs),
    /// Run the management service (a part of a cloud)
    #[command(hide = true)]
    Management(service::PartArgs),
    /// Run the fabric controller (a part of a cloud)
    #[command(hide = true)]
    Fabric(service::PartArgs),
    /// Run the fabric agent (a part of a cloud)
    #[command(hide = true)]
    Agent(service::AgentArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&chain(&error)),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> Result<(), CliError> {
    let state = &arguments.state;
    match arguments.command {
        Command::Up(args) => up::run(state, &args).await,
        Command::Down => down::run(state),
        Command::Status(args) => status::run(state, &args).await,
        Command::Logs(args) => logs::run(state, &args).await,
        Command::Package(args) => package::run(&args).map_err(|error| CliError::Service(chain(&error))),
        Command::FabricKey => {
            let settings = settings(state)?;
            blocking(move || fabric_key::run(&settings)).await
        }
        Command::Deploy(args) => {
            let settings = settings(state)?;
            blocking(move || deploy::run(&args, &settings)).await
        }
        Command::Delete(args) => {
            let settings = settings(state)?;
            blocking(move || delete::run(&args, &settings)).await
        }
        Command::Subscription(args) => subscription::run(state, &args).await,
        Command::Storage(args) => service::storage(&args).await,
        Command::Management(args) => service::management(&args).await,
        Command::Fabric(args) => service::fabric(&args).await,
        Command::Agent(args) => service::agent(&args).await,
    }
}

/// The operator's settings of the cloud in a state folder.
fn settings(state: &std::path::Path) -> Result<Settings, CliError> {
    let cloud = state::open(state)?;
    Settings::load(&cloud.path("admin")).map_err(|error| CliError::Service(chain(&error)))
}

/// Runs a command that blocks apart from the runtime's own threads.
async fn blocking<E: std::error::Error + Send + 'static>(
    command: impl FnOnce() -> Result<(), E> + Send + 'static,
) -> Result<(), CliError> {
    match tokio::task::spawn_blocking(command).await {
        Ok(result) => result.map_err(|error| CliError::Service(chain(&error))),
        Err(error) => Err(CliError::Service(error.to_string())),
    }
}
