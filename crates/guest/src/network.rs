//! The guest's host name, its one interface and its route.

use std::fs;

use welkin_agent_wire::guest::GuestNetwork;

use crate::error::{Doing, GuestError};
use crate::process::run_to_end;

/// The only interface.
const INTERFACE: &str = "eth0";
/// Longer host names the kernel refuses (`HOST_NAME_MAX`).
const HOST_NAME_BYTES_MAX: usize = 64;

/// Makes the address and the route those of the goal; idempotent.
///
/// # Errors
/// When the kernel refuses.
pub fn configure(network: &GuestNetwork) -> Result<(), GuestError> {
    let address = format!("{}/{}", network.address, network.prefix_length);
    let gateway = network.gateway.to_string();
    let steps: [&[&str]; 5] = [
        &["link", "set", "lo", "up"],
        &["addr", "flush", "dev", INTERFACE],
        &["addr", "add", &address, "dev", INTERFACE],
        &["link", "set", INTERFACE, "up"],
        &["route", "replace", "default", "via", &gateway],
    ];
    for step in steps {
        run_to_end(&[&["busybox", "ip"], step].concat())?;
    }
    Ok(())
}

/// Names the guest after its instance. An instance's name may hold what a host name may not.
///
/// # Errors
/// When the kernel refuses.
pub fn set_host_name(instance: &str) -> Result<(), GuestError> {
    let name = host_name(instance);
    rustix::system::sethostname(name.as_bytes()).doing(|| format!("set the host name {name}"))?;
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {name}\n");
    fs::write("/etc/hosts", hosts).doing(|| "write /etc/hosts".to_owned())
}

fn host_name(instance: &str) -> String {
    let label = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    instance.chars().map(label).take(HOST_NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn host_names_are_legal() {
        let check = |instance, expected| assert_eq!(host_name(instance), expected);
        check("Web_IN_0", "web-in-0");
        check("My.Role_IN_12", "my-role-in-12");
        assert_eq!(host_name(&"a".repeat(80)).len(), 64);
    }
}
