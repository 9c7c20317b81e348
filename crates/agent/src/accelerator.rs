//! Whether VMs run with KVM: only if a VM that is started with it proves that it works. A device node proves
//! nothing: nested or broken virtualization opens it and then resets the processor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use welkin_agent_wire::Accelerator;
use welkin_node::vm::{CONSOLE, PROBED, probe_command};
use welkin_node::{Machine, Shape};

use crate::config::{AcceleratorChoice, Config};
use crate::device::{KVM, substitutes};
use crate::folder::{Folder, replace};
use crate::image::Images;
use crate::vm;

/// A kernel that runs with KVM starts its first process within a second or two.
const PROBE_LIMIT_MS: u64 = 15_000;
const PROBE_PAUSE_MS: u64 = 100;
/// The probe VM's user, relative to the first VM's.
const PROBE_UID_OFFSET: u32 = 99;

/// What a probe found, and on what it depends.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    accelerator: Accelerator,
    host_kernel: String,
}

/// What is known without a probe.
pub fn known(config: &Config, folder: &Folder) -> Option<Accelerator> {
    match config.accelerator {
        AcceleratorChoice::Kvm => return Some(Accelerator::Kvm),
        AcceleratorChoice::Tcg => return Some(Accelerator::Tcg),
        AcceleratorChoice::Auto => {}
    }
    if !Path::new(KVM).exists() {
        return Some(Accelerator::Tcg);
    }
    let proof: Proof = serde_json::from_slice(&std::fs::read(file(config, folder)).ok()?).ok()?;
    (proof.host_kernel == host_kernel()).then_some(proof.accelerator)
}

fn file(config: &Config, folder: &Folder) -> PathBuf {
    config.proof.clone().unwrap_or_else(|| folder.accelerator())
}

fn host_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Boots the guest's kernel with KVM, and remembers whether it came as far as its first process.
pub async fn probe(
    config: &Config,
    folder: &Folder,
    images: &Images,
    shape: &Shape,
) -> io::Result<Accelerator> {
    let works = match boots(config, folder, images, shape).await {
        Ok(works) => works,
        Err(error) => {
            tracing::warn!(%error, "KVM cannot be tried");
            false
        }
    };
    let accelerator = if works { Accelerator::Kvm } else { Accelerator::Tcg };
    tracing::info!(?accelerator, "tried KVM by starting a VM");
    let proof = Proof { accelerator, host_kernel: host_kernel() };
    replace(&file(config, folder), &serde_json::to_vec(&proof).map_err(io::Error::other)?)?;
    Ok(accelerator)
}

async fn boots(config: &Config, folder: &Folder, images: &Images, shape: &Shape) -> io::Result<bool> {
    let uid = config.uid_base.saturating_add(PROBE_UID_OFFSET);
    let place = folder.probe();
    vm::make_folder(&place, uid)?;
    vm::prepare(&place, images, shape, uid)?;
    let devices = substitutes(&[KVM], &folder.devices())?;
    let process = vm::start(&place, probe_command(Machine::Q35), uid, &devices).await?;
    let said =
        || std::fs::read(place.join(CONSOLE)).is_ok_and(|b| String::from_utf8_lossy(&b).contains(PROBED));
    for _ in 0..PROBE_LIMIT_MS / PROBE_PAUSE_MS {
        if said() || !process.alive() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(PROBE_PAUSE_MS)).await;
    }
    process.signal(Signal::KILL);
    process.ended().await;
    let works = said();
    std::fs::remove_dir_all(&place)?;
    Ok(works)
}
