//! `welkin node`: the nodes of a cloud on this machine. The operator's commands go to the fabric controller itself,
//! with a certificate that lies in the state folder and that no customer has.

mod failure;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use welkin_fabric_wire::{ControllerStatus, NodeStatus};
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_transport::{CallError, Client, full, read_body};

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::part::Part;
use crate::state;

pub use failure::{Failure, forget as forget_failures};

/// The inventory of a cluster, in bytes of JSON, at most.
const INVENTORY_BYTES_MAX: usize = 16 << 20;
/// A controller that has not said by then whether it leads is left for the next.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(2);
/// A node, or why it is not as asked, in bytes, at most.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Verbs of `welkin node`.
#[derive(Debug, Clone, clap::Subcommand)]
#[command(
    after_help = "Examples:\n  welkin node list\n  welkin node drain node2\n  welkin node kill node1\n  \
                        welkin node restore node1"
)]
pub enum Node {
    /// List the nodes: what each has, and how it is
    List(ListArgs),
    /// Have a node's instances move elsewhere, one update domain after the other, and give it no more
    Drain(NodeArgs),
    /// Give a node instances again
    Undrain(NodeArgs),
    /// Take a node out of the cluster for good; it must be drained first
    Retire(RetireArgs),
    /// Break a node as a power failure would: everything that runs on it is gone at once
    Kill(NodeArgs),
    /// Break a node as a hang would: everything on it stops where it is
    Pause(NodeArgs),
    /// Break a node's network: it goes on, and nobody hears it
    Cut(NodeArgs),
    /// Undo what `kill`, `pause` and `cut` did to a node
    Restore(NodeArgs),
}

/// A node.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// Its name, such as node1
    pub name: String,
}

/// Arguments of `welkin node list`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ListArgs {
    /// For programs: one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `welkin node retire`.
#[derive(Debug, Clone, clap::Args)]
pub struct RetireArgs {
    /// Its name, such as node1
    pub name: String,
    /// Also with instances on it: they begin anew elsewhere
    #[arg(long)]
    pub force: bool,
}

/// What `--json` prints of a node.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    status: NodeStatus,
    /// What an operator broke of it.
    broken: Option<Failure>,
}

impl Node {
    /// Carries the command out.
    pub async fn run(&self, folder: &Path) -> Result<(), CliError> {
        let cloud = state::open(folder)?;
        match self {
            Self::List(arguments) => list(&cloud, arguments.json).await,
            Self::Drain(node) => order(&cloud, &node.name, "drain").await,
            Self::Undrain(node) => order(&cloud, &node.name, "undrain").await,
            Self::Retire(node) if node.force => order(&cloud, &node.name, "retire?force=true").await,
            Self::Retire(node) => order(&cloud, &node.name, "retire").await,
            Self::Kill(node) => break_it(&cloud, &node.name, Failure::Killed),
            Self::Pause(node) => break_it(&cloud, &node.name, Failure::Paused),
            Self::Cut(node) => break_it(&cloud, &node.name, Failure::Cut),
            Self::Restore(node) => {
                failure::restore(&cloud, number(&cloud, &node.name)?)?;
                println!("{} is as it was", node.name);
                Ok(())
            }
        }
    }
}

fn break_it(cloud: &Cloud, name: &str, failure: Failure) -> Result<(), CliError> {
    failure::inflict(cloud, number(cloud, name)?, failure)?;
    println!("{name} is {failure}; `welkin node restore {name}` undoes it");
    Ok(())
}

fn number(cloud: &Cloud, name: &str) -> Result<u8, CliError> {
    match Part::named(name) {
        Some(Part::Node(number)) if cloud.nodes().contains(&number) => Ok(number),
        _ => {
            let known: Vec<String> = cloud.nodes().map(|number| Part::Node(number).folder()).collect();
            Err(CliError::NoNode { name: name.to_owned(), known: known.join(", ") })
        }
    }
}

/// A client of the fabric controller that leads, with the operator's certificate.
async fn controller(cloud: &Cloud) -> Result<Client, CliError> {
    let operator = Identity::load(&cloud.path("operator"))?;
    let mut why = CliError::Service("there is no fabric controller".to_owned());
    for number in cloud.controllers() {
        let controller = Identity::load(&cloud.folder(Part::Fabric(number)).join("identity"))?;
        let tls = client_config(Some(&operator), ServerAuth::Pinned(controller.thumbprint()))?;
        let client = Client::new(cloud.fabric(number), tls);
        let asked = client.get_json::<ControllerStatus>("/v1/controller", ANSWER_BYTES_MAX);
        match tokio::time::timeout(CONTROLLER_TIMEOUT, Box::pin(asked)).await {
            Ok(Ok(status)) if status.leads => return Ok(client),
            Ok(Ok(status)) => {
                let said = status.trouble.unwrap_or_else(|| format!("{} does not lead", status.name));
                why = CliError::NotUp { state: cloud.state.clone(), why: said };
            }
            Ok(Err(error)) => why = not_up(cloud, &error),
            Err(_) => why = not_up(cloud, &CallError::TimedOut { address: client.address() }),
        }
    }
    Err(why)
}

fn not_up(cloud: &Cloud, error: &CallError) -> CliError {
    CliError::NotUp { state: cloud.state.clone(), why: error.to_string() }
}

async fn list(cloud: &Cloud, json: bool) -> Result<(), CliError> {
    let nodes: Vec<NodeStatus> = controller(cloud)
        .await?
        .get_json("/v1/nodes", INVENTORY_BYTES_MAX)
        .await
        .map_err(|error| not_up(cloud, &error))?;
    let listed: Vec<Listed> = nodes
        .into_iter()
        .map(|status| {
            let number = number(cloud, status.name.as_str()).ok();
            Listed { broken: number.and_then(|number| failure::of(cloud, number)), status }
        })
        .collect();
    if json {
        let text =
            serde_json::to_string_pretty(&listed).map_err(|error| CliError::Service(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", table(&listed));
    }
    Ok(())
}

async fn order(cloud: &Cloud, name: &str, order: &str) -> Result<(), CliError> {
    let path = format!("/v1/nodes/{name}/{order}");
    let answer = controller(cloud).await?.send(http::Method::POST, &path, full("")).await;
    let response = answer.map_err(|error| not_up(cloud, &error))?;
    let status = response.status();
    let body = read_body(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        let node: NodeStatus =
            serde_json::from_str(&text).map_err(|error| CliError::Service(error.to_string()))?;
        println!("{name} is {}", node.state);
        return Ok(());
    }
    let said = if text.is_empty() { status.to_string() } else { text };
    Err(CliError::Node { name: name.to_owned(), status: status.as_u16(), said })
}

/// The columns of the listing.
const HEADER: [&str; 9] =
    ["node", "kind", "fault", "state", "health", "cores", "memory (MiB)", "instances", "trouble"];

fn table(nodes: &[Listed]) -> String {
    let header = HEADER.map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(header).chain(nodes.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(node: &Listed) -> [String; 9] {
    let Listed { status, broken } = node;
    let trouble = [broken.map(|failure| failure.to_string()), status.trouble.clone()];
    [
        status.name.to_string(),
        status.kind.to_string(),
        status.fault_domain.to_string(),
        status.state.to_string(),
        status.health.to_string(),
        format!("{}/{}", status.cores_used, status.cores),
        format!("{}/{}", status.memory_used_mib, status.memory_mib),
        status.instances.to_string(),
        trouble.into_iter().flatten().collect::<Vec<_>>().join("; "),
    ]
}
