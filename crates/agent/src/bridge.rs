//! The node's bridge and the settings of its network namespace.

use welkin_node::NodeNetwork;
use welkin_node::filter::{BRIDGE, gateway_mac};

use crate::program::{ProgramError, run};
use crate::tap::exists;

/// What the namespace's network must be set to: the node forwards, answers ARP for each guest to the others, and
/// leaves frames on the bridge to the bridge's own rules.
const SETTINGS: [(&str, &str); 9] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/wk0/send_redirects", "0"),
    ("net/ipv4/conf/wk0/proxy_arp_pvlan", "1"),
    // At once: the default is a pause of up to 0.8 s.
    ("net/ipv4/neigh/wk0/proxy_delay", "0"),
    ("net/ipv6/conf/wk0/disable_ipv6", "1"),
    ("net/bridge/bridge-nf-call-iptables", "0"),
    ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ("net/bridge/bridge-nf-call-arptables", "0"),
];
/// Those without which nothing works.
const NEEDED: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv4/conf/wk0/proxy_arp_pvlan"];

/// Why the node's network cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A setting.
    #[error(
        "/proc/sys/{setting} cannot be set to {value}: {why}. The agent must run as root in the node's network namespace"
    )]
    Setting {
        /// Below `/proc/sys`.
        setting: &'static str,
        /// What it should be.
        value: &'static str,
        /// What the system says.
        why: std::io::Error,
    },
}

/// Makes the bridge, or what is missing of it.
pub async fn make(network: &NodeNetwork) -> Result<(), BridgeError> {
    let mac = gateway_mac(network.bridge);
    if !exists(BRIDGE) {
        run("ip", &["link", "add", "name", BRIDGE, "address", &mac, "type", "bridge"]).await?;
    }
    let address = format!("{}/{}", network.bridge, network.prefix_length);
    run("ip", &["address", "replace", &address, "dev", BRIDGE]).await?;
    run("ip", &["link", "set", "dev", BRIDGE, "up"]).await?;
    for (setting, value) in SETTINGS {
        match std::fs::write(format!("/proc/sys/{setting}"), value) {
            Err(why) if NEEDED.contains(&setting) => {
                return Err(BridgeError::Setting { setting, value, why });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sets a kernel setting that need not exist.
pub fn set_if_there(path: &str, value: &str) {
    let _ = std::fs::write(path, value);
}
