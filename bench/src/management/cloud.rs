//! The parts of a cloud as processes of their own, and a customer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use welkin_base::{NodeName, SubscriptionId};
use welkin_fabric_service::{NodeConfig, StoreConfig};
use welkin_management::{FabricConfig, Limits, Quotas, StorageConfig, SubscriptionConfig};
use welkin_pki::{Identity, ServerAuth, Thumbprint, client_config};

use super::agent;
use super::connection::{Connection, Door};
use crate::storage::{Account, Process, Program, StorageError};

/// The first of the ports, before the offset is added: storage has three, and one for its administration.
const FIRST_PORT: u16 = 10_040;
const SERVICES: u16 = 3;
/// More than is ever measured: what the API costs is to be seen, not where it says no.
const LIMITS: Limits = Limits {
    requests_per_second: 1_000_000,
    requests_burst: 1_000_000,
    requests_in_hand_max: 1_024,
    connections_max: 16_384,
    handshakes_per_second: 1_000_000,
    handshakes_burst: 1_000_000,
};
const QUOTAS: Quotas = Quotas { cores: 100_000, hosted_services: 1_000_000, storage_accounts: 20 };
/// A service that was just started answers within this time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Subscriptions, each for something of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// Services with deployments.
    Working,
    /// Services that are made while it is measured.
    Making,
    /// Ever more services.
    Growing,
}

impl Subscription {
    const ALL: [Self; 3] = [Self::Working, Self::Making, Self::Growing];

    fn id(self) -> String {
        let digit = self as u8 + 1;
        format!("00000000-0000-0000-0000-00000000000{digit}")
    }
}

/// A running cloud.
#[derive(Debug)]
pub struct Cloud {
    folder: PathBuf,
    program: PathBuf,
    ports: Ports,
    door: Door,
    /// The management service.
    pub management: Process,
    others: Vec<Process>,
    /// Where packages are put.
    pub account: Account,
    /// The endpoint of blobs.
    pub blobs: String,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    storage: u16,
    admin: u16,
    fabric: u16,
    management: u16,
}

/// Makes an error of what cannot be made ready.
pub fn unmade(error: impl std::fmt::Display) -> StorageError {
    StorageError::Peer(format!("the cloud cannot be made: {error}"))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

impl Cloud {
    /// Starts storage, the fabric controller with one node, and management, all below `folder`.
    pub async fn start(program: &Path, folder: &Path, port_offset: u16) -> Result<Self, StorageError> {
        let first = FIRST_PORT + port_offset;
        let ports = Ports { storage: first, admin: first + 3, fabric: first + 4, management: first + 5 };
        let [storage, fabric, management] = ["storage", "fabric", "management"].map(|part| folder.join(part));
        let own = identity(&management, "management")?;
        let storage_thumbprint = identity(&storage, "storage")?.thumbprint();
        let fabric_thumbprint = identity(&fabric, "fabric")?.thumbprint();
        let customer = Identity::self_signed("bench").map_err(unmade)?;
        write(&storage, &storage_config(&storage, ports, own.thumbprint()))?;
        write(&fabric, &fabric_config(&fabric, ports, own.thumbprint(), fabric_thumbprint).await?)?;
        let config =
            management_config(&management, ports, [fabric_thumbprint, storage_thumbprint], &customer)?;
        write(&management, &config)?;
        let tls = client_config(Some(&customer), ServerAuth::Pinned(own.thumbprint())).map_err(unmade)?;
        let door = Door { address: local(ports.management), tls, subscription: Subscription::Working.id() };
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let listened: Vec<u16> = (first..first + SERVICES).chain([ports.admin]).collect();
        let others = vec![
            part(&program, &folder, "storage", &listened).await?,
            part(&program, &folder, "fabric", &[ports.fabric]).await?,
        ];
        let management = part(&program, &folder, "management", &[ports.management]).await?;
        let (account, blobs) = (Account::new(first)?, format!("http://{}", local(first)));
        Ok(Self { folder, program, ports, door, management, others, account, blobs })
    }

    /// The door to a subscription.
    pub fn door(&self, subscription: Subscription) -> Door {
        Door { subscription: subscription.id(), ..self.door.clone() }
    }

    /// Ends management as a crash does and starts it again. Returns the time until the first answer.
    pub async fn crash(mut self) -> Result<(Self, Duration), StorageError> {
        self.management.kill().await?;
        let begin = Instant::now();
        self.management = part(&self.program, &self.folder, "management", &[self.ports.management]).await?;
        let first_answer = async {
            let mut connection = Connection::open(&self.door).await?;
            connection.get("locations").await
        };
        tokio::time::timeout(START_LIMIT, first_answer)
            .await
            .map_err(|_| StorageError::TimedOut(START_LIMIT))??;
        Ok((self, begin.elapsed()))
    }

    /// Ends everything.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.management.stop().await?;
        for process in self.others.into_iter().rev() {
            process.stop().await?;
        }
        Ok(())
    }
}

async fn part(
    program: &Path,
    folder: &Path,
    name: &'static str,
    ports: &[u16],
) -> Result<Process, StorageError> {
    let config = folder.join(name).join("config.toml").display().to_string();
    let arguments = vec![name.to_owned(), "--config".to_owned(), config];
    // A log of each request is what an operator has; what is measured here is the service with it.
    let program = Program { name, path: program.to_owned(), arguments, ..Program::default() };
    program.start(folder, ports).await
}

/// Makes a part's folder with its certificate.
fn identity(folder: &Path, name: &str) -> Result<Identity, StorageError> {
    let at = folder.join("identity");
    std::fs::create_dir_all(&at)?;
    let identity = Identity::self_signed_for(name, &["127.0.0.1".to_owned()]).map_err(unmade)?;
    identity.save(&at).map_err(unmade)?;
    Ok(identity)
}

fn write(folder: &Path, config: &impl serde::Serialize) -> Result<(), StorageError> {
    let text = toml::to_string(config).map_err(unmade)?;
    Ok(std::fs::write(folder.join("config.toml"), text)?)
}

fn storage_config(folder: &Path, ports: Ports, client: Thumbprint) -> welkin_storage_service::Config {
    welkin_storage_service::Config {
        data_folder: folder.join("data"),
        blob_listen: vec![local(ports.storage)],
        queue_listen: vec![local(ports.storage + 1)],
        table_listen: vec![local(ports.storage + 2)],
        dev: true,
        admin: Some(welkin_storage_service::AdminConfig {
            listen: local(ports.admin),
            identity_folder: folder.join("identity"),
            clients: vec![client],
        }),
        ..welkin_storage_service::Config::default()
    }
}

async fn fabric_config(
    folder: &Path,
    ports: Ports,
    client: Thumbprint,
    own: Thumbprint,
) -> Result<welkin_fabric_service::Config, StorageError> {
    let guest_os = folder.join("images");
    std::fs::create_dir(&guest_os)?;
    for name in ["kernel", "initramfs", "root"] {
        std::fs::write(guest_os.join(name), name)?;
    }
    std::fs::write(guest_os.join("version.toml"), "version = \"BENCH-OS-1\"")?;
    let name = NodeName::new("node0").map_err(unmade)?;
    let (address, thumbprint) = agent::start(name.clone(), own).await?;
    Ok(welkin_fabric_service::Config {
        drain_seconds_max: None,
        ready_minutes_max: None,
        healing: welkin_fabric_service::HealingConfig::default(),
        data: folder.join("data"),
        listen: local(ports.fabric),
        name: "fabric".to_owned(),
        store: StoreConfig::Local,
        peers: Vec::new(),
        identity: folder.join("identity"),
        clients: vec![client],
        operators: Vec::new(),
        guest_os,
        network: "10.177.0.0/16".parse().map_err(unmade)?,
        nodes: vec![NodeConfig {
            name,
            kind: Default::default(),
            number: 0,
            fault_domain: 0,
            address,
            thumbprint,
        }],
    })
}

fn management_config(
    folder: &Path,
    ports: Ports,
    [fabric, storage]: [Thumbprint; 2],
    customer: &Identity,
) -> Result<welkin_management::Config, StorageError> {
    let url = |port: u16| format!("http://{}", local(port));
    let mut subscriptions = Vec::new();
    for subscription in Subscription::ALL {
        subscriptions.push(SubscriptionConfig {
            id: SubscriptionId::new(&subscription.id()).map_err(unmade)?,
            name: format!("{subscription:?}"),
            certificates: vec![customer.certificate_pem().to_owned()],
            quotas: QUOTAS,
        });
    }
    Ok(welkin_management::Config {
        data: folder.join("data"),
        identity: folder.join("identity"),
        listen: local(ports.management),
        location: "here".to_owned(),
        fabric: vec![FabricConfig { address: local(ports.fabric), thumbprint: fabric }],
        storage: StorageConfig {
            address: local(ports.admin),
            thumbprint: storage,
            blob_endpoint: url(ports.storage),
            queue_endpoint: url(ports.storage + 1),
            table_endpoint: url(ports.storage + 2),
            other_blob_endpoints: Vec::new(),
        },
        limits: LIMITS,
        operating_systems: Vec::new(),
        subscriptions,
    })
}
