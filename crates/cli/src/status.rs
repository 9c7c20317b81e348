//! `welkin status`: every endpoint, virtual IP, instance and state, for people or (`--json`) for programs.

use std::path::Path;

use serde::Serialize;
use welkin_base::{InstanceName, ServiceName};
use welkin_fabric_wire::{DeploymentObserved, InstanceStatus, NodeStatus, Slot};
use welkin_management_wire::cloud_status::{CloudStatus, DeploymentStatus};

use crate::client::{Client, ClientError, Settings};
use crate::cloud::Cloud;
use crate::error::CliError;
use crate::profile;
use crate::state;

/// Arguments of `welkin status`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  welkin status\n  welkin status --json")]
pub struct StatusArgs {
    /// For programs: one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Status {
    cloud: String,
    state: String,
    subscription: String,
    endpoints: Endpoints,
    trouble: Option<String>,
    nodes: Vec<NodeStatus>,
    services: Vec<Service>,
}

#[derive(Debug, Serialize)]
struct Endpoints {
    management: String,
    blob: String,
    queue: String,
    table: String,
}

#[derive(Debug, Serialize)]
struct Service {
    name: ServiceName,
    deployments: Vec<Deployment>,
}

#[derive(Debug, Serialize)]
struct Deployment {
    name: String,
    slot: Slot,
    id: String,
    status: String,
    operation: Option<String>,
    vip: Option<String>,
    urls: Vec<String>,
    update_domains: u32,
    instances: Vec<InstanceStatus>,
}

/// Prints the status of the cloud of a profile, else of the cloud whose state folder is given.
pub async fn run(folder: &Path, profile: Option<&str>, arguments: &StatusArgs) -> Result<(), CliError> {
    let status = match state::open(folder) {
        Ok(cloud) if profile.is_none() => {
            let settings = settings(&cloud)?;
            let status = ask(&cloud, Client::status).await?;
            gather(cloud.name(), cloud.state.display().to_string(), &settings, status)
        }
        _ => elsewhere(profile::settings(folder, profile)?).await?,
    };
    if arguments.json {
        let text =
            serde_json::to_string_pretty(&status).map_err(|error| CliError::Service(error.to_string()))?;
        println!("{text}");
    } else {
        show(&status);
    }
    Ok(())
}

/// The status of a cloud that is known by a profile only.
async fn elsewhere(settings: Settings) -> Result<Status, CliError> {
    let of = settings.clone();
    let answer = tokio::task::spawn_blocking(move || Client::new(&of)?.status()).await;
    let status = answer.map_err(|error| CliError::Service(error.to_string()))??;
    let name = settings.management.clone();
    Ok(gather(name, settings.folder.display().to_string(), &settings, status))
}

/// The end of an instance's console.
pub async fn instance_log(cloud: &Cloud, service: Option<&str>, instance: &str) -> Result<String, CliError> {
    let status = ask(cloud, Client::status).await?;
    let path = find(&status, service, instance)
        .ok_or_else(|| CliError::NoInstance { name: instance.to_owned(), known: known(&status) })?;
    let text = ask(cloud, move |client| client.get(&path)).await?.text;
    Ok(text)
}

/// Whether the fabric controller counts on every node.
pub async fn nodes_are_healthy(cloud: &Cloud) -> bool {
    match ask(cloud, Client::status).await {
        Ok(status) => !status.nodes.is_empty() && status.nodes.iter().all(|node| node.healthy),
        Err(_) => false,
    }
}

fn settings(cloud: &Cloud) -> Result<Settings, CliError> {
    Settings::load(&cloud.path("admin")).map_err(|error| not_up(cloud, &error))
}

fn not_up(cloud: &Cloud, error: &ClientError) -> CliError {
    CliError::NotUp { state: cloud.state.clone(), why: error.to_string() }
}

/// Runs a call of the blocking client apart from the runtime.
async fn ask<T: Send + 'static>(
    cloud: &Cloud,
    call: impl FnOnce(&Client) -> Result<T, ClientError> + Send + 'static,
) -> Result<T, CliError> {
    let settings = settings(cloud)?;
    let answer = tokio::task::spawn_blocking(move || Client::new(&settings).and_then(|client| call(&client)));
    match answer.await {
        Ok(answer) => answer.map_err(|error| not_up(cloud, &error)),
        Err(error) => Err(CliError::Service(error.to_string())),
    }
}

fn find(status: &CloudStatus, service: Option<&str>, instance: &str) -> Option<String> {
    let services = status.services.iter().filter(|s| service.is_none_or(|name| s.name.as_str() == name));
    services.flat_map(|s| s.deployments.iter().map(move |d| (s, d))).find_map(|(service, deployment)| {
        let observed = deployment.observed.as_ref()?;
        let found = observed.instances.iter().find(|i| i.name.as_str().eq_ignore_ascii_case(instance))?;
        let (service, slot, name) = (&service.name, slot(deployment.slot), &found.name);
        Some(format!("welkin/services/{service}/slots/{slot}/instances/{name}/log"))
    })
}

fn known(status: &CloudStatus) -> String {
    let deployments = status.services.iter().flat_map(|service| &service.deployments);
    let instances = deployments.filter_map(|d| d.observed.as_ref()).flat_map(|o| &o.instances);
    let names: Vec<&str> = instances.map(|i| &i.name).map(InstanceName::as_str).collect();
    if names.is_empty() { "no instances".to_owned() } else { names.join(", ") }
}

const fn slot(slot: Slot) -> &'static str {
    match slot {
        Slot::Production => "production",
        Slot::Staging => "staging",
    }
}

fn gather(cloud: String, state: String, settings: &Settings, status: CloudStatus) -> Status {
    let services = status.services.into_iter().map(|service| Service {
        name: service.name,
        deployments: service.deployments.into_iter().map(deployment).collect(),
    });
    Status {
        cloud,
        state,
        subscription: settings.subscription.to_string(),
        endpoints: Endpoints {
            management: settings.management.clone(),
            blob: settings.blob_endpoint.clone(),
            queue: settings.queue_endpoint.clone(),
            table: settings.table_endpoint.clone(),
        },
        trouble: status.trouble,
        nodes: status.nodes,
        services: services.collect(),
    }
}

fn deployment(deployment: DeploymentStatus) -> Deployment {
    let vip = deployment.observed.as_ref().and_then(|observed: &DeploymentObserved| observed.vip);
    let (update_domains, instances) =
        deployment.observed.map(|o| (o.update_domains, o.instances)).unwrap_or_default();
    Deployment {
        name: deployment.name.to_string(),
        slot: deployment.slot,
        id: deployment.id.to_string(),
        status: deployment.status,
        operation: deployment.operation,
        vip: vip.map(|address| address.to_string()),
        urls: deployment.urls,
        update_domains,
        instances,
    }
}

fn show(status: &Status) {
    let Endpoints { management, blob, queue, table } = &status.endpoints;
    println!("cloud {} in {}", status.cloud, status.state);
    let places = [("management", management), ("blobs", blob), ("queues", queue), ("tables", table)];
    // A profile of another machine's cloud may not say where storage is.
    for (what, place) in places.iter().filter(|(_, place)| !place.is_empty()) {
        println!("  {what:<10} {place}");
    }
    if let Some(trouble) = &status.trouble {
        println!("  trouble: {trouble}");
    }
    for node in &status.nodes {
        let health = if node.healthy { "healthy" } else { "UNHEALTHY" };
        println!(
            "node {} ({health}, fault domain {}, {}): {}/{} cores, {}/{} MiB, {} instances{}",
            node.name,
            node.fault_domain,
            node.accelerator.as_deref().unwrap_or("not yet known"),
            node.cores_used,
            node.cores,
            node.memory_used_mib,
            node.memory_mib,
            node.instances,
            node.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default(),
        );
    }
    for service in &status.services {
        println!("\nservice {}", service.name);
        for deployment in &service.deployments {
            let Deployment { name, status, urls, .. } = deployment;
            println!("  {} {name}: {status} {}", slot(deployment.slot), urls.join(" "));
            print!("{}", table_of(&deployment.instances));
        }
    }
    if status.services.is_empty() {
        println!("\nno hosted services: `welkin deploy` makes one");
    }
}

fn table_of(instances: &[InstanceStatus]) -> String {
    let header =
        ["instance", "role", "node", "update", "fault", "address", "state", "restarts"].map(str::to_owned);
    let rows = instances.iter().map(|instance| {
        let mut state = welkin_management_wire::deployment::state_name(instance.state).to_owned();
        if !instance.message.is_empty() {
            state = format!("{state} ({})", instance.message);
        }
        [
            instance.name.to_string(),
            instance.role.to_string(),
            instance.node.to_string(),
            instance.update_domain.to_string(),
            instance.fault_domain.to_string(),
            instance.address.to_string(),
            state,
            format!("vm {}, role {}", instance.vm_restarts, instance.role_restarts),
        ]
    });
    let rows: Vec<[String; 8]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("    {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
