//! The parts, each run as a process of its own by a subcommand.

use std::future::Future;
use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use welkin_storage_service::{Config, TlsFiles};
use welkin_storage_wire::admin::AccountSettings;

use crate::error::{CliError, chain};
use crate::state::read_toml;
use crate::storage::StorageCommand;

/// Ports of the storage service alone: those of Azurite.
const DEV_PORTS: [u16; 3] = [10_000, 10_001, 10_002];

/// Arguments of a part.
#[derive(Debug, Clone, clap::Args)]
pub struct PartArgs {
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Arguments of the fabric agent.
#[derive(Debug, Clone, clap::Args)]
pub struct AgentArgs {
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// End every VM of the node and remove what belongs to it, then return
    #[arg(long)]
    pub end_everything: bool,
}

/// Arguments of the storage service.
#[derive(Debug, Clone, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  welkin storage --dev\n  welkin storage --dev --data ./data --port-offset 100\n\n\
    With --dev the account is devstoreaccount1 with its well-known key, as in Azurite, on loopback only:\n  \
    BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)]
pub struct StorageArgs {
    /// What to do with the data, in place of serving it
    #[command(subcommand)]
    pub command: Option<StorageCommand>,
    /// Storage alone, with the well-known development account, on loopback
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    pub dev: bool,
    /// Where the data lives [default: ./welkin-storage]
    #[arg(long, value_name = "FOLDER", requires = "dev")]
    pub data: Option<PathBuf>,
    /// Added to the ports 10000 (blob), 10001 (queue) and 10002 (table)
    #[arg(long, requires = "dev", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=50_000))]
    pub port_offset: u16,
    /// HTTPS in place of HTTP, with a certificate of its own, made in the data folder, or a given one
    #[arg(long, requires = "dev")]
    pub https: bool,
    /// The certificate of HTTPS (PEM), and after it those of the authorities between
    #[arg(long, value_name = "FILE", requires = "https", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Serve metrics for Prometheus at this address, at /metrics
    #[arg(long, value_name = "ADDRESS", requires = "dev")]
    pub metrics: Option<SocketAddr>,
    /// Keep the state before each write of a blob as a version
    #[arg(long, requires = "dev")]
    pub versioning: bool,
    /// Keep deleted containers for so many days
    #[arg(long, value_name = "DAYS", requires = "dev")]
    pub container_retention_days: Option<u32>,
    /// A name of an encryption scope; may be given more than once
    #[arg(long = "encryption-scope", value_name = "NAME", requires = "dev")]
    pub encryption_scopes: Vec<String>,
    /// Configuration of a storage service that is a part of a cloud
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs the storage service, or does something with its data.
pub async fn storage(arguments: &StorageArgs) -> Result<(), CliError> {
    if let Some(command) = &arguments.command {
        return crate::storage::run(command).await;
    }
    let config = match &arguments.config {
        Some(path) => read_toml(path)?,
        None => development(arguments),
    };
    if arguments.dev {
        for (name, address) in ["blobs ", "queues", "tables"].iter().zip(dev_addresses(arguments)) {
            println!(
                "{name}  {}://{address}/devstoreaccount1",
                if arguments.https { "https" } else { "http" }
            );
        }
        if let Some(address) = arguments.metrics {
            println!("metrics http://{address}/metrics");
        }
        println!("data    {}", config.data_folder.display());
    }
    run(|shutdown| welkin_storage_service::run(config, shutdown)).await
}

fn development(arguments: &StorageArgs) -> Config {
    let data = arguments.data.clone().unwrap_or_else(|| PathBuf::from("welkin-storage"));
    let [blob, queue, table] = dev_addresses(arguments).map(|address| vec![address]);
    let files = arguments.certificate.clone().zip(arguments.key.clone());
    let settings = AccountSettings {
        versioning: arguments.versioning,
        container_retention_days: arguments.container_retention_days,
        encryption_scopes: arguments.encryption_scopes.clone(),
    };
    let config = Config {
        data_folder: data,
        dev: true,
        dev_settings: Some(settings),
        metrics_listen: arguments.metrics,
        tls: files.map(|(certificate, key)| TlsFiles { certificate, key }),
        ..Config::default()
    };
    match arguments.https {
        true => {
            Config { blob_https_listen: blob, queue_https_listen: queue, table_https_listen: table, ..config }
        }
        false => Config { blob_listen: blob, queue_listen: queue, table_listen: table, ..config },
    }
}

fn dev_addresses(arguments: &StorageArgs) -> [SocketAddr; 3] {
    DEV_PORTS.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port + arguments.port_offset))
}

/// Runs the management service.
pub async fn management(arguments: &PartArgs) -> Result<(), CliError> {
    let config = read_toml(&arguments.config)?;
    run(|shutdown| welkin_management::run(config, shutdown)).await
}

/// Runs the fabric controller.
pub async fn fabric(arguments: &PartArgs) -> Result<(), CliError> {
    let config = read_toml(&arguments.config)?;
    run(|shutdown| welkin_fabric_service::run(config, shutdown)).await
}

/// Runs the fabric agent, or ends everything that it has started.
pub async fn agent(arguments: &AgentArgs) -> Result<(), CliError> {
    let config: welkin_agent::Config = read_toml(&arguments.config)?;
    if arguments.end_everything {
        return welkin_agent::end_everything(&config).await.map_err(|error| CliError::Service(chain(&error)));
    }
    run(|shutdown| welkin_agent::run(config, shutdown)).await
}

/// Runs a service until the process is told to end.
async fn run<F, E>(service: impl FnOnce(Shutdown) -> F) -> Result<(), CliError>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    log();
    service(Box::pin(told_to_end())).await.map_err(|error| CliError::Service(chain(&error)))
}

/// Resolves when the service must end.
type Shutdown = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves on SIGINT, SIGTERM or SIGHUP (the terminal is closed). The signals are caught from the call on, not only
/// from the first poll on.
pub fn told_to_end() -> impl Future<Output = ()> + Send {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [interrupt, terminate, hangup] = kinds.map(signal);
    async move {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (interrupt, terminate, hangup) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Structured logs on standard error: JSON for files, short lines for a terminal. `RUST_LOG` chooses.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only one is ever set, so that setting it cannot fail.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().try_init()
    };
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::told_to_end;

    #[tokio::test]
    async fn a_signal_before_the_first_poll_is_kept() {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let end = told_to_end();
            kill_process(getpid(), signal).unwrap();
            tokio::time::timeout(std::time::Duration::from_secs(10), end).await.unwrap();
        }
    }
}
