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
