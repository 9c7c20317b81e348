//! From the initramfs to the guest OS.
//!
//! The root is an overlay: D below, read-only, and a tmpfs of bounded size above. So what a role or
//! an elevated task changes in the guest OS or in its application lasts until the next boot and no
//! longer: each boot begins from the images as they were made. What must last goes to C.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_move};

use crate::error::{Doing, GuestError};
use crate::{console, drive, module, sysctl};

/// Where the new root is put together.
const ROOT: &str = "/sysroot";
/// The overlays' upper layers.
const SCRATCH: &str = "/scratch";
/// Share of memory that changes to D and E may take.
const SCRATCH_SIZE: &std::ffi::CStr = c"size=25%,mode=0700";
/// Mounts that move along into the new root.
const MOVED: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];
/// The group of everything that the role starts; see [`crate::process`].
pub const ROLE_CGROUP: &str = "/sys/fs/cgroup/role";
/// Processes and threads that a role may have: a fork bomb must not stop the GA.
const ROLE_TASKS_MAX: &str = "4096";

/// Loads the kernel's modules, mounts the drives and makes D the root.
///
/// # Errors
/// When the kernel refuses, or a drive is missing.
pub fn boot() -> Result<(), GuestError> {
    mount_kernel_views()?;
    module::load_all()?;
    mount_at("tmpfs", SCRATCH, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(SCRATCH_SIZE))?;
    overlay("D", ROOT)?;
    overlay("E", &format!("{ROOT}/app"))?;
    let _ = fs::remove_dir_all("/lib/modules"); // memory that nobody reads again
    enter_root()?;
    drive::mount_scratch("/local")?;
    sysctl::set_all();
    role_group();
    console::say("guest OS is up");
    Ok(())
}

/// Whether the machine can power itself off.
pub fn has_acpi() -> bool {
    Path::new("/sys/firmware/acpi").exists()
}

fn mount_kernel_views() -> Result<(), GuestError> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_at("proc", "/proc", "proc", plain, None)?;
    mount_at("sysfs", "/sys", "sysfs", plain, None)?;
    mount_at("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, None)?;
    mount_at("tmpfs", "/run", "tmpfs", plain, Some(c"size=10%,mode=0755"))?;
    mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", plain, None)?;
    mount_at("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, None)?;
    mount_at("tmpfs", "/dev/shm", "tmpfs", plain, Some(c"size=10%,mode=1777"))
}

/// Makes the kernel's lockdown visible, unless it is.
///
/// # Errors
/// When the kernel refuses.
pub fn mount_security() -> Result<(), GuestError> {
    if Path::new("/sys/kernel/security/lockdown").exists() {
        return Ok(());
    }
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_at("securityfs", "/sys/kernel/security", "securityfs", plain, None)
}

fn mount_at(
    source: &str,
    target: &str,
    kind: &str,
    flags: MountFlags,
    data: Option<&std::ffi::CStr>,
) -> Result<(), GuestError> {
    if !Path::new(target).exists() {
        fs::create_dir_all(target).doing(|| format!("make {target}"))?;
    }
    mount(source, target, kind, flags, data).doing(|| format!("mount {target}"))
}

/// Mounts the squashfs of drive `letter` below a writable layer, at `target`.
fn overlay(letter: &str, target: &str) -> Result<(), GuestError> {
    let lower = format!("/lower/{letter}");
    drive::mount_image(letter, &lower)?;
    let (upper, work) = (format!("{SCRATCH}/{letter}/upper"), format!("{SCRATCH}/{letter}/work"));
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).doing(|| format!("make {folder}"))?;
    }
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let options = std::ffi::CString::new(options).map_err(std::io::Error::from);
    let options = options.doing(|| format!("name the layers of {letter}"))?;
    mount_at("overlay", target, "overlay", MountFlags::NOSUID | MountFlags::NODEV, Some(&options))
}

fn enter_root() -> Result<(), GuestError> {
    for folder in MOVED {
        let target = format!("{ROOT}{folder}");
        fs::create_dir_all(&target).doing(|| format!("make {target}"))?;
        mount_move(folder, target.as_str()).doing(|| format!("move {folder}"))?;
    }
    std::env::set_current_dir(ROOT).doing(|| format!("enter {ROOT}"))?;
    mount_move(".", "/").doing(|| "move the root".to_owned())?;
    rustix::process::chroot(".").doing(|| "change the root".to_owned())?;
    std::env::set_current_dir("/").doing(|| "enter /".to_owned())
}

/// Best effort: without the group a role still runs, and its strays are ended by process group.
fn role_group() {
    let made = fs::create_dir_all(ROLE_CGROUP)
        .and_then(|()| fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+pids"))
        .and_then(|()| fs::write(format!("{ROLE_CGROUP}/pids.max"), ROLE_TASKS_MAX));
    if let Err(error) = made {
        console::say(&format!("cannot limit the role's processes: {error}"));
    }
}
