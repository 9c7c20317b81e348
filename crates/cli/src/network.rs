//! The node's network namespace and its link to the host. Deleting the namespace takes all of the node's
//! interfaces, rules and connections with it.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::program::{run, succeeds};

/// Bits of the link between the host and its nodes.
const LINK_PREFIX_LENGTH: u8 = 24;

/// Makes what is missing of the namespace and the link.
pub fn make(cloud: &Cloud) -> Result<(), CliError> {
    let (namespace, host, node) = (cloud.namespace(), cloud.host_interface(), cloud.node_interface());
    let network = cloud.choices.network;
    run("ip", &["netns", "add", &namespace])?;
    run("ip", &["link", "add", &host, "type", "veth", "peer", "name", &node, "netns", &namespace])?;
    let address = |a: Ipv4Addr| format!("{a}/{LINK_PREFIX_LENGTH}");
    run("ip", &["address", "add", &address(network.host()), "dev", &host])?;
    run("ip", &["link", "set", &host, "up"])?;
    run("ip", &["-n", &namespace, "address", "add", &address(network.node()), "dev", &node])?;
    run("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
    run("ip", &["-n", &namespace, "link", "set", &node, "up"])?;
    let (host_address, node_address) = (network.host().to_string(), network.node().to_string());
    run("ip", &["-n", &namespace, "route", "add", "default", "via", &host_address])?;
    run("ip", &["route", "add", &network.to_string(), "via", &node_address, "dev", &host])?;
    // Forwarding inside the namespace only: the host's own setting is not touched.
    let enter = format!("--net={}", namespace_path(cloud).display());
    run("nsenter", &[&enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]).map(drop)
}

/// Removes the namespace and the link, whichever is there.
pub fn remove(cloud: &Cloud) -> Result<(), CliError> {
    let (namespace, host) = (cloud.namespace(), cloud.host_interface());
    if succeeds("ip", &["link", "show", &host]) {
        run("ip", &["link", "delete", &host])?;
    }
    if namespace_path(cloud).exists() {
        run("ip", &["netns", "delete", &namespace])?;
    }
    Ok(())
}

/// Where the namespace can be entered.
pub fn namespace_path(cloud: &Cloud) -> PathBuf {
    PathBuf::from("/run/netns").join(cloud.namespace())
}

/// An interface, as `ip -json address` has it.
#[derive(Debug, Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    local: Option<String>,
}

/// Fails when an interface of the machine, other than this cloud's own, has an address in the cloud's network.
pub fn check_free(cloud: &Cloud) -> Result<(), CliError> {
    let text = run("ip", &["-json", "-4", "address"])?;
    let interfaces: Vec<Interface> = serde_json::from_str(&text).map_err(|error| CliError::Command {
        command: "ip -json -4 address".into(),
        why: error.to_string(),
    })?;
    let own = cloud.host_interface();
    let taken = interfaces.into_iter().filter(|interface| interface.ifname != own).find_map(|interface| {
        let mut addresses = interface.addr_info.into_iter().filter_map(|address| address.local);
        let address = addresses.find(|a| a.parse().is_ok_and(|a| cloud.choices.network.contains(a)))?;
        Some((interface.ifname, address))
    });
    match taken {
        Some((interface, address)) => {
            Err(CliError::NetworkTaken { network: cloud.choices.network, address, interface })
        }
        None => Ok(()),
    }
}
