//! A VM's tap: its only link, on the node's bridge but with no way past the node.

use std::path::Path;

use welkin_node::Slot;
use welkin_node::filter::BRIDGE;

use crate::bridge::set_if_there;
use crate::program::{ProgramError, run};

/// Makes the slot's tap, which only the VM's user can open.
pub async fn make(slot: Slot, uid: u32) -> Result<(), ProgramError> {
    remove(slot).await?;
    let (tap, uid) = (slot.tap(), uid.to_string());
    run("ip", &["tuntap", "add", "dev", &tap, "mode", "tap", "user", &uid, "group", &uid]).await?;
    set_if_there(&format!("/proc/sys/net/ipv6/conf/{tap}/disable_ipv6"), "1");
    run("ip", &["link", "set", "dev", &tap, "master", BRIDGE]).await?;
    // Isolated: no frame passes from one guest to another on the bridge itself.
    run("ip", &["link", "set", "dev", &tap, "type", "bridge_slave", "isolated", "on", "mcast_flood", "off"])
        .await?;
    run("ip", &["link", "set", "dev", &tap, "up"]).await.map(drop)
}

/// Removes the slot's tap, if it is there.
pub async fn remove(slot: Slot) -> Result<(), ProgramError> {
    let tap = slot.tap();
    if exists(&tap) { run("ip", &["link", "delete", "dev", &tap]).await.map(drop) } else { Ok(()) }
}

/// Looks in the network namespace of this process, which `/sys` may not show.
pub fn exists(interface: &str) -> bool {
    Path::new("/proc/sys/net/ipv4/conf").join(interface).exists()
}
