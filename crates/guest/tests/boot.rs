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
/// The same role, with a helper that waits for changes and takes them.
const LISTEN: &str = r#"#!/bin/sh
python3 /app/changes.py &
exec sh /app/web
"#;
const CHANGES: &str = r#"
import http.client, json, os, socket

class Role(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["WELKIN_ROLE_SOCKET"])

def ask(method, path):
    role = Role("role")
    role.request(method, path)
    return role

def write(name, text):
    with open(os.environ["WELKIN_LOCAL_WWW"] + name, "wb") as file:
        file.write(text)

while True:
    role = ask("GET", "/v1/changes")
    write("/waiting", b"yes")
    change = role.getresponse().read()
    if change:
        write("/change.json", change)
        ask("POST", "/v1/changes/%d/accept" % json.loads(change)["number"]).getresponse().read()
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
    let files = [("web", WEB), ("crash", CRASH), ("listen", LISTEN), ("changes.py", CHANGES)];
    for machine in [Machine::Q35, Machine::Microvm] {
        live(&mut Vm::boot(&images, machine, &files));
    }
}

fn live(vm: &mut Vm) {
    let fine = "echo done > $WELKIN_LOCAL_WWW/task.txt";

    let failed = vm.lead(&goal(1, "exit 7", "web", "blue"), RoleState::Failed);
    assert_eq!(failed.message, "startup task 1 ended with exit code 7");

    let ready = vm.lead(&goal(2, fine, "web", "blue"), RoleState::Ready);
    eprintln!("{:?}: ready {} ms after boot", vm.machine, ready.uptime_ms);
    assert_eq!(vm.get("/facts.txt"), FACTS);

    // A role that waits for changes takes a setting as it runs. One that does not is started again.
    let listening = vm.lead(&goal(3, fine, "listen", "blue"), RoleState::Ready);
    assert_eq!(vm.get("/facts.txt"), FACTS);
    assert_eq!(vm.get("/waiting"), "yes");
    vm.say(&goal(4, fine, "listen", "green"));
    let changed = vm.until(|observed| observed.generation.0 == 4);
    assert_eq!((changed.role, changed.role_restarts), (RoleState::Ready, listening.role_restarts));
    vm.wait_for(|vm| vm.get("/environment.json").contains("\"Colour\":\"green\""));
    assert_eq!(vm.get("/change.json"), r#"{"number":1,"settings":["Colour"],"topology":false}"#);
    vm.lead(&goal(5, fine, "web", "green"), RoleState::Ready);
    vm.say(&goal(6, fine, "web", "red"));
    let again = vm.until(|observed| observed.generation.0 == 6 && observed.role == RoleState::Ready);
    assert_eq!(again.role_restarts, changed.role_restarts + 2);
    assert_eq!(vm.get("/facts.txt"), FACTS.replace("blue", "red"));

    // An older goal is not gone back to.
    vm.say(&goal(2, fine, "web", "blue"));
    assert_eq!(vm.next().generation.0, 6);

    let recycling = vm.lead(&goal(7, fine, "crash", "green"), RoleState::Recycling);
    assert_eq!(recycling.message, "the role ended with exit code 3");
    let again = vm.until(|observed| observed.role_restarts > recycling.role_restarts);
    assert_eq!(again.generation.0, 7);

    vm.lead(&goal(8, fine, "web", "blue"), RoleState::Ready);
    assert_eq!(vm.get("/facts.txt"), FACTS);
    vm.say(&ToGuest::Shutdown);
    vm.ends();
}
