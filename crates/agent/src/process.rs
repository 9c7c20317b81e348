//! A VM's process: found by its user and folder, held by a file descriptor that names no other process ever.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

/// A process that was seen to be the one that is meant.
#[derive(Debug, Clone)]
pub struct Process {
    pid: u32,
    handle: Arc<OwnedFd>,
}

impl Process {
    /// Takes hold of a process, if it exists.
    pub fn open(pid: u32) -> io::Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let handle = Arc::new(pidfd_open(number, PidfdFlags::empty())?);
        Ok(Self { pid, handle })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended.
    pub fn alive(&self) -> bool {
        let mut handles = [PollFd::new(&*self.handle, PollFlags::IN)];
        matches!(poll(&mut handles, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// Sends a signal; to a process that has ended, none.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&*self.handle, signal);
    }

    /// Returns when it has ended.
    pub async fn ended(&self) {
        let Ok(handle) = self.handle.try_clone() else { return };
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; an OwnedFd stays open as long as it is watched"
        )]
        if let Ok(handle) = AsyncFd::new(handle) {
            let _ = handle.readable().await;
        }
    }
}

/// The processes that work in a folder under `vms`, by that folder, and run as the user that it belongs to.
/// No record of process ids is needed, so no crash leaves a VM behind that is not found.
pub fn find(vms: &Path, uid_of: impl Fn(&Path) -> Option<u32>) -> io::Result<Vec<(PathBuf, Process)>> {
    let mut found = vec![];
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let Some(folder) = works_in(pid, vms, &uid_of) else { continue };
        // The handle is taken first and the process looked at again: the number may have passed to another.
        let Ok(process) = Process::open(pid) else { continue };
        if works_in(pid, vms, &uid_of).as_ref() == Some(&folder) {
            found.push((folder, process));
        }
    }
    Ok(found)
}

fn works_in(pid: u32, vms: &Path, uid_of: &impl Fn(&Path) -> Option<u32>) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let folder = fs::read_link(process.join("cwd")).ok()?;
    if folder.parent() != Some(vms) {
        return None;
    }
    let uid = fs::metadata(&process).ok()?.uid();
    (uid_of(&folder) == Some(uid)).then_some(folder)
}
