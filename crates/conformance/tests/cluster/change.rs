//! What a customer changes while the service is used: no request fails.

use std::time::{Duration, Instant};

use crate::cloud::{READY_LIMIT, eventually};
use crate::{Cluster, SERVICE, tell};

/// An even number: what was in production is there again.
const SWAPS: usize = 6;

/// A setting that the role takes as it runs.
pub fn a_setting(cluster: &Cluster) {
    let cloud = &cluster.cloud;
    let vms = cloud.vms();
    let configuration = cluster.package_folder("second", 3).join("ServiceConfiguration.cscfg");
    let load = cluster.load();
    let began = Instant::now();
    // The connection string is the cloud's own by now.
    let now = cloud.ok(&["deployment", "configuration", SERVICE]).replace("first", "second");
    std::fs::write(&configuration, now).unwrap();
    let configuration = configuration.display().to_string();
    cloud.ok(&["deployment", "configure", SERVICE, "--configuration", &configuration]);
    page_says(cluster, "second");
    let took = began.elapsed();
    let visits = load.ends().none_failed("a change of a setting");
    assert_eq!(cloud.vms(), vms, "no VM was started again");
    tell("configuration change", &format!("live in {took:.1?}; {visits}"));
}

/// Another package: each VM is started again, one update domain after the other.
pub fn a_package(cluster: &Cluster) {
    let cloud = &cluster.cloud;
    let folder = cluster.package_folder("third", 3);
    std::fs::write(folder.join("Web/version.txt"), "2").unwrap();
    let (package, configuration) = (package(cluster, &folder), configuration(cluster, &folder, "third"));
    let before = cloud.vms();
    let load = cluster.load();
    let began = Instant::now();
    cloud.ok(&["deployment", "upgrade", SERVICE, "--package", &package, "--configuration", &configuration]);
    eventually("each VM is another, and the update is over", READY_LIMIT, || {
        let vms = cloud.vms();
        let shown = cloud.ok(&["deployment", "show", SERVICE, "--json"]);
        let over = !shown.contains("\"Before\"") && !shown.contains("\"During\"");
        (over && vms.len() == 3 && vms.iter().all(|vm| !before.contains(vm))).then_some(())
    });
    cluster.all_ready(3, "an upgrade");
    page_says(cluster, "third");
    let took = began.elapsed();
    let visits = load.ends().none_failed("a rolling upgrade");
    tell("rolling upgrade", &format!("three update domains in {took:.1?}; {visits}"));
}

/// A deployment in the staging slot comes into production at the same address.
pub fn places_with_another_deployment(cluster: &Cluster) {
    let cloud = &cluster.cloud;
    let folder = cluster.package_folder("fourth", 2);
    cloud.ok(&["deploy", SERVICE, "--slot", "staging", "--folder", &folder.display().to_string()]);
    let load = cluster.load();
    let mut swapped = Duration::ZERO;
    // There and back again, and again.
    for word in ["fourth", "third"].iter().cycle().take(SWAPS) {
        let began = Instant::now();
        cloud.ok(&["deployment", "swap", SERVICE]);
        page_says(cluster, word);
        swapped = swapped.max(began.elapsed());
    }
    let visits = load.ends().none_failed("a swap of the slots");
    tell("VIP swap", &format!("{SWAPS} of them, each done within {swapped:.1?}; {visits}"));
    cloud.ok(&["deployment", "delete", SERVICE, "--slot", "staging"]);
    cluster.all_ready(3, "the staged deployment was deleted");
}

/// Waits until every answer says `word`.
fn page_says(cluster: &Cluster, word: &str) {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).max_idle_connections(0).build().into();
    let page = |_| {
        let answer = agent.get(&cluster.url).call().and_then(|mut page| page.body_mut().read_to_string());
        answer.is_ok_and(|page| page.contains(word))
    };
    eventually(&format!("{word:?} on each page"), READY_LIMIT, || (0..6).all(page).then_some(()));
}

fn package(cluster: &Cluster, folder: &std::path::Path) -> String {
    let out = folder.join("shop.cspkg").display().to_string();
    let definition = folder.join("ServiceDefinition.csdef").display().to_string();
    let key = cluster.cloud.ok(&["fabric-key"]);
    cluster.cloud.ok(&["package", "--definition", &definition, "--recipient", key.trim(), "--out", &out]);
    out
}

/// The configuration that runs, with another word of welcome.
fn configuration(cluster: &Cluster, folder: &std::path::Path, welcome: &str) -> String {
    let file = folder.join("ServiceConfiguration.cscfg");
    let text = cluster.cloud.ok(&["deployment", "configuration", SERVICE]).replace("second", welcome);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}
