//! Counting the connections that this node's load balancer led to instances.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;

use welkin_agent_wire::NodeGoal;
use welkin_node::connection;

/// The kernel's connection tracking of this network namespace.
const TRACKED: &str = "/proc/self/net/nf_conntrack";

/// Open connections to each instance that drains; `None` when they cannot be counted, which is not the case where nothing
/// drains. The file is as long as the node has connections, so it is read by piece and off the runtime.
pub async fn count(goal: &NodeGoal) -> Option<BTreeMap<Ipv4Addr, u32>> {
    let counts: BTreeMap<Ipv4Addr, u32> =
        goal.draining.iter().map(|draining| (draining.address, 0)).collect();
    if counts.is_empty() {
        return Some(counts);
    }
    let counted = tokio::task::spawn_blocking(move || read(counts)).await;
    let counted = counted.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    counted.inspect_err(|error| tracing::warn!(%error, "{TRACKED} cannot be read")).ok()
}

fn read(mut counts: BTreeMap<Ipv4Addr, u32>) -> std::io::Result<BTreeMap<Ipv4Addr, u32>> {
    let mut reader = BufReader::new(std::fs::File::open(TRACKED)?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        connection::count(&line, &mut counts);
        line.clear();
    }
    Ok(counts)
}
