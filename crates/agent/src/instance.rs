//! The instances that the agent holds: what the plan says of one of them is done here.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::mpsc;
use welkin_agent_wire::{Accelerator, InstanceGoal};
use welkin_base::InstanceId;
use welkin_node::drive::Drive;
use welkin_node::{
    Drives, Held, Restarts, RunningVm, Shape, Slot, Stop, StopStage, Vm, VmSpec, qemu_command,
};

use crate::certificate::SecretLine;
use crate::cgroup::{self, Limits};
use crate::channel::Channel;
use crate::config::Config;
use crate::device::{KVM, TUN, substitutes};
use crate::drive::{self, DriveError};
use crate::folder::Folder;
use crate::image::Images;
use crate::probe::Probes;
use crate::process::{self, Process};
use crate::program::ProgramError;
use crate::record::Record;
use crate::shared::{Clock, Shared};
use crate::{console, tap, vm};

/// Why something could not be done to an instance.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The disk.
    #[error("the instance's folder cannot be used: {0}")]
    Folder(#[from] io::Error),
    /// A drive.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// Its link.
    #[error("the tap cannot be made: {0}")]
    Tap(#[from] ProgramError),
    /// QEMU.
    #[error("the VM cannot be started: {0}")]
    Start(String),
}

/// What instances are made with.
#[derive(Debug, Clone)]
pub struct Place {
    pub config: Arc<Config>,
    pub folder: Folder,
    pub images: Images,
    pub shared: Arc<Shared>,
    pub clock: Clock,
}

/// One instance.
#[derive(Debug)]
pub struct Instance {
    pub slot: Slot,
    record: Record,
    vm: Option<Running>,
}

/// A VM that runs.
#[derive(Debug)]
struct Running {
    process: Process,
    channel: Channel,
    probes: Probes,
    since_ms: u64,
    adopted: bool,
    stop: Option<Stop>,
    /// It is killed because its guest was silent, not because it should end.
    hung: bool,
}

impl Place {
    fn uid(&self, slot: Slot) -> u32 {
        slot.uid(self.config.uid_base)
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.vm(slot)
    }

    fn running(&self, slot: Slot, process: Process, adopted: bool) -> io::Result<Running> {
        let (watched, shared) = (process.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            watched.ended().await;
            shared.wake.notify_one();
        });
        let channel = Channel::open(&self.path(slot), self.uid(slot), self.clock, Arc::clone(&self.shared))?;
        let since_ms = self.clock.now_ms();
        let probes = Probes::new(self.clock, Arc::clone(&self.shared));
        Ok(Running { process, channel, probes, since_ms, adopted, stop: None, hung: false })
    }

    /// Finds the instances that are there, and their VMs. A folder without a record is what a crash left of one that
    /// was being made.
    pub async fn adopt(&self) -> io::Result<BTreeMap<InstanceId, Instance>> {
        let mut processes: BTreeMap<PathBuf, Process> = processes(&self.config, &self.folder)?;
        let mut instances = BTreeMap::new();
        for (slot, path) in slots(&self.folder)? {
            let process = processes.remove(&path);
            let Some(record) = Record::load(&path)? else {
                if let Some(process) = process {
                    process.signal(Signal::KILL);
                    process.ended().await;
                }
                std::fs::remove_dir_all(&path)?;
                continue;
            };
            let vm = process.map(|process| self.running(slot, process, true)).transpose()?;
            tracing::info!(instance = %record.id, %slot, runs = vm.is_some(), "found an instance");
            instances.insert(record.id.clone(), Instance { slot, record, vm });
        }
        Ok(instances)
    }
}

/// The VM processes of this data folder, by the folder that each works in.
pub fn processes(config: &Config, folder: &Folder) -> io::Result<BTreeMap<PathBuf, Process>> {
    let uid_of = |path: &std::path::Path| {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some(Slot::new(number)?.uid(config.uid_base))
    };
    Ok(process::find(&folder.vms(), uid_of)?.into_iter().collect())
}

/// The slots that have a folder.
pub fn slots(folder: &Folder) -> io::Result<Vec<(Slot, PathBuf)>> {
    let mut slots = vec![];
    for entry in std::fs::read_dir(folder.vms())? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        slots.extend(number.and_then(Slot::new).map(|slot| (slot, folder.vm(slot))));
    }
    Ok(slots)
}

impl Instance {
    /// Makes an instance's folder and record.
    pub fn create(
        place: &Place,
        id: InstanceId,
        slot: Slot,
        incarnation: u64,
    ) -> Result<Self, InstanceError> {
        let path = place.path(slot);
        vm::make_folder(&path, place.uid(slot))?;
        console::make(&path, place.uid(slot))?;
        let record = Record { id, incarnation, drives: None, shape: None, restarts: Restarts::default() };
        record.save(&path)?;
        Ok(Self { slot, record, vm: None })
    }

    /// Makes drives. The record says first that there are none: a crash between leaves no half drive in use.
    pub async fn make_drives(
        &mut self,
        place: &Place,
        make: &[Drive],
        drives: Drives,
        scratch_mib: u32,
    ) -> Result<(), InstanceError> {
        let path = place.path(self.slot);
        for drive in make {
            drive::make(*drive, &path, &place.images, &drives, scratch_mib, place.uid(self.slot)).await?;
        }
        self.record.drives = Some(drives);
        Ok(self.record.save(&path)?)
    }

    /// Starts the VM.
    pub async fn start(
        &mut self,
        place: &Place,
        shape: Shape,
        accelerator: Accelerator,
    ) -> Result<(), InstanceError> {
        let (slot, uid, path) = (self.slot, place.uid(self.slot), place.path(self.slot));
        let spec = VmSpec {
            id: self.record.id.clone(),
            slot,
            machine: place.config.machine,
            accelerator,
            cores: shape.cores,
            memory_mib: shape.memory_mib,
            mac: shape.mac.clone(),
            tsc_khz: tsc_khz(),
        };
        let limits = Limits { cores: shape.cores, memory_mib: shape.memory_mib };
        let devices: &[&str] = if accelerator == Accelerator::Kvm { &[TUN, KVM] } else { &[TUN] };
        vm::prepare(&path, &place.images, &shape, uid)?;
        self.record.shape = Some(shape);
        self.record.save(&path)?;
        tap::make(slot, uid).await?;
        let substitutes = substitutes(devices, &place.folder.devices())?;
        let process = vm::start(&path, qemu_command(&spec), uid, &substitutes)
            .await
            .map_err(|error| InstanceError::Start(error.to_string()))?;
        if let Err(error) = cgroup::confine(&place.folder, slot, limits, process.pid()) {
            tracing::warn!(instance = %spec.id, %error, "the VM runs without all of its limits");
        }
        self.vm = Some(place.running(slot, process, false)?);
        Ok(())
    }

    /// Does one step of the VM's end.
    pub fn stop(&mut self, stage: StopStage, now_ms: u64) {
        let Some(vm) = &mut self.vm else { return };
        match stage {
            StopStage::Asked => vm.channel.tell(|want| want.shutdown = true),
            StopStage::Quit => vm.process.signal(Signal::TERM),
            StopStage::Killed => vm.process.signal(Signal::KILL),
        }
        vm.hung = vm.stop.is_none() && stage == StopStage::Killed;
        vm.stop = Some(Stop { stage, at_ms: now_ms });
    }

    /// Removes all that belongs to a stopped instance.
    pub async fn remove(&self, place: &Place) -> Result<(), InstanceError> {
        tap::remove(self.slot).await?;
        cgroup::remove(&place.folder, self.slot).await;
        Ok(std::fs::remove_dir_all(place.path(self.slot))?)
    }

    /// Something could not be done: it is tried again after a pause.
    pub fn failed(&mut self, place: &Place, reason: String) {
        self.record.restarts.died(place.clock.now_ms(), 0, reason);
    }

    /// Looks whether the VM has ended, and cuts its console.
    pub fn observe(&mut self, place: &Place) {
        let path = place.path(self.slot);
        let _ = console::rotate(&path);
        let Some(vm) = &self.vm else { return };
        if vm.process.alive() {
            return;
        }
        let now_ms = place.clock.now_ms();
        if vm.stop.is_none() || vm.hung {
            let reason = if vm.hung { "the guest was silent".to_owned() } else { death(&path) };
            tracing::warn!(instance = %self.record.id, reason, "a VM ended by itself");
            self.record.restarts.died(now_ms, now_ms.saturating_sub(vm.since_ms), reason);
            let _ = self.record.save(&path);
        }
        self.vm = None;
    }

    /// Tells the guest what it must run, unless its VM is to be ended: then the goal is for the next one.
    pub fn tell(&mut self, goal: &InstanceGoal) {
        let wanted = self.record.incarnation == goal.incarnation
            && self.record.shape.as_ref() == Some(&Shape::wanted(goal));
        if let Some(vm) = self.vm.as_mut().filter(|_| wanted) {
            vm.probes.ask(goal.guest.network.address, &goal.probes);
            vm.channel.tell(|want| {
                if want.goal.as_ref() != Some(&goal.guest) {
                    want.goal = Some(goal.guest.clone());
                }
            });
        }
    }

    /// Where secrets go for the guest, while its VM runs.
    pub fn guest(&self) -> Option<mpsc::Sender<SecretLine>> {
        self.vm.as_ref().map(|vm| vm.channel.secrets())
    }

    /// The instance as the plan knows it.
    pub fn held(&self) -> Held {
        let vm = match &self.vm {
            None => Vm::Stopped,
            Some(vm) => Vm::Running(Box::new(RunningVm {
                shape: self.record.shape.clone(),
                since_ms: vm.since_ms,
                adopted: vm.adopted,
                heard: vm.channel.heard(),
                answers: vm.probes.answers(),
                stop: vm.stop,
            })),
        };
        let Record { incarnation, drives, restarts, .. } = self.record.clone();
        Held { slot: self.slot, incarnation, drives, vm, restarts }
    }
}

fn death(path: &std::path::Path) -> String {
    let words = console::last_words(path);
    if words.is_empty() { "the VM ended".to_owned() } else { format!("the VM ended: {words}") }
}

/// The frequency of the time stamp counter, which an emulated guest sees as the host's.
fn tsc_khz() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let mhz = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1))?;
    let (whole, fraction) = mhz.trim().split_once('.')?;
    Some(whole.parse::<u32>().ok()?.saturating_mul(1_000) + fraction.get(..3)?.parse::<u32>().ok()?)
}
