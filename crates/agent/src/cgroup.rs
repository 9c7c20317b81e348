//! A VM's control group: what it may use of the node, even when QEMU has been taken over.
//!
//! Version 2 where that is the machine's hierarchy, else the controllers of version 1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use welkin_node::Slot;

use crate::folder::Folder;

const ROOT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// What QEMU itself uses beside the guest's memory: translated code, device buffers, and the cached pages of its
/// drives. 110 MiB were measured; the kernel takes cached pages back first.
const OVERHEAD_MIB: u64 = 320;
/// QEMU's own threads may use half a processor beside the virtual ones.
const OVERHEAD_PERCENT: u64 = 50;
/// The period of the processor limit, the kernel's default.
const PERIOD_US: u64 = 100_000;
/// QEMU has a thread for each virtual processor and up to 64 for drives.
const THREADS_MAX: u32 = 256;
/// A group can be removed once the kernel has let go of its last process: tries and the pause between them.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE_MS: u64 = 20;

/// What one VM may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Virtual processors.
    pub cores: u32,
    /// Memory of the guest.
    pub memory_mib: u32,
}

/// Puts a process into the slot's group, with its limits. An error says what limit is not in force.
pub fn confine(folder: &Folder, slot: Slot, limits: Limits, pid: u32) -> io::Result<()> {
    for (group, settings) in groups(folder, slot, limits) {
        let fail = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", group.display()));
        fs::create_dir_all(&group).map_err(fail)?;
        for (file, value) in settings {
            fs::write(group.join(file), value).map_err(fail)?;
        }
        fs::write(group.join("cgroup.procs"), pid.to_string()).map_err(fail)?;
    }
    Ok(())
}

/// Removes the slot's group after its VM has ended.
pub async fn remove(folder: &Folder, slot: Slot) {
    for parent in parents(folder) {
        let group = parent.join(format!("vm{slot}"));
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&group) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    tokio::time::sleep(Duration::from_millis(REMOVE_PAUSE_MS)).await;
                }
                _ => break,
            }
        }
        // The last one to go takes the parent along; with others in it this fails, as it should.
        let _ = fs::remove_dir(&parent);
    }
}

fn unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The folders that hold the groups of this agent's VMs. Two clouds on one machine never share one.
fn parents(folder: &Folder) -> Vec<PathBuf> {
    let digest = Sha256::digest(folder.path().as_os_str().as_encoded_bytes());
    let name = format!("welkin-{}", hex::encode(&digest[..6]));
    if unified() {
        vec![Path::new(ROOT).join(name)]
    } else {
        CONTROLLERS.iter().map(|controller| Path::new(ROOT).join(controller).join(&name)).collect()
    }
}

fn groups(folder: &Folder, slot: Slot, limits: Limits) -> Vec<(PathBuf, Vec<(&'static str, String)>)> {
    let memory_bytes = ((u64::from(limits.memory_mib) + OVERHEAD_MIB) << 20).to_string();
    let quota_us = (u64::from(limits.cores) * 100 + OVERHEAD_PERCENT) * PERIOD_US / 100;
    let threads = THREADS_MAX.to_string();
    let parents = parents(folder);
    let group = |parent: &PathBuf| parent.join(format!("vm{slot}"));
    match parents.as_slice() {
        [parent] => {
            enable(Path::new(ROOT));
            let _ = fs::create_dir(parent);
            enable(parent);
            let cpu = format!("{quota_us} {PERIOD_US}");
            vec![(group(parent), vec![("memory.max", memory_bytes), ("cpu.max", cpu), ("pids.max", threads)])]
        }
        parents => {
            let settings = [
                ("memory.limit_in_bytes", memory_bytes),
                ("cpu.cfs_quota_us", quota_us.to_string()),
                ("pids.max", threads),
            ];
            parents.iter().map(group).zip(settings.map(|setting| vec![setting])).collect()
        }
    }
}

/// Lets groups below have limits. Where that cannot be, writing the limit fails and says so.
fn enable(group: &Path) {
    for controller in CONTROLLERS {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}
