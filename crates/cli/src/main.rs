//! `welkin`: every service of the cloud is a subcommand, and `welkin up` runs them all.

mod client;
mod cloud;
mod completion;
mod config;
mod delete;
mod deploy;
mod down;
mod error;
mod etcd;
mod exit;
mod fabric_key;
mod login;
mod logs;
mod manage;
mod network;
mod node;
mod package;
mod part;
mod parts;
mod process;
mod profile;
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

use crate::client::{Client, Settings};
use crate::error::{CliError, chain};
use crate::manage::ManageError;

/// A fifth of the time of a small read was the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A cloud operating system for machines that you own.
#[derive(Debug, Parser)]
#[command(name = "welkin", version, arg_required_else_help = true, after_help = exit::HELP)]
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
    /// The profile that `welkin login` made, instead of the cloud in the state folder
    #[arg(long, global = true, env = "WELKIN_PROFILE", value_name = "NAME", value_parser = profile::name)]
    profile: Option<String>,
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
    /// Nodes: what there is, and what an operator does with them
    #[command(subcommand)]
    Node(node::Node),
    /// Show what a part or a role instance says
    Logs(logs::LogsArgs),
    /// Make a key pair and a certificate, and say where a cloud is
    Login(login::LoginArgs),
    /// Profiles: the clouds that you manage
    #[command(subcommand)]
    Profile(profile::Profile),
    /// Hosted services
    #[command(subcommand)]
    Service(manage::Service),
    /// Deployments: what runs in the slots of a hosted service
    #[command(subcommand)]
    Deployment(manage::Deployment),
    /// Role instances
    #[command(subcommand)]
    Instance(manage::Instance),
    /// Certificates whose keys the roles of a service may use
    #[command(subcommand)]
    ServiceCertificate(manage::ServiceCertificate),
    /// Storage accounts
    #[command(subcommand)]
    StorageAccount(manage::StorageAccount),
    /// Affinity groups
    #[command(subcommand)]
    AffinityGroup(manage::AffinityGroup),
    /// Management certificates: who may manage the subscription
    #[command(subcommand)]
    Certificate(manage::Certificate),
    /// Operations: what was asked, and how it ended
    #[command(subcommand)]
    Operation(manage::Operation),
    /// Locations
    #[command(subcommand)]
    Location(manage::Location),
    /// Sizes of roles
    #[command(subcommand)]
    RoleSize(manage::RoleSize),
    /// Guest OS versions
    #[command(subcommand)]
    GuestOs(manage::GuestOs),
    /// Print what a shell needs to complete commands
    Completion(completion::CompletionArgs),
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
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            if let Some(advice) = exit::advice(&error) {
                eprintln!("hint: {advice}");
            }
            exit::code(&error)
        }
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

async fn run(arguments: Arguments) -> Result<(), CliError> {
    let (state, profile) = (&arguments.state, arguments.profile.clone());
    let settings = || profile::settings(state, profile.as_deref());
    match arguments.command {
        Command::Login(args) => {
            let state = state.clone();
            blocking(move || login::run(&args, &state, profile.as_deref())).await
        }
        Command::Profile(verb) => {
            let state = state.clone();
            blocking(move || verb.run(&state, profile.as_deref())).await
        }
        Command::Service(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Deployment(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Instance(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::ServiceCertificate(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::StorageAccount(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::AffinityGroup(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Certificate(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Operation(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Location(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::RoleSize(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::GuestOs(verb) => manage(settings()?, move |client| verb.run(client)).await,
        Command::Completion(args) => {
            completion::run(&args);
            Ok(())
        }
        Command::Up(args) => up::run(state, &args).await,
        Command::Down => down::run(state),
        Command::Status(args) => status::run(state, profile.as_deref(), &args).await,
        Command::Node(verb) => verb.run(state).await,
        Command::Logs(args) => logs::run(state, &args).await,
        Command::Package(args) => Ok(package::run(&args)?),
        Command::FabricKey => {
            let settings = settings()?;
            blocking(move || fabric_key::run(&settings)).await
        }
        Command::Deploy(args) => {
            let settings = settings()?;
            blocking(move || deploy::run(&args, &settings)).await
        }
        Command::Delete(args) => {
            let settings = settings()?;
            blocking(move || delete::run(&args, &settings)).await
        }
        Command::Subscription(args) => subscription::run(state, &args).await,
        Command::Storage(args) => service::storage(&args).await,
        Command::Management(args) => service::management(&args).await,
        Command::Fabric(args) => service::fabric(&args).await,
        Command::Agent(args) => service::agent(&args).await,
    }
}

/// Runs a command of the management API.
async fn manage(
    settings: Settings,
    command: impl FnOnce(&Client) -> Result<(), ManageError> + Send + 'static,
) -> Result<(), CliError> {
    blocking(move || command(&Client::new(&settings)?)).await
}

/// Runs a command that blocks apart from the runtime's own threads.
async fn blocking<E: Into<CliError> + Send + 'static>(
    command: impl FnOnce() -> Result<(), E> + Send + 'static,
) -> Result<(), CliError> {
    match tokio::task::spawn_blocking(command).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(CliError::Service(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn every_command_has_examples() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let has = |command: &clap::Command| {
                command.get_after_help().is_some_and(|help| help.to_string().contains("Example"))
            };
            let plain = ["down", "fabric-key"].contains(&command.get_name());
            assert!(plain || has(command) || command.get_subcommands().all(has), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }

    #[test]
    fn every_listing_has_json() {
        let command = Arguments::command();
        let nouns = command.get_subcommands().flat_map(clap::Command::get_subcommands);
        for verb in nouns.filter(|verb| ["list", "show", "keys", "events"].contains(&verb.get_name())) {
            let has = |command: &clap::Command| command.get_arguments().any(|one| one.get_id() == "json");
            let parent = command
                .get_subcommands()
                .find(|noun| noun.get_subcommands().any(|one| std::ptr::eq(one, verb)));
            assert!(has(verb) || parent.is_some_and(has), "{}", verb.get_name());
        }
    }
}
