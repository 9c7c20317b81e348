//! The main job from end to end, by the real programs: a package becomes running VMs behind a virtual IP, its data in
//! storage. And the bad cases, each with its message.
//!
//! Run by `./x test`, which builds what is run and says where it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod certificate;
mod cloud;
mod guestbook;
mod refusal;
mod update;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::cloud::{Cloud, READY_LIMIT, eventually};
use crate::guestbook::{Guestbook, PICTURE_WIDTH, picture};

/// The load balancer follows a dead VM within this time.
const FAILOVER_LIMIT: Duration = Duration::from_secs(15);
/// A worker polls its queue and makes a thumbnail well within this time, on an emulated machine.
const THUMBNAIL_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_package_becomes_a_service_that_heals() {
    let cloud = Cloud::new(0);
    cloud.up();
    let status = cloud.status();
    assert_eq!(status["nodes"][0]["healthy"], Value::Bool(true), "{status}");
    let folder = cloud.artifacts.guestbook.display().to_string();
    cloud.ok(&["deploy", "guestbook", "--folder", &folder]);
    let instances = cloud.instances();
    check_placement(&instances);

    let url = cloud.status()["services"][0]["deployments"][0]["urls"][0].as_str().unwrap().to_owned();
    let guestbook = Guestbook::at(&url);
    sign_and_see_the_thumbnail(&guestbook, "Ada", "from the whole run");
    both_instances_answer(&guestbook);

    update::settings_and_files_change_without_a_failed_request(&cloud, &url);
    heal_a_killed_vm(&cloud, &guestbook);
    agents_come_and_go(&cloud, &guestbook);
    a_second_up_finds_the_service(&cloud, &url);

    cloud.ok(&["delete", "guestbook"]);
    assert_eq!(cloud.vms(), [], "VMs after the deployment was deleted");
    assert!(cloud.status()["services"].as_array().unwrap().is_empty());
    cloud.ok(&["down"]);
    assert_eq!(cloud.traces(), Vec::<String>::new(), "traces after `welkin down`");
}

fn check_placement(instances: &[Value]) {
    let names: BTreeSet<&str> = instances.iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["Web_IN_0", "Web_IN_1", "Worker_IN_0"]));
    assert!(instances.iter().all(|i| i["state"] == "ready" && i["node"] == "node0"), "{instances:?}");
    let web = instances.iter().filter(|i| i["role"] == "Web");
    let domains: BTreeSet<u64> = web.map(|i| i["update_domain"].as_u64().unwrap()).collect();
    assert_eq!(domains, BTreeSet::from([0, 1]), "two web instances are in two update domains");
}

fn sign_and_see_the_thumbnail(guestbook: &Guestbook, name: &str, message: &str) {
    let signed = guestbook.sign(name, message, &picture()).unwrap();
    assert!(signed.status < 400, "{}: {}", signed.status, signed.text());
    eventually("the thumbnail", THUMBNAIL_LIMIT, || {
        let page = guestbook.get("/").ok()?.text();
        assert!(page.contains(message), "the entry is on the page:\n{page}");
        let thumbnail = thumbnail_of(&page)?;
        let answer = guestbook.get(&thumbnail).ok()?;
        let image = image::load_from_memory(&answer.body).ok()?;
        (answer.status == 200 && image.width() < PICTURE_WIDTH).then_some(())
    });
}

/// The address of the first thumbnail on the page.
fn thumbnail_of(page: &str) -> Option<String> {
    let after = page.split("src=\"/thumbnail/").nth(1)?;
    Some(format!("/thumbnail/{}", after.split('"').next()?))
}

fn both_instances_answer(guestbook: &Guestbook) {
    let mut seen = BTreeSet::new();
    eventually("an answer of each web instance", FAILOVER_LIMIT, || {
        let page = guestbook.get("/").ok()?.text();
        seen.extend(["Web_IN_0", "Web_IN_1"].into_iter().filter(|name| page.contains(name)));
        (seen.len() == 2).then_some(())
    });
}

fn heal_a_killed_vm(cloud: &Cloud, guestbook: &Guestbook) {
    let vms = cloud.vms();
    assert_eq!(vms.len(), 3, "{vms:?}");
    let (pid, line) = vms.into_iter().find(|(_, line)| line.contains("Web_IN_0")).unwrap();
    kill(pid);
    eventually("ten good answers in a row", FAILOVER_LIMIT, || {
        let good = |_| guestbook.get("/").is_ok_and(|answer| answer.status == 200);
        (0..10).all(good).then_some(())
    });
    eventually("the VM restarted and ready", READY_LIMIT, || {
        let instances = cloud.instances();
        let instance = instances.iter().find(|i| i["name"] == "Web_IN_0")?;
        let restarted = instance["vm_restarts"].as_u64()? >= 1 && instance["state"] == "ready";
        restarted.then_some(())
    });
    let page = guestbook.get("/").unwrap().text();
    assert!(page.contains("from the whole run"), "nothing was lost with {line}");
    both_instances_answer(guestbook);
}

/// Killing the fabric agent, the fabric controller and management leaves instances alone; each comes back and
/// finds them.
fn agents_come_and_go(cloud: &Cloud, guestbook: &Guestbook) {
    let before: BTreeSet<i32> = cloud.vms().into_iter().map(|(pid, _)| pid).collect();
    for part in ["node0", "fabric", "management"] {
        let pid_file = cloud.state().join(format!("run/{part}.pid"));
        let old = pid_of(&pid_file).unwrap();
        kill(old);
        assert_eq!(guestbook.get("/").unwrap().status, 200, "while {part} is gone");
        eventually(&format!("{part} started again"), FAILOVER_LIMIT, || {
            pid_of(&pid_file).filter(|pid| *pid != old)
        });
        eventually(&format!("every instance ready after {part} came back"), READY_LIMIT, || {
            let output = cloud.welkin(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            let instances = status["services"][0]["deployments"][0]["instances"].as_array()?.clone();
            (instances.len() == 3 && instances.iter().all(|i| i["state"] == "ready")).then_some(())
        });
    }
    let after: BTreeSet<i32> = cloud.vms().into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(before, after, "the same VM processes run on");
}

fn a_second_up_finds_the_service(cloud: &Cloud, url: &str) {
    cloud.ok(&["down"]);
    assert_eq!(cloud.traces(), Vec::<String>::new(), "traces after `welkin down`");
    cloud.up();
    let guestbook = Guestbook::at(url);
    eventually("the page with its old entry", READY_LIMIT, || {
        let page = guestbook.get("/").ok()?.text();
        page.contains("from the whole run").then_some(())
    });
}

fn pid_of(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
