//! A cloud on one machine, as names, addresses and paths: what ARCHITECTURE.md draws. Pure.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use welkin_base::SubscriptionId;

use crate::part::{CONTROLLERS_MAX, NODES_MAX, Part};

/// The first two bytes of a cloud's network, a /16 of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: u8,
    second: u8,
}

/// Why a text is not a cloud's network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network for a cloud: expected a private /16, such as 10.177.0.0/16")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let base: Ipv4Addr = text.strip_suffix("/16").ok_or_else(error)?.parse().map_err(|_| error())?;
        match base.octets() {
            [first, second, 0, 0] if base.is_private() => Ok(Self { first, second }),
            _ => Err(error()),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.0.0/16", self.first, self.second)
    }
}

impl Network {
    const fn at(self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.first, self.second, third, fourth)
    }

    /// The host's end of the link to its nodes.
    pub const fn host(self) -> Ipv4Addr {
        self.at(0, 1)
    }

    /// The end of node `number`.
    pub const fn node(self, number: u8) -> Ipv4Addr {
        self.at(0, 2 + number)
    }

    /// The edge, where there is one.
    pub const fn edge(self) -> Ipv4Addr {
        self.at(0, 254)
    }

    /// The host's end of the link to the controllers of a cluster.
    pub const fn host_of_controllers(self) -> Ipv4Addr {
        self.at(1, 1)
    }

    /// The controllers of a cluster.
    pub const fn controllers(self) -> Ipv4Addr {
        self.at(1, 2)
    }

    /// The network of the instances of node `number`, a /24.
    pub const fn guests(self, number: u8) -> Ipv4Addr {
        self.at(16 + number, 0)
    }

    /// Its first address.
    pub const fn base(self) -> Ipv4Addr {
        self.at(0, 0)
    }

    /// The bridge of node `number`: the gateway of its instances, a /24.
    pub const fn bridge(self, number: u8) -> Ipv4Addr {
        self.at(16 + number, 1)
    }

    /// The networks of all instances: from that of node 0 to that of the highest number that the plan has.
    pub fn instances(self) -> String {
        format!("{}-{}", self.at(16, 0), self.at(239, 255))
    }

    /// All virtual IPs: from N.240.0 on.
    pub fn virtual_ips(self) -> String {
        format!("{}-{}", self.at(240, 0), self.at(255, 255))
    }

    /// Whether an address is in the network.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        let [first, second, ..] = address.octets();
        first == self.first && second == self.second
    }
}

/// What an operator may choose of a cloud; kept in `cloud.toml` of the state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// Its network.
    pub network: Network,
    /// Added to every port, so that several clouds can live on one machine.
    pub port_offset: u16,
    /// The first of the user ids that the cloud uses (ARCHITECTURE.md, "A cloud on one machine").
    pub uid_base: u32,
    /// The operator's subscription.
    pub subscription: SubscriptionId,
    /// Nodes, 1 to [`NODES_MAX`].
    #[serde(default = "one")]
    pub nodes: u8,
    /// Fabric controllers, each beside a member of etcd when there are several.
    #[serde(default = "one")]
    pub controllers: u8,
    /// Fault domains, over which nodes are dealt in turn; [`FAULT_DOMAINS`] when nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_domains: Option<u8>,
    /// How long an instance that is to change waits for its connections to end, at most. It is written into `cloud.toml`
    /// by hand and holds from the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_seconds_max: Option<u32>,
    /// How long an instance that an update changed may take to get ready before the update goes back by itself; chosen in
    /// the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_minutes_max: Option<u32>,
}

/// Fault domains when nobody says otherwise: as many as the classic service gave a role (SERVICEMODEL §6).
pub const FAULT_DOMAINS: u8 = 2;

const fn one() -> u8 {
    1
}

impl Choices {
    /// What is chosen when nobody says otherwise.
    pub const fn default_for(subscription: SubscriptionId) -> Self {
        Self {
            network: Network { first: 10, second: 177 },
            port_offset: 0,
            uid_base: 640_000,
            subscription,
            nodes: one(),
            controllers: one(),
            fault_domains: None,
            drain_seconds_max: None,
            ready_minutes_max: None,
        }
    }
}

/// A cloud: where its state lives, and what was chosen.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// The state folder, absolute.
    pub state: PathBuf,
    /// What was chosen.
    pub choices: Choices,
}

/// User ids set aside for each node: 100 for the parts, and those of its VMs (`INSTANCES_PER_NODE_MAX` is 256), with room.
const UIDS_PER_NODE: u32 = 1_000;

/// Ports before the offset: those of Azurite, and of our own APIs.
const PORT_BLOB: u16 = 10_000;
const PORT_QUEUE: u16 = 10_001;
const PORT_TABLE: u16 = 10_002;
const PORT_STORAGE_ADMIN: u16 = 10_010;
const PORT_MANAGEMENT: u16 = 8_443;
/// Of the first fabric controller, and what the ports of the others are apart.
const PORT_FABRIC: u16 = 7_443;
const PORT_FABRIC_STEP: u16 = 10;
/// Of the first member of etcd, for clients and for members.
const PORT_ETCD: u16 = 7_500;
const PORT_ETCD_PEER: u16 = 7_510;
const PORT_AGENT: u16 = 7_444;

/// A storage service with a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageEndpoint {
    /// Blobs.
    Blob,
    /// Queues.
    Queue,
    /// Tables.
    Table,
}

impl StorageEndpoint {
    /// Its port, before the offset.
    const fn port(self) -> u16 {
        match self {
            Self::Blob => PORT_BLOB,
            Self::Queue => PORT_QUEUE,
            Self::Table => PORT_TABLE,
        }
    }
}

impl Cloud {
    /// The cloud's name: `wk` and six digits that follow from the state folder's path (FNV-1a), so
    /// that names of interfaces and namespaces of two clouds never meet.
    pub fn name(&self) -> String {
        let digest =
            self.state.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("wk{:06x}", (digest ^ (digest >> 24)) & 0x00ff_ffff)
    }

    /// Whether the cloud has several nodes, and with them an edge and a network of the controllers.
    pub const fn is_cluster(&self) -> bool {
        self.choices.nodes > 1
    }

    /// Whether it has several fabric controllers, and with them etcd.
    pub const fn is_replicated(&self) -> bool {
        self.choices.controllers > 1
    }

    /// The numbers of its fabric controllers, and of the members of etcd beside them.
    pub fn controllers(&self) -> std::ops::Range<u8> {
        0..self.choices.controllers.clamp(1, CONTROLLERS_MAX)
    }

    /// The numbers of its nodes.
    pub fn nodes(&self) -> std::ops::Range<u8> {
        0..self.choices.nodes.clamp(1, NODES_MAX)
    }

    /// Its parts, in the order in which they start.
    pub fn parts(&self) -> Vec<Part> {
        let has = |part: &Part| match part {
            Part::Edge => self.is_cluster(),
            Part::Node(number) => self.nodes().contains(number),
            Part::Fabric(number) => self.controllers().contains(number),
            Part::Etcd(number) => self.is_replicated() && self.controllers().contains(number),
            Part::Storage | Part::Management => true,
        };
        Part::possible().filter(has).collect()
    }

    /// The fault domain of a node: they are dealt in turn.
    pub fn fault_domain(&self, node: u8) -> u32 {
        u32::from(node % self.choices.fault_domains.unwrap_or(FAULT_DOMAINS).max(1))
    }

    /// The network namespace of a part; `None` for those that are on the host.
    pub fn namespace(&self, part: Part) -> Option<String> {
        let short = match part {
            Part::Node(number) => format!("n{number}"),
            Part::Edge => "edge".to_owned(),
            Part::Fabric(_) | Part::Etcd(_) if self.is_cluster() => "fc".to_owned(),
            Part::Storage | Part::Fabric(_) | Part::Etcd(_) | Part::Management => return None,
        };
        Some(format!("{}-{short}", self.name()))
    }

    /// The host's end of the link to its nodes.
    pub fn host_interface(&self) -> String {
        format!("{}h0", self.name())
    }

    /// The host's end of the link to the controllers of a cluster.
    pub fn controllers_interface(&self) -> String {
        format!("{}f0", self.name())
    }

    /// A node's end of the link.
    pub fn node_interface(&self, number: u8) -> String {
        format!("{}n{number}", self.name())
    }

    /// A path below the state folder.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.state.join(below)
    }

    /// A part's folder.
    pub fn folder(&self, part: Part) -> PathBuf {
        self.path(part.folder())
    }

    /// A part's log.
    pub fn log(&self, part: Part) -> PathBuf {
        self.path("log").join(format!("{part}.log"))
    }

    /// A part's user id; 0 for root.
    pub fn uid(&self, part: Part) -> u32 {
        part.uid_offset().map_or(0, |offset| self.choices.uid_base + offset)
    }

    fn at(&self, address: Ipv4Addr, port: u16) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(address, port + self.choices.port_offset))
    }

    fn loopback(&self, port: u16) -> SocketAddr {
        self.at(Ipv4Addr::LOCALHOST, port)
    }

    /// Where the host's programs reach a storage service.
    pub fn storage_for_host(&self, endpoint: StorageEndpoint) -> SocketAddr {
        self.loopback(endpoint.port())
    }

    /// Where role instances reach a storage service.
    pub fn storage_for_guests(&self, endpoint: StorageEndpoint) -> SocketAddr {
        self.at(self.choices.network.host(), endpoint.port())
    }

    /// The storage service's own API for management.
    pub fn storage_admin(&self) -> SocketAddr {
        self.loopback(PORT_STORAGE_ADMIN)
    }

    /// The management API.
    pub fn management(&self) -> SocketAddr {
        self.loopback(PORT_MANAGEMENT)
    }

    /// A fabric controller.
    pub fn fabric(&self, number: u8) -> SocketAddr {
        let port = PORT_FABRIC + u16::from(number) * PORT_FABRIC_STEP;
        if self.is_cluster() {
            self.at(self.choices.network.controllers(), port)
        } else {
            self.loopback(port)
        }
    }

    /// Where a member of etcd serves the fabric controllers, which are where it is.
    pub fn etcd(&self, number: u8) -> SocketAddr {
        self.loopback(PORT_ETCD + u16::from(number))
    }

    /// Where it serves the other members.
    pub fn etcd_peer(&self, number: u8) -> SocketAddr {
        self.loopback(PORT_ETCD_PEER + u16::from(number))
    }

    /// The fabric agent of a node.
    pub fn agent(&self, node: u8) -> SocketAddr {
        self.at(self.choices.network.node(node), PORT_AGENT)
    }

    /// The fabric agent of the edge.
    pub fn edge(&self) -> SocketAddr {
        self.at(self.choices.network.edge(), PORT_AGENT)
    }

    /// The first of the user ids of a node's VMs, less 100. Nodes share none.
    pub fn vm_uid_base(&self, node: u8) -> u32 {
        self.choices.uid_base + u32::from(node) * UIDS_PER_NODE
    }

    /// Every port of the host that must be free, with what it is for.
    pub fn host_ports(&self) -> Vec<(SocketAddr, &'static str)> {
        let mut ports = vec![
            (self.storage_for_host(StorageEndpoint::Blob), "blob service"),
            (self.storage_for_host(StorageEndpoint::Queue), "queue service"),
            (self.storage_for_host(StorageEndpoint::Table), "table service"),
            (self.storage_admin(), "storage administration"),
            (self.management(), "management API"),
        ];
        // Elsewhere it has a network of its own.
        if !self.is_cluster() {
            for number in self.controllers() {
                ports.push((self.fabric(number), "fabric controller"));
                if self.is_replicated() {
                    ports.extend([(self.etcd(number), "etcd"), (self.etcd_peer(number), "etcd")]);
                }
            }
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(state: &str) -> Cloud {
        let subscription = SubscriptionId::new(&"5".repeat(32)).unwrap();
        Cloud { state: PathBuf::from(state), choices: Choices::default_for(subscription) }
    }

    #[test]
    fn networks() {
        for (text, valid) in [
            ("10.177.0.0/16", true),
            ("172.16.0.0/16", true),
            ("192.168.0.0/16", true),
            ("10.177.1.0/16", false),
            ("10.177.0.0/24", false),
            ("8.8.0.0/16", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Network>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn names_fit_an_interface_and_differ() {
        let (a, b) = (cloud("/var/lib/welkin"), cloud("/var/lib/welkin2"));
        // IFNAMSIZ is 16 with the closing zero.
        assert!(a.host_interface().len() <= 15, "{}", a.host_interface());
        assert_ne!(a.name(), b.name());
        assert_eq!(a.name(), cloud("/var/lib/welkin").name());
    }

    #[test]
    fn ports_move_together() {
        let mut cloud = cloud("/s");
        cloud.choices.port_offset = 500;
        assert_eq!(cloud.management().to_string(), "127.0.0.1:8943");
        assert_eq!(cloud.storage_for_guests(StorageEndpoint::Table).to_string(), "10.177.0.1:10502");
        assert_eq!(cloud.agent(0).to_string(), "10.177.0.2:7944");
        assert_eq!(cloud.fabric(0).to_string(), "127.0.0.1:7943");
        assert_eq!(cloud.fabric(2).to_string(), "127.0.0.1:7963");
        cloud.choices.controllers = 3;
        let ports: std::collections::BTreeSet<_> =
            cloud.host_ports().into_iter().map(|(port, _)| port).collect();
        assert_eq!(ports.len(), 5 + 9, "{ports:?}");
    }

    #[test]
    fn a_cluster_has_an_edge_and_keeps_its_controllers_apart() {
        let mut cloud = cloud("/s");
        let folders =
            |cloud: &Cloud| cloud.parts().into_iter().map(Part::folder).collect::<Vec<_>>().join(" ");
        assert_eq!(folders(&cloud), "storage node0 fabric management");
        cloud.choices.nodes = 3;
        assert_eq!(folders(&cloud), "storage edge node0 node1 node2 fabric management");
        assert_eq!(cloud.fabric(0).to_string(), "10.177.1.2:7443");
        assert_eq!(cloud.agent(2).to_string(), "10.177.0.4:7444");
        assert_eq!(cloud.vm_uid_base(2), 642_000);
        assert_eq!(cloud.nodes().map(|node| cloud.fault_domain(node)).collect::<Vec<_>>(), [0, 1, 0]);
        cloud.choices.controllers = 3;
        assert!(folders(&cloud).starts_with("storage etcd0 etcd1 etcd2 edge"), "{}", folders(&cloud));
        assert!(folders(&cloud).ends_with("fabric fabric1 fabric2 management"), "{}", folders(&cloud));
        let apart: std::collections::BTreeSet<_> =
            cloud.parts().into_iter().filter_map(|part| cloud.namespace(part)).collect();
        assert_eq!(apart.len(), 5, "{apart:?}");
    }
}
