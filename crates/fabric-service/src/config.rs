//! Configuration of the fabric controller.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use welkin_base::NodeName;
use welkin_fabric::network::NODE_NUMBER_MAX;
use welkin_fabric::{Network, NodeKind, Policy};
use welkin_pki::Thumbprint;

/// Configuration of the fabric controller (TOML).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder for everything that lasts; made when missing.
    pub data: PathBuf,
    /// Address and port to serve on.
    pub listen: SocketAddr,
    /// Folder with the controller's own `cert.pem` and `key.pem`.
    pub identity: PathBuf,
    /// What this controller calls itself where there are several; all names differ.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where its rows are.
    #[serde(default)]
    pub store: StoreConfig,
    /// The other controllers, where there are several.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// Thumbprints (SHA-256) of those who may have deployments made: management.
    pub clients: Vec<Thumbprint>,
    /// Thumbprints (SHA-256) of those who may drain and retire nodes: the operator.
    #[serde(default)]
    pub operators: Vec<Thumbprint>,
    /// Folder with the guest OS: `kernel`, `initramfs`, `root` and `version.toml`.
    pub guest_os: PathBuf,
    /// The cloud's network, such as `10.177.0.0/16`.
    pub network: Network,
    /// How long an instance that is to change waits for its connections to end, at most; 30 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_seconds_max: Option<u32>,
    /// How long an instance that an update changed may take to get ready before the update goes back by itself; 30 when
    /// nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_minutes_max: Option<u32>,
    /// How much is healed before somebody has to look.
    #[serde(default)]
    pub healing: HealingConfig,
    /// The nodes.
    #[serde(default)]
    pub nodes: Vec<NodeConfig>,
}

fn default_name() -> String {
    "fabric".to_owned()
}

/// Where the rows are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StoreConfig {
    /// In the data folder, which one controller has alone.
    #[default]
    Local,
    /// In etcd, for several controllers, of which one leads.
    Etcd(EtcdConfig),
}

/// The etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// What all keys begin with: one cloud's.
    pub prefix: String,
    /// Folder with the `cert.pem` and `key.pem` that are shown to etcd.
    pub identity: PathBuf,
    /// Its members.
    pub members: Vec<EtcdMemberConfig>,
}

/// A member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdMemberConfig {
    /// Where it serves clients.
    pub address: SocketAddr,
    /// Thumbprint (SHA-256) of its certificate.
    pub thumbprint: Thumbprint,
}

/// Another controller of the same cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Thumbprint (SHA-256) of its certificate.
    pub thumbprint: Thumbprint,
}

/// How much is healed before somebody has to look. What is missing has the value of [`Policy::default`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealingConfig {
    /// Nodes that are lost or were within the window, in percent of all: above it nothing is moved.
    pub nodes_lost_percent_max: u32,
    /// That window.
    pub nodes_window_s: u64,
    /// Instances of one deployment that move within their window, in percent: above it no more do.
    pub moves_percent_max: u32,
    /// So many may, however few instances it has.
    pub moves_min: u32,
    /// That window.
    pub moves_window_s: u64,
}

impl Default for HealingConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            nodes_lost_percent_max: policy.nodes_lost_percent_max,
            nodes_window_s: policy.nodes_window.as_secs(),
            moves_percent_max: policy.moves_percent_max,
            moves_min: policy.moves_min,
            moves_window_s: policy.moves_window.as_secs(),
        }
    }
}

impl HealingConfig {
    /// What the core goes by.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            nodes_lost_percent_max: self.nodes_lost_percent_max,
            nodes_window: Duration::from_secs(self.nodes_window_s),
            moves_percent_max: self.moves_percent_max,
            moves_min: self.moves_min,
            moves_window: Duration::from_secs(self.moves_window_s),
        }
    }
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Its name.
    pub name: NodeName,
    /// `compute`, or `edge` for one that only balances the virtual IPs.
    #[serde(default)]
    pub kind: NodeKind,
    /// Its number, from which the addresses of its instances follow; never given to another node.
    pub number: u8,
    /// Its fault domain, counted from 0: nodes that fail together have the same.
    pub fault_domain: u32,
    /// Where its agent serves.
    pub address: SocketAddr,
    /// Thumbprint (SHA-256) of its agent's certificate.
    pub thumbprint: Thumbprint,
}

impl Config {
    /// What is wrong with the configuration, if anything.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        match &self.store {
            StoreConfig::Local if !self.peers.is_empty() => {
                return Some(
                    "several controllers need a store that they share; set store.kind to etcd".to_owned(),
                );
            }
            StoreConfig::Etcd(etcd) if etcd.members.is_empty() => {
                return Some("the etcd store has no members; list each with its address".to_owned());
            }
            StoreConfig::Local | StoreConfig::Etcd(_) => {}
        }
        let mut controllers = BTreeSet::from([self.name.as_str()]);
        for peer in &self.peers {
            if !controllers.insert(&peer.name) {
                return Some(format!("two controllers are called {}; rename one", peer.name));
            }
            if self.clients.contains(&peer.thumbprint) || self.operators.contains(&peer.thumbprint) {
                return Some(format!(
                    "{} is a client or operator, and a peer; give it a certificate of its own",
                    peer.name
                ));
            }
        }
        let percents = [self.healing.nodes_lost_percent_max, self.healing.moves_percent_max];
        if percents.iter().any(|percent| *percent > 100) {
            return Some("a share under [healing] is above 100 percent".to_owned());
        }
        let mut names = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for node in &self.nodes {
            if !names.insert(&node.name) {
                return Some(format!("two nodes are called {}; rename one", node.name));
            }
            if !numbers.insert(node.number) {
                return Some(format!("two nodes have number {}; give {} another", node.number, node.name));
            }
            if node.number > NODE_NUMBER_MAX {
                return Some(format!(
                    "node {} has number {}; the highest is {NODE_NUMBER_MAX}",
                    node.name, node.number
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        data = "data"
        listen = "127.0.0.1:7443"
        identity = "identity"
        clients = ["0000000000000000000000000000000000000000000000000000000000000000"]
        guest_os = "images"
        network = "10.177.0.0/16"
        [[nodes]]
        name = "node0"
        number = 0
        fault_domain = 0
        address = "10.177.0.2:7444"
        thumbprint = "0000000000000000000000000000000000000000000000000000000000000000"
    "#;

    fn check(from: &str, to: &str, expected: Option<&str>) {
        let config: Config = toml::from_str(&TEXT.replace(from, to)).unwrap();
        let mistake = config.mistake();
        assert_eq!(mistake.is_some(), expected.is_some(), "{mistake:?}");
        assert!(mistake.unwrap_or_default().contains(expected.unwrap_or_default()));
    }

    #[test]
    fn mistakes_are_found() {
        check("", "", None);
        check("number = 0", "number = 224", Some("the highest is 223"));
        let (before, node) = TEXT.split_once("[[nodes]]").unwrap();
        let twice = format!("{before}[[nodes]]{node}[[nodes]]{node}");
        let config: Config = toml::from_str(&twice).unwrap();
        assert!(config.mistake().unwrap().contains("two nodes are called node0"));
        check(
            "clients =",
            "store = { kind = \"etcd\", prefix = \"w\", identity = \"i\", members = [] }\nclients =",
            Some("no members"),
        );
        let zeros = "0".repeat(64);
        let peer = |name: &str, thumbprint: &str| {
            format!(
                "[[peers]]\nname = \"{name}\"\naddress = \"127.0.0.1:1\"\nthumbprint = \"{thumbprint}\"\n[[nodes]]"
            )
        };
        check("[[nodes]]", &peer("fabric1", &"1".repeat(64)), Some("store that they share"));
        let etcd = format!(
            "store = {{ kind = \"etcd\", prefix = \"w\", identity = \"i\", members = [{{ address = \"127.0.0.1:2\", thumbprint = \"{zeros}\" }}] }}\nclients ="
        );
        let several = TEXT.replace("clients =", &etcd);
        for (name, thumbprint, expected) in [
            ("fabric1", "1".repeat(64), None),
            ("fabric", "1".repeat(64), Some("two controllers")),
            ("fabric1", zeros, Some("and a peer")),
        ] {
            let text = several.replace("[[nodes]]", &peer(name, &thumbprint));
            let mistake = toml::from_str::<Config>(&text).unwrap().mistake();
            assert_eq!(mistake.is_some(), expected.is_some(), "{mistake:?}");
            assert!(mistake.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
        let healing = |text: &str| format!("{before}[healing]\n{text}\n[[nodes]]{node}");
        let config: Config =
            toml::from_str(&healing("nodes_lost_percent_max = 30\nmoves_window_s = 60")).unwrap();
        let policy = config.healing.policy();
        assert_eq!((policy.nodes_lost_percent_max, policy.moves_window.as_secs()), (30, 60));
        assert_eq!(policy.moves_min, Policy::default().moves_min, "what is missing has its default");
        let config: Config = toml::from_str(&healing("moves_percent_max = 101")).unwrap();
        assert!(config.mistake().unwrap().contains("above 100 percent"));
        assert!(toml::from_str::<Config>(&healing("moves = 3")).is_err());
        assert!(toml::from_str::<Config>(&format!("color = 1\n{TEXT}")).is_err());
        assert!(toml::from_str::<Config>(&TEXT.replace("/16", "/24")).is_err());
    }
}
