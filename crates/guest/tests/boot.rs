//! Boots the guest OS image in QEMU and leads a role through its life over the virtio port.
//!
//! `WELKIN_IMAGES` names the folder with the images (`cargo xtask images --out <folder>`); the whole run of
//! `./x test` sets it. It needs QEMU and mksquashfs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "boot/vm.rs"]
mod vm;

use std::path::PathBuf;

use serde_json::json;
use vm::{Machine, Vm};
use welkin_agent_wire::guest::{GuestGoal, RoleState, ToGuest};

/// A role that shows what it can see and may do.
const WEB: &str = r#"#!/bin/sh
cd "$WELKIN_LOCAL_WWW" || exit 9
{
  echo "uid=$(id -u)"
  grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | tr -d '\t'
  cat /proc/self/cgroup
  echo "setting=$WELKIN_SETTING_COLOUR variable=$SHAPE task=$(cat task.txt)"
  touch /app/mark /etc/mark 2>/dev/null && echo "may write to drives"
  unshare --user true 2>/dev/null && echo "may make user namespaces"
} > facts.txt
ln -sf /run/welkin/environment.json environment.json
exec busybox httpd -f -p "$WELKIN_ENDPOINT_HTTP"
"#;
const CRASH: &str = "#!/bin/sh\necho about to end\nexit 3\n";
const FACTS: &str = "uid=1000\nCapEff:0000000000000000\nCapBnd:0000000000000000\nNoNewPrivs:1\n0::/role\n\
                     setting=blue variable=round task=done\n";

fn goal(generation: u64, task: &str, program: &str, colour: &str) -> ToGuest {
    let address = vm::GUEST_ADDRESS;
    let goal: GuestGoal = serde_json::from_value(json!({
        "generation": generation,
        "network": {"address": address, "prefix_length": 24, "gateway": vm::GATEWAY},
        "environment": {
            "deployment": "6ba7b8109dad11d180b400c04fd430c8", "service": "s", "role": "Web", "instance": "Web_IN_0",
            "update_domain": 0, "fault_domain": 0, "settings": {"Colour": colour},
            "endpoints": [{"name": "http", "protocol": "http", "address": address, "port": 80, "public_port": 80}],
            "local_resources": [
                {"name": "www", "path": "/local/resources/www", "size_mib": 1, "clean_on_role_recycle": true}
            ],
            "peers": []
        },
        "startup_tasks": [{"command_line": task, "elevated": false, "kind": "simple", "variables": {}}],
        "program": {"command_line": program, "elevated": false, "ready_on_start": true},
        "variables": {"SHAPE": "round"}
    }))
    .unwrap();
    ToGuest::Goal(Box::new(goal))
}

#[test]
fn a_role_lives_on_every_machine() {
    let Some(images) = std::env::var_os("WELKIN_IMAGES").map(PathBuf::from) else {
        eprintln!("not run: WELKIN_IMAGES names no folder with images");
        return;
    };
    let files = [("web", WEB), ("crash", CRASH)];
    for machine in [Machine::Q35, Machine::Microvm] {
        live(&mut Vm::boot(&images, machine, &files.map(|(name, text)| (name, text.as_bytes()))));
    }
}

fn live(vm: &mut Vm) {
    let fine = "echo done > $WELKIN_LOCAL_WWW/task.txt";

    let failed = vm.lead(&goal(1, "exit 7", "web", "blue"), RoleState::Failed);
    assert_eq!(failed.message, "startup task 1 ended with exit code 7");

    let ready = vm.lead(&goal(2, fine, "web", "blue"), RoleState::Ready);
    eprintln!("{:?}: ready {} ms after boot", vm.machine, ready.uptime_ms);
    assert_eq!(vm.get("/facts.txt"), FACTS);

    // A role that does not wait for changes is started again when a setting does.
    let again = vm.lead(&goal(3, fine, "web", "red"), RoleState::Ready);
    assert_eq!(again.role_restarts, ready.role_restarts + 1);
    assert_eq!(vm.get("/facts.txt"), FACTS.replace("blue", "red"));
    vm.wait_for(|vm| vm.get("/environment.json").contains("\"Colour\":\"red\""));

    // An older goal is not gone back to.
    vm.say(&goal(2, fine, "web", "blue"));
    assert_eq!(vm.next().generation.0, 3);

    let recycling = vm.lead(&goal(4, fine, "crash", "green"), RoleState::Recycling);
    assert_eq!(recycling.message, "the role ended with exit code 3");
    let again = vm.until(|observed| observed.role_restarts > recycling.role_restarts);
    assert_eq!(again.generation.0, 4);

    vm.lead(&goal(5, fine, "web", "blue"), RoleState::Ready);
    assert_eq!(vm.get("/facts.txt"), FACTS);
    vm.say(&ToGuest::Shutdown);
    vm.ends();
}
