//! The guest agent (GA): first process of the virtual machine, from boot to power-off.
//!
//! It starts as `/init` of the initramfs, mounts the three drives, and then makes the guest match
//! the goal that its FA sends over the private virtio port. It has no network service and
//! speaks to nobody else.
//!
//! In reading order:
mod boot; // modules, drives, the root: from the initramfs to the guest OS
mod drive; // the drives D, E and C: found by serial, mounted
mod module; // kernel modules, in the order that the image gives
mod sysctl; // kernel settings that keep the role in its place

mod agent; // the loop: events in, actions done, state reported
mod plan; // pure: what to do next, from goal and observed

mod certificate; // the role's certificates: chains as files, private keys here
mod channel; // lines of JSON over the virtio port
mod console; // what the role writes: to the console and to C, within bounds
mod environment; // the role environment as variables and as a file
mod network; // host name, address and route
mod process; // starts programs as the role's user, ends them, reaps
mod resource; // folders on C that the role owns
mod socket; // the role's local socket

mod error;

use std::time::Duration;

fn main() {
    let result = boot::boot().and_then(|()| agent::run());
    if let Err(error) = result {
        console::say(&format!("{error}; powering off"));
    }
    power_off();
}

/// The first process must never return: the kernel would panic.
fn power_off() -> ! {
    rustix::fs::sync();
    if boot::has_acpi() {
        let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    }
    // A machine without ACPI can only reset, which ends a VM that was started with -no-reboot.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
