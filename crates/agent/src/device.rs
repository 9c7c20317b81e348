//! Device nodes for VM processes.
//!
//! A VM process is a user like any other. Where the machine lets only root open a device that it needs
//! (Debian lets all open `/dev/net/tun`, and a group `/dev/kvm`; containers often differ), the process gets a
//! mount namespace of its own with a node of its own in the device's place. The machine's node stays as it is.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What a VM's network needs.
pub const TUN: &str = "/dev/net/tun";
/// What hardware virtualization needs.
pub const KVM: &str = "/dev/kvm";

/// Everybody may read and write.
const OPEN: u32 = 0o666;

/// For each device that only root may open: a node that the VM's user may, and the device in whose place it goes.
pub fn substitutes(devices: &[&'static str], folder: &Path) -> io::Result<Vec<(PathBuf, &'static str)>> {
    let mut substitutes = vec![];
    for device in devices {
        let metadata = fs::metadata(device)
            .map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))?;
        if metadata.mode() & 0o006 == 0o006 {
            continue;
        }
        substitutes.push((node(&folder.join(device.replace('/', "-")), metadata.rdev())?, *device));
    }
    Ok(substitutes)
}

fn node(path: &Path, device: u64) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_char_device() && found.rdev() == device => {}
        Ok(_) => {
            fs::remove_file(path)?;
            return node(path, device);
        }
        Err(_) => mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(OPEN), device)?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(OPEN))?;
    Ok(path.to_owned())
}
