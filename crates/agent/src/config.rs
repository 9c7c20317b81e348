//! The fabric agent's configuration.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use welkin_base::NodeName;
use welkin_node::{Duty, Machine, NodeNetwork};
use welkin_pki::Thumbprint;

/// What a fabric agent is told when it starts. It runs as root, inside the node's network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The node's name. A goal for another is refused.
    pub node: NodeName,
    /// Where the goal, images and instances are kept. It must be on a file system with hard links.
    pub data: PathBuf,
    /// Where the agent listens (mutual TLS).
    pub listen: SocketAddr,
    /// The folder with the agent's `cert.pem` and `key.pem`.
    pub identity: PathBuf,
    /// Certificates that may give the node its goal, by SHA-256 thumbprint.
    pub clients: Vec<Thumbprint>,
    /// Address of the bridge that the agent makes: the gateway of its guests. Of an edge, its own address.
    pub bridge: Ipv4Addr,
    /// Bits of the guests' network.
    pub prefix_length: u8,
    /// The VM in slot `i` runs as user and group `uid_base + 100 + i`.
    pub uid_base: u32,
    /// Storage endpoints that guests may reach.
    pub storage: Vec<SocketAddrV4>,
    /// Virtual processors that instances may use in all; 0 for as many as the node's share of the machine has.
    #[serde(default)]
    pub cores: u32,
    /// Memory that instances may use in all; 0 for three quarters of the node's share.
    #[serde(default)]
    pub memory_mib: u32,
    /// Nodes that this machine carries: each may use its share of what the machine has.
    #[serde(default = "one")]
    pub nodes_on_machine: u32,
    /// What the node does for the virtual IPs. An edge has no bridge and no guests.
    #[serde(default)]
    pub duty: Duty,
    /// How VMs run.
    #[serde(default)]
    pub accelerator: AcceleratorChoice,
    /// Where it is kept what a VM that was started with KVM proved; nodes of one machine share it, so that one
    /// finds out for all. In the data folder when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<PathBuf>,
    /// The kind of machine that a VM is.
    #[serde(default = "default_machine")]
    pub machine: Machine,
}

/// How VMs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// With KVM if a VM that is started with it proves that it works, else emulated.
    #[default]
    Auto,
    /// With KVM.
    Kvm,
    /// Emulated.
    Tcg,
}

const fn one() -> u32 {
    1
}

fn default_machine() -> Machine {
    Machine::Q35
}

impl Config {
    /// The node's network as the plan knows it.
    #[must_use]
    pub fn network(&self) -> NodeNetwork {
        NodeNetwork {
            duty: self.duty,
            bridge: self.bridge,
            prefix_length: self.prefix_length,
            storage: self.storage.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let text = r#"
            node = "node0"
            data = "/var/lib/welkin/node0/data"
            listen = "10.177.0.2:7444"
            identity = "/var/lib/welkin/node0/identity"
            clients = ["1111111111111111111111111111111111111111111111111111111111111111"]
            bridge = "10.177.16.1"
            prefix_length = 24
            uid_base = 640000
            storage = ["10.177.0.1:10000"]
        "#;
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!((config.accelerator, config.cores), (AcceleratorChoice::Auto, 0));
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
        let error = toml::from_str::<Config>(&format!("{text}\ncolour = 1")).unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }
}
