//! Kernel settings that keep a role in its place.

use std::fs;

use crate::console;

/// Setting, value. A setting that this kernel lacks needs no value.
const SETTINGS: [(&str, &str); 9] = [
    ("user/max_user_namespaces", "0"), // a user namespace would give a role capabilities again
    ("net/ipv4/ip_unprivileged_port_start", "0"), // a role has no capabilities, and listens on 80
    ("net/ipv6/conf/all/disable_ipv6", "1"), // the node filters and routes IPv4 only
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/yama/ptrace_scope", "2"),
    ("kernel/panic", "-1"), // a kernel that panicked resets at once, and the node sees the VM end
    ("kernel/modules_disabled", "1"), // last: whatever is needed has been loaded
];

/// What else is set once the guest holds private keys, so that no process of the role, elevated or not, reads them out of
/// memory: nobody traces or looks into another process, and the kernel's memory cannot be read or its code changed.
/// Neither can be undone before the next boot.
pub fn protect_keys() {
    set("/proc/sys/kernel/yama/ptrace_scope", "3");
    if let Err(error) = crate::boot::mount_security() {
        console::say(&error.to_string());
    }
    let lockdown = "/sys/kernel/security/lockdown";
    let now = fs::read_to_string(lockdown).unwrap_or_default();
    if !now.contains("[confidentiality]") {
        set(lockdown, "confidentiality");
    }
}

fn set(path: &str, value: &str) {
    if let Err(error) = fs::write(path, value) {
        console::say(&format!("cannot set {path} to {value}: {error}"));
    }
}

/// Sets all of them, and says on the console which one was refused.
pub fn set_all() {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        match fs::write(&path, value) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                console::say(&format!("cannot set {name}: {error}"));
            }
            _ => {}
        }
    }
}
