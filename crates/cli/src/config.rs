//! The configuration that `welkin up` gives to each part. Written anew at each start: what lasts is chosen in
//! `cloud.toml`.

use std::net::{SocketAddr, SocketAddrV4};

use serde::Deserialize;
use welkin_agent::{AcceleratorChoice, Duty};
use welkin_base::AccountName;
use welkin_fabric_service::{NodeConfig, PeerConfig};
use welkin_fabric_wire::NodeKind;
use welkin_management::{FabricConfig, Limits, Quotas, StorageConfig, SubscriptionConfig};
use welkin_management_wire::location::OperatingSystem;

use crate::client::{GuestEndpoints, Settings};
use crate::cloud::{Cloud, StorageEndpoint};
use crate::error::CliError;
use crate::etcd;
use crate::part::Part;
use crate::state::{self, Identities};

/// The subscription that every cloud has.
const SUBSCRIPTION_NAME: &str = "operator";
/// The location's name.
const LOCATION: &str = "here";
/// The storage account for packages, and for settings that mean the development storage.
const DEFAULT_ACCOUNT: &str = "welkin";
/// The guests' network is a /24 (ARCHITECTURE.md, "A cloud on one machine").
const GUEST_PREFIX_LENGTH: u8 = 24;
/// An edge has no guests: its network is its own address.
const EDGE_PREFIX_LENGTH: u8 = 32;
/// The edge's number, from which nothing follows: the highest that the network plan has, far from any node's.
const EDGE_NUMBER: u8 = 223;
const ENDPOINTS: [StorageEndpoint; 3] =
    [StorageEndpoint::Blob, StorageEndpoint::Queue, StorageEndpoint::Table];

/// Writes `config.toml` of every part, and the operator's settings.
pub fn write(cloud: &Cloud, identities: &Identities) -> Result<(), CliError> {
    put(cloud, Part::Storage, &storage(cloud, identities))?;
    for part in identities.agents.keys() {
        put(cloud, *part, &agent(cloud, identities, *part)?)?;
    }
    if cloud.is_replicated() {
        etcd::share_keys(cloud)?;
    }
    for number in cloud.controllers() {
        put(cloud, Part::Fabric(number), &fabric(cloud, identities, number)?)?;
    }
    put(cloud, Part::Management, &management(cloud, identities)?)?;
    let admin = cloud.path("admin");
    state::write_secret(&admin.join("ca.pem"), &identities.authority_pem, 0)?;
    state::write_toml(&admin.join("cloud.toml"), &settings(cloud)?, 0)
}

fn put<T: serde::Serialize>(cloud: &Cloud, part: Part, config: &T) -> Result<(), CliError> {
    state::write_toml(&cloud.folder(part).join("config.toml"), config, cloud.uid(part))
}

fn storage(cloud: &Cloud, identities: &Identities) -> welkin_storage_service::Config {
    let listen = |endpoint| vec![cloud.storage_for_host(endpoint), cloud.storage_for_guests(endpoint)];
    let folder = cloud.folder(Part::Storage);
    welkin_storage_service::Config {
        data_folder: folder.join("data"),
        blob_listen: listen(StorageEndpoint::Blob),
        queue_listen: listen(StorageEndpoint::Queue),
        table_listen: listen(StorageEndpoint::Table),
        admin: Some(welkin_storage_service::AdminConfig {
            listen: cloud.storage_admin(),
            identity_folder: folder.join("identity"),
            clients: vec![identities.management],
        }),
        ..welkin_storage_service::Config::default()
    }
}

/// Of the fabric agent of a node, or of the edge.
fn agent(cloud: &Cloud, identities: &Identities, part: Part) -> Result<welkin_agent::Config, CliError> {
    let (folder, network) = (cloud.folder(part), cloud.choices.network);
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    let storage: Vec<SocketAddrV4> =
        ENDPOINTS.into_iter().filter_map(|e| v4(cloud.storage_for_guests(e))).collect();
    let (number, duty, bridge, prefix_length) = match part {
        Part::Node(number) => (number, Duty::Compute, network.bridge(number), GUEST_PREFIX_LENGTH),
        _ => (0, Duty::Edge, network.edge(), EDGE_PREFIX_LENGTH),
    };
    Ok(welkin_agent::Config {
        node: name(&part.folder())?,
        data: folder.join("data"),
        listen: agent_address(cloud, part),
        identity: folder.join("identity"),
        clients: identities.fabric.clone(),
        bridge,
        prefix_length,
        uid_base: cloud.vm_uid_base(number),
        storage,
        cores: 0,
        memory_mib: 0,
        nodes_on_machine: cloud.choices.nodes.into(),
        duty: if cloud.is_cluster() { duty } else { Duty::Whole },
        accelerator: AcceleratorChoice::Auto,
        proof: cloud.is_cluster().then(|| cloud.path("run/accelerator.json")),
        machine: welkin_agent::Machine::Q35,
    })
}

fn agent_address(cloud: &Cloud, part: Part) -> SocketAddr {
    match part {
        Part::Node(number) => cloud.agent(number),
        _ => cloud.edge(),
    }
}

fn fabric(
    cloud: &Cloud,
    identities: &Identities,
    number: u8,
) -> Result<welkin_fabric_service::Config, CliError> {
    let folder = cloud.folder(Part::Fabric(number));
    let peers = cloud.controllers().zip(&identities.fabric).filter(|(other, _)| *other != number);
    let network = cloud.choices.network.to_string();
    let nodes = identities.agents.iter().map(|(part, thumbprint)| {
        let (kind, number, fault_domain) = match part {
            Part::Node(number) => (NodeKind::Compute, *number, cloud.fault_domain(*number)),
            _ => (NodeKind::Edge, EDGE_NUMBER, 0),
        };
        Ok(NodeConfig {
            name: name(&part.folder())?,
            kind,
            number,
            fault_domain,
            address: agent_address(cloud, *part),
            thumbprint: *thumbprint,
        })
    });
    Ok(welkin_fabric_service::Config {
        data: folder.join("data"),
        listen: cloud.fabric(number),
        name: Part::Fabric(number).folder(),
        store: etcd::store(cloud, number, &identities.etcd),
        peers: peers
            .map(|(other, thumbprint)| PeerConfig {
                name: Part::Fabric(other).folder(),
                address: cloud.fabric(other),
                thumbprint: *thumbprint,
            })
            .collect(),
        identity: folder.join("identity"),
        clients: vec![identities.management],
        operators: vec![identities.operator],
        guest_os: cloud.path("images"),
        network: network.parse().map_err(|_| CliError::Service(format!("{network} is no network")))?,
        drain_seconds_max: cloud.choices.drain_seconds_max,
        ready_minutes_max: cloud.choices.ready_minutes_max,
        healing: welkin_fabric_service::HealingConfig::default(),
        nodes: nodes.collect::<Result<_, CliError>>()?,
    })
}

fn management(cloud: &Cloud, identities: &Identities) -> Result<welkin_management::Config, CliError> {
    let folder = cloud.folder(Part::Management);
    Ok(welkin_management::Config {
        data: folder.join("data"),
        identity: folder.join("identity"),
        listen: cloud.management(),
        location: LOCATION.to_owned(),
        fabric: cloud
            .controllers()
            .zip(&identities.fabric)
            .map(|(number, thumbprint)| FabricConfig {
                address: cloud.fabric(number),
                thumbprint: *thumbprint,
            })
            .collect(),
        storage: StorageConfig {
            address: cloud.storage_admin(),
            thumbprint: identities.storage,
            blob_endpoint: url(cloud, StorageEndpoint::Blob),
            queue_endpoint: url(cloud, StorageEndpoint::Queue),
            table_endpoint: url(cloud, StorageEndpoint::Table),
            other_blob_endpoints: vec![format!("http://{}", cloud.storage_for_guests(StorageEndpoint::Blob))],
        },
        limits: Limits::default(),
        operating_systems: vec![operating_system(cloud)?],
        subscriptions: subscriptions(cloud, identities)?,
    })
}

/// What `version.toml` of a guest OS says.
#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

/// The guest OS that the cloud has. Its family is the first of the classic service's.
fn operating_system(cloud: &Cloud) -> Result<OperatingSystem, CliError> {
    let Version { version } = state::read_toml(&cloud.path("images/version.toml"))?;
    Ok(OperatingSystem {
        label: format!("Debian guest OS {version}"),
        version,
        family: 1,
        family_label: "Debian".to_owned(),
        default: true,
    })
}

/// The operator's subscription, which is made at the first start. `welkin subscription` makes others.
fn subscriptions(cloud: &Cloud, identities: &Identities) -> Result<Vec<SubscriptionConfig>, CliError> {
    let old = cloud.path("subscriptions.toml");
    if old.exists() {
        return Err(CliError::Service(format!(
            "{} is not read any more: make its subscriptions with `welkin subscription create`, and remove the file",
            old.display()
        )));
    }
    Ok(vec![SubscriptionConfig {
        id: cloud.choices.subscription.clone(),
        name: SUBSCRIPTION_NAME.to_owned(),
        certificates: vec![identities.admin.certificate_pem().to_owned()],
        quotas: Quotas::default(),
    }])
}

fn settings(cloud: &Cloud) -> Result<Settings, CliError> {
    Ok(Settings {
        management: format!("https://{}", cloud.management()),
        subscription: cloud.choices.subscription.clone(),
        location: LOCATION.to_owned(),
        blob_endpoint: url(cloud, StorageEndpoint::Blob),
        queue_endpoint: url(cloud, StorageEndpoint::Queue),
        table_endpoint: url(cloud, StorageEndpoint::Table),
        default_account: Some(AccountName::new(DEFAULT_ACCOUNT).map_err(bad_name)?),
        guest_endpoints: Some(GuestEndpoints {
            blob: format!("http://{}", cloud.storage_for_guests(StorageEndpoint::Blob)),
            queue: format!("http://{}", cloud.storage_for_guests(StorageEndpoint::Queue)),
            table: format!("http://{}", cloud.storage_for_guests(StorageEndpoint::Table)),
        }),
        folder: cloud.path("admin"),
    })
}

fn url(cloud: &Cloud, endpoint: StorageEndpoint) -> String {
    format!("http://{}", cloud.storage_for_host(endpoint))
}

fn name(text: &str) -> Result<welkin_base::NodeName, CliError> {
    text.parse().map_err(bad_name)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn bad_name(error: welkin_base::NameError) -> CliError {
    CliError::Service(error.to_string())
}
