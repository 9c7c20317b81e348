//! What the node can give to instances.

use std::path::Path;

use welkin_agent_wire::NodeCapacity;
use welkin_node::Duty;

use crate::config::Config;

/// Virtual processors for each of the machine's: roles wait most of the time.
const CORES_PER_PROCESSOR: u32 = 4;
/// Of the machine's memory, this share is for instances; the rest is for QEMU, the node and the host.
const MEMORY_SHARE: (u64, u64) = (3, 4);

/// What instances may use in all: of an edge, nothing.
pub fn capacity(config: &Config) -> NodeCapacity {
    if config.duty == Duty::Edge {
        return NodeCapacity { cores: 0, memory_mib: 0, disk_mib: 0 };
    }
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let nodes = config.nodes_on_machine.max(1);
    let or = |chosen: u32, machine: u32| if chosen == 0 { machine / nodes } else { chosen };
    NodeCapacity {
        cores: or(config.cores, processors.saturating_mul(CORES_PER_PROCESSOR)).max(1),
        memory_mib: or(config.memory_mib, memory_mib()),
        disk_mib: disk_mib(&config.data) / u64::from(nodes),
    }
}

fn memory_mib() -> u32 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    u32::try_from(total_kib / 1024 * MEMORY_SHARE.0 / MEMORY_SHARE.1).unwrap_or(u32::MAX)
}

/// The size of the file system that the data folder is on.
fn disk_mib(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |fs| fs.f_blocks.saturating_mul(fs.f_frsize) >> 20)
}
