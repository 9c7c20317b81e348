//! The agent's data folder.
//!
//! ```text
//! data/               root, 0700
//!   goal.json         the goal that the node holds
//!   accelerator.json  what the probe of KVM found
//!   images/<sha256>   read-only bases, kernels and initramfs
//!   devices/          device nodes that VM processes may open, where the machine's own are root's
//!   vm/<slot>/        one instance; the folder is root's and its group may pass
//!     instance.json   whose folder it is and what it was started with
//!     kernel, initramfs, d.base, e.base   hard links into images/
//!     d.qcow2, e.qcow2, c.img, console.log   the VM's user
//!     qemu.log        what QEMU said when it started
//!     run/            the VM's user; QEMU's socket
//! ```
//!
//! A VM process works inside its folder: it passes no folder above it, and cannot replace a file that the agent
//! opens.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use welkin_node::Slot;

/// The data folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes what is missing of the data folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        // Processes are found by the folder that they work in, and the kernel knows its real name.
        let folder = Self(path.canonicalize()?);
        for part in [folder.images(), folder.devices(), folder.vms()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(part)?;
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn goal(&self) -> PathBuf {
        self.0.join("goal.json")
    }

    pub fn accelerator(&self) -> PathBuf {
        self.0.join("accelerator.json")
    }

    pub fn probe(&self) -> PathBuf {
        self.0.join("probe")
    }

    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    pub fn devices(&self) -> PathBuf {
        self.0.join("devices")
    }

    pub fn vms(&self) -> PathBuf {
        self.0.join("vm")
    }

    pub fn vm(&self, slot: Slot) -> PathBuf {
        self.vms().join(slot.to_string())
    }
}

/// Replaces a file so that a crash leaves either the old or the new one. Only root reads it.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    fs::File::open(parent)?.sync_all()
}
