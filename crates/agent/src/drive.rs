//! Making an instance's drives.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use welkin_base::Digest;
use welkin_node::Drives;
use welkin_node::drive::{Drive, SCRATCH_LABEL};
use welkin_node::vm;

use crate::image::Images;
use crate::program::{self, ProgramError};

/// Why a drive cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The disk.
    #[error("drive {0:?} cannot be made: {1}")]
    Disk(Drive, io::Error),
    /// A program.
    #[error("drive {0:?} cannot be made: {1}")]
    Program(Drive, ProgramError),
}

/// Makes drives anew in an instance's folder, each for the VM's user alone.
pub async fn make(
    drive: Drive,
    folder: &Path,
    images: &Images,
    drives: &Drives,
    scratch_mib: u32,
    uid: u32,
) -> Result<(), DriveError> {
    let disk = |error| DriveError::Disk(drive, error);
    let file = match drive {
        Drive::D => delta(drive, folder, images, drives.guest_os, (vm::D_BASE, vm::D)).await?,
        Drive::E => delta(drive, folder, images, drives.application, (vm::E_BASE, vm::E)).await?,
        Drive::C => scratch(folder, scratch_mib).await?,
    };
    let path = folder.join(file);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(disk)?;
    chown(&path, Some(uid), Some(uid)).map_err(disk)
}

async fn delta(
    drive: Drive,
    folder: &Path,
    images: &Images,
    base: Digest,
    (base_name, name): (&'static str, &'static str),
) -> Result<&'static str, DriveError> {
    link(&images.path(&base), &folder.join(base_name)).map_err(|error| DriveError::Disk(drive, error))?;
    let path = folder.join(name);
    remove_if_there(&path).map_err(|error| DriveError::Disk(drive, error))?;
    // The base's name is relative to the delta: the VM sees nothing outside its folder.
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", base_name, &path.to_string_lossy()];
    program::run("qemu-img", &arguments).await.map_err(|error| DriveError::Program(drive, error))?;
    Ok(name)
}

async fn scratch(folder: &Path, scratch_mib: u32) -> Result<&'static str, DriveError> {
    let path = folder.join(vm::C);
    let create = || {
        remove_if_there(&path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.set_len(u64::from(scratch_mib) << 20)
    };
    create().map_err(|error| DriveError::Disk(Drive::C, error))?;
    let arguments = ["-q", "-F", "-m", "0", "-L", SCRATCH_LABEL, &path.to_string_lossy()];
    program::run("mkfs.ext4", &arguments).await.map_err(|error| DriveError::Program(Drive::C, error))?;
    Ok(vm::C)
}

/// Puts a hard link to an image in place of what was there.
pub fn link(image: &Path, name: &Path) -> io::Result<()> {
    remove_if_there(name)?;
    fs::hard_link(image, name)
}

/// Removes a file that need not be there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
