//! Breaking a node, for real: what a power failure, a hang and a cut cable do to it.
//!
//! What was done is written down below `run`, so that the supervisor leaves a dead node dead, and so that it can be
//! undone. The next `welkin up` starts with whole nodes.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Serialize;

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::network;
use crate::part::Part;
use crate::parts::pid_file;
use crate::process::Process;
use crate::state;

/// How long the supervisor may take to start the agent of a node that was dead.
const RESTORE_LIMIT_S: u64 = 60;
const POLL_MS: u64 = 50;

/// How a node is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// As by a power failure.
    Killed,
    /// As by a hang.
    Paused,
    /// As by a cut cable.
    Cut,
}

impl Failure {
    const ALL: [Self; 3] = [Self::Killed, Self::Paused, Self::Cut];

    /// Where it is written down.
    pub fn file(self, cloud: &Cloud, node: u8) -> PathBuf {
        cloud.path("run").join(format!("{}.{self}", Part::Node(node)))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Paused => "paused",
            Self::Cut => "cut",
        })
    }
}

/// What a node suffers from; of several, the worst.
pub fn of(cloud: &Cloud, node: u8) -> Option<Failure> {
    Failure::ALL.into_iter().find(|failure| failure.file(cloud, node).exists())
}

/// Forgets what was done to the nodes of a cloud of which nothing runs.
pub fn forget(cloud: &Cloud) {
    for part in Part::possible() {
        if let Part::Node(node) = part {
            for failure in Failure::ALL {
                let _ = fs::remove_file(failure.file(cloud, node));
            }
        }
    }
}

/// Breaks a node.
pub fn inflict(cloud: &Cloud, node: u8, failure: Failure) -> Result<(), CliError> {
    let file = failure.file(cloud, node);
    fs::write(&file, "").map_err(|source| CliError::File { doing: "write", path: file, source })?;
    match failure {
        Failure::Killed => {
            // First the cable: a machine without power does not even refuse connections.
            network::cut(cloud, node)?;
            signal(cloud, node, Signal::KILL)
        }
        Failure::Paused => signal(cloud, node, Signal::STOP),
        Failure::Cut => network::cut(cloud, node),
    }
}

/// Undoes what was done to a node. Doing it to a whole one changes nothing.
pub fn restore(cloud: &Cloud, node: u8) -> Result<(), CliError> {
    let was_killed = Failure::Killed.file(cloud, node).exists();
    signal(cloud, node, Signal::CONT)?;
    network::mend(cloud, node)?;
    for failure in Failure::ALL {
        let _ = fs::remove_file(failure.file(cloud, node));
    }
    if was_killed { agent_runs(cloud, node) } else { Ok(()) }
}

/// The agent first, so that it starts nothing anew.
fn signal(cloud: &Cloud, node: u8, signal: Signal) -> Result<(), CliError> {
    if let Some(agent) = Process::read(&pid_file(cloud, Part::Node(node))) {
        agent.signal_group(signal);
    }
    let folder = cloud.folder(Part::Node(node));
    let config: welkin_agent::Config = state::read_toml(&folder.join("config.toml"))?;
    welkin_agent::signal_vms(&config, signal).map_err(|source| CliError::File {
        doing: "find the VMs of",
        path: folder,
        source,
    })
}

fn agent_runs(cloud: &Cloud, node: u8) -> Result<(), CliError> {
    let part = Part::Node(node);
    let end = Instant::now() + Duration::from_secs(RESTORE_LIMIT_S);
    while Process::read(&pid_file(cloud, part)).is_none() {
        if Instant::now() >= end {
            return Err(CliError::PartSilent { part, seconds: RESTORE_LIMIT_S, log: cloud.log(part) });
        }
        std::thread::sleep(Duration::from_millis(POLL_MS));
    }
    Ok(())
}
