//! The network namespaces of a cloud and their links. Deleting a namespace takes all of its interfaces, rules and
//! connections with it.

mod cluster;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::Deserialize;

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::part::Part;
use crate::program::{run, succeeds};

/// Bits of the link between the host and its only node.
const LINK_PREFIX_LENGTH: u8 = 24;

/// Makes the namespaces and links.
pub fn make(cloud: &Cloud) -> Result<(), CliError> {
    if cloud.is_cluster() { cluster::make(cloud) } else { single(cloud) }
}

/// One node, linked to the host.
fn single(cloud: &Cloud) -> Result<(), CliError> {
    let (host, node) = (cloud.host_interface(), cloud.node_interface(0));
    let network = cloud.choices.network;
    let namespace = add(cloud, Part::Node(0))?;
    let address = |a: Ipv4Addr| format!("{a}/{LINK_PREFIX_LENGTH}");
    ip(&format!("link add {host} type veth peer name {node} netns {namespace}"))?;
    ip(&format!("address add {} dev {host}", address(network.host())))?;
    ip(&format!("-n {namespace} address add {} dev {node}", address(network.node(0))))?;
    ip(&format!("-n {namespace} link set {node} up"))?;
    ip(&format!("-n {namespace} route add default via {}", network.host()))?;
    mend(cloud, 0)?;
    // Forwarding inside the namespace only: the host's own setting is not touched.
    set(cloud, Part::Node(0), &[("net/ipv4/ip_forward", "1")])
}

/// Cuts a node off: whatever is sent to it or by it is lost.
pub fn cut(cloud: &Cloud, node: u8) -> Result<(), CliError> {
    if cloud.is_cluster() {
        return cluster::cut(cloud, node);
    }
    ip(&format!("link set {} down", cloud.host_interface()))
}

/// Joins a node to the others again, or for the first time. Doing it twice changes nothing.
pub fn mend(cloud: &Cloud, node: u8) -> Result<(), CliError> {
    if cloud.is_cluster() {
        return cluster::mend(cloud, node);
    }
    let (host, network) = (cloud.host_interface(), cloud.choices.network);
    ip(&format!("link set {host} up"))?;
    // The kernel takes routes away with a link that goes down.
    ip(&format!("route replace {network} via {} dev {host}", network.node(0)))
}

/// Removes every namespace that a cloud of this name may have, and the links to them.
pub fn remove(cloud: &Cloud) -> Result<(), CliError> {
    for interface in [cloud.host_interface(), cloud.controllers_interface()] {
        if succeeds("ip", &["link", "show", &interface]) {
            ip(&format!("link delete {interface}"))?;
        }
    }
    // A cloud may have had more nodes when it was last up.
    let prefix = format!("{}-", cloud.name());
    let Ok(namespaces) = std::fs::read_dir(NAMESPACES) else { return Ok(()) };
    for namespace in namespaces.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if namespace.starts_with(&prefix) {
            ip(&format!("netns delete {namespace}"))?;
        }
    }
    Ok(())
}

/// Where `ip` keeps namespaces.
const NAMESPACES: &str = "/run/netns";

/// Where the namespace of a part can be entered; `None` for parts that are on the host.
pub fn namespace_path(cloud: &Cloud, part: Part) -> Option<PathBuf> {
    Some(PathBuf::from(NAMESPACES).join(cloud.namespace(part)?))
}

/// Whether something takes connections at `address`, as `from` sees it.
pub fn answers(cloud: &Cloud, from: Part, address: SocketAddr, limit: Duration) -> bool {
    inside(cloud, from, || TcpStream::connect_timeout(&address, limit).is_ok()).unwrap_or(false)
}

/// Makes a namespace for a part, with its loopback up; its name.
fn add(cloud: &Cloud, part: Part) -> Result<String, CliError> {
    let namespace =
        cloud.namespace(part).ok_or_else(|| CliError::Service(format!("{part} is on the host")))?;
    ip(&format!("netns add {namespace}"))?;
    ip(&format!("-n {namespace} link set lo up"))?;
    Ok(namespace)
}

/// Sets kernel settings of a part's namespace, each below `/proc/sys`.
fn set(cloud: &Cloud, part: Part, settings: &[(&str, &str)]) -> Result<(), CliError> {
    inside(cloud, part, || {
        settings.iter().try_for_each(|(name, value)| {
            let path = PathBuf::from("/proc/sys").join(name);
            std::fs::write(&path, value).map_err(|source| CliError::File { doing: "set", path, source })
        })
    })?
}

/// Runs `what` inside the namespace of a part, on a thread of its own, which is the only one that enters it.
fn inside<T: Send>(cloud: &Cloud, part: Part, what: impl FnOnce() -> T + Send) -> Result<T, CliError> {
    let Some(path) = namespace_path(cloud, part) else { return Ok(what()) };
    let enter = || {
        let file = File::open(&path).map_err(|source| CliError::File {
            doing: "enter",
            path: path.clone(),
            source,
        })?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| CliError::File { doing: "enter", path: path.clone(), source: error.into() })
    };
    let joined = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter()?;
            Ok(what())
        });
        thread.join()
    });
    joined.unwrap_or_else(|_| Err(CliError::Service(format!("a thread failed in {}", path.display()))))
}

/// Runs `ip` with words of which none holds a blank.
fn ip(words: &str) -> Result<(), CliError> {
    run("ip", &words.split(' ').collect::<Vec<_>>()).map(drop)
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
    let own = [cloud.host_interface(), cloud.controllers_interface()];
    let mut foreign = interfaces.into_iter().filter(|interface| !own.contains(&interface.ifname));
    let taken = foreign.find_map(|interface| {
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
