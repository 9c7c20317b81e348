//! Ending everything that an agent has started, when its node goes down for good.

use std::io;
use std::time::Duration;

use rustix::process::Signal;
use welkin_node::filter::BRIDGE;
use welkin_node::limits::QUIT_GRACE_MS;

use crate::config::Config;
use crate::folder::Folder;
use crate::process::Process;
use crate::{cgroup, instance, tap};

/// Ends every VM of the configuration's data folder and removes its control groups and taps. What is on disk
/// stays: an agent that runs on it again starts the same instances. No agent may run on it meanwhile.
///
/// Taps are removed when this runs inside the node's network namespace; deleting the namespace removes them too.
///
/// # Errors
/// When the data folder or `/proc` cannot be read.
pub async fn end_everything(config: &Config) -> io::Result<()> {
    if !config.data.exists() {
        return Ok(());
    }
    let folder = Folder::open(&config.data)?;
    let processes = instance::processes(config, &folder)?;
    for process in processes.values() {
        // QEMU flushes its drives and quits; one that was stopped goes on for that.
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
    }
    for process in processes.values() {
        end(process).await;
    }
    // Elsewhere a tap of the same name is somebody else's.
    let at_home = tap::exists(BRIDGE);
    for (slot, _) in instance::slots(&folder)? {
        cgroup::remove(&folder, slot).await;
        if !at_home {
            continue;
        }
        if let Err(error) = tap::remove(slot).await {
            tracing::warn!(%error, "a tap stays until its network namespace goes");
        }
    }
    Ok(())
}

/// Sends a signal to every VM of the configuration's data folder, such as one that stops it where it is.
///
/// # Errors
/// When the data folder or `/proc` cannot be read.
pub fn signal_vms(config: &Config, signal: Signal) -> io::Result<()> {
    if config.data.exists() {
        let folder = Folder::open(&config.data)?;
        instance::processes(config, &folder)?.values().for_each(|process| process.signal(signal));
    }
    Ok(())
}

async fn end(process: &Process) {
    if tokio::time::timeout(Duration::from_millis(QUIT_GRACE_MS), process.ended()).await.is_err() {
        process.signal(Signal::KILL);
        process.ended().await;
    }
}
