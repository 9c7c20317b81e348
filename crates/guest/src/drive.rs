//! The instance's three drives, found by the serial number that the node gives them:
//! `D` the guest OS, `E` the application (both squashfs), `C` configuration and scratch (ext4).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};

use crate::console;
use crate::error::{Doing, GuestError};
use crate::process;

/// Drives appear as their driver finds them.
const WAIT_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Where ext4 keeps its magic number, and the number.
const EXT4_MAGIC_OFFSET: u64 = 1024 + 56;
const EXT4_MAGIC: [u8; 2] = [0x53, 0xef];

/// Mounts the read-only image on drive `letter`.
///
/// # Errors
/// When the drive is not attached or does not hold a squashfs.
pub fn mount_image(letter: &str, target: &str) -> Result<(), GuestError> {
    let device = find(letter)?;
    fs::create_dir_all(target).doing(|| format!("make {target}"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount(device.as_str(), target, "squashfs", flags, None).doing(|| format!("mount drive {letter}"))
}

/// Mounts C, after making its file system on the first boot. The journal repairs what a sudden end
/// left; a full check runs only when that was not enough.
///
/// # Errors
/// When the drive is not attached or cannot be mounted.
pub fn mount_scratch(target: &str) -> Result<(), GuestError> {
    let device = find("C")?;
    fs::create_dir_all(target).doing(|| format!("make {target}"))?;
    if !holds_ext4(&device)? {
        process::run_to_end(&["mkfs.ext4", "-q", "-m", "1", "-L", "local", &device])?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    let first = mount(device.as_str(), target, "ext4", flags, None);
    if let Err(error) = first {
        console::say(&format!("drive C: {error}; checking it"));
        process::run_to_end(&["e2fsck", "-p", "-f", &device])?;
        mount(device.as_str(), target, "ext4", flags, None).doing(|| "mount drive C".to_owned())?;
    }
    Ok(())
}

fn holds_ext4(device: &str) -> Result<bool, GuestError> {
    let mut magic = [0; 2];
    let read = File::open(device).and_then(|mut file| {
        file.seek(SeekFrom::Start(EXT4_MAGIC_OFFSET))?;
        file.read_exact(&mut magic)
    });
    read.doing(|| "read drive C".to_owned())?;
    Ok(magic == EXT4_MAGIC)
}

/// The device of the drive with the serial number `letter`.
fn find(letter: &str) -> Result<String, GuestError> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let serial = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
            if serial.trim() == letter {
                return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
            }
        }
        if Instant::now() >= deadline {
            return Err(GuestError::Missing(format!("drive {letter}")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
