//! Updates of a service that is being used: of 2 web instances one is always there, and no request fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::cloud::{Cloud, READY_LIMIT, eventually};
use crate::guestbook::Guestbook;

/// A visitor comes this often.
const VISIT: Duration = Duration::from_millis(100);

/// A visitor who looks at the page again and again.
struct Visitor {
    stop: Arc<AtomicBool>,
    looks: JoinHandle<(u32, Vec<String>)>,
}

impl Visitor {
    fn at(url: &str) -> Self {
        let (stop, guestbook) = (Arc::new(AtomicBool::new(false)), Guestbook::at(url));
        let ends = Arc::clone(&stop);
        let looks = std::thread::spawn(move || {
            let (mut good, mut bad) = (0, Vec::new());
            while !ends.load(Ordering::Relaxed) {
                match guestbook.get("/") {
                    Ok(answer) if answer.status == 200 => good += 1,
                    Ok(answer) => bad.push(format!("{}: {}", answer.status, answer.text())),
                    Err(error) => bad.push(error.to_string()),
                }
                std::thread::sleep(VISIT);
            }
            (good, bad)
        });
        Self { stop, looks }
    }

    /// No request failed.
    fn ends(self, during: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (good, bad) = self.looks.join().unwrap();
        assert!(
            bad.is_empty(),
            "{during}: {} of {} requests failed: {bad:?}",
            bad.len(),
            bad.len() as u32 + good
        );
        assert!(good > 10, "{during}: {good} requests");
    }
}

pub fn settings_and_files_change_without_a_failed_request(cloud: &Cloud, url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("guestbook.cscfg");
    let text = cloud.ok(&["deployment", "configuration", "guestbook"]);
    let changed = text.replace("Leave a few words and, if you like, a picture.", "Welcome back.");
    assert_ne!(text, changed);
    std::fs::write(&configuration, changed).unwrap();
    let configuration = configuration.display().to_string();
    let before = web(cloud);

    // A setting that the role takes as it runs.
    let visitor = Visitor::at(url);
    cloud.ok(&["deployment", "configure", "guestbook", "--configuration", &configuration]);
    follows(cloud, url, "Welcome back.");
    visitor.ends("a change of a setting");
    assert_eq!(web(cloud), before, "nothing was started again");

    // Another file in the package: each VM is started again, one update domain after the other.
    let copy = folder.path().join("guestbook");
    copy_all(&cloud.artifacts.guestbook, &copy);
    std::fs::write(copy.join("Web/version.txt"), "2").unwrap();
    let definition = std::fs::read_to_string(copy.join("ServiceDefinition.csdef")).unwrap();
    let vms = web_vms(cloud);
    let visitor = Visitor::at(url);
    upgrade(cloud, &copy, &configuration, &probed(&definition, "/"));
    eventually("both web VMs are others, and ready", READY_LIMIT, || {
        let now = web_vms(cloud);
        (now.len() == 2 && now.iter().all(|pid| !vms.contains(pid)) && is_over(cloud)).then_some(())
    });
    visitor.ends("an upgrade");
    assert!(cloud.ok(&["deployment", "events", "guestbook"]).contains("Web_IN_1"));

    each_instance_has_a_port(url);
    // The probe asks for a page that is not there: nobody gets connections, but for the instances' own ports.
    let vms = web_vms(cloud);
    upgrade(cloud, &copy, &configuration, &probed(&definition, "/nothing-here"));
    let guestbook = Guestbook::at(url);
    eventually("the probe takes both out", READY_LIMIT, || guestbook.get("/").is_err().then_some(()));
    each_instance_has_a_port(url);
    upgrade(cloud, &copy, &configuration, &probed(&definition, "/"));
    eventually("the probe brings both back", READY_LIMIT, || {
        (0..4).all(|_| guestbook.get("/").is_ok_and(|answer| answer.status == 200)).then_some(())
    });
    assert_eq!(web_vms(cloud), vms, "nothing was started again");
}

/// The definition with a probe of the web instances at `path`, and a public port for each of them.
fn probed(definition: &str, path: &str) -> String {
    let endpoint = r#"<InputEndpoint name="http" protocol="http" port="80" />"#;
    assert!(definition.contains(endpoint), "{definition}");
    let probed = r#"<InputEndpoint name="http" protocol="http" port="80" loadBalancerProbe="page" />
        <InstanceInputEndpoint name="own" protocol="tcp" localPort="80"><AllocatePublicPortFrom>
        <FixedPortRange min="8080" max="8089" /></AllocatePublicPortFrom></InstanceInputEndpoint>"#;
    let probe = format!(
        r#"<LoadBalancerProbes><LoadBalancerProbe name="page" protocol="http" path="{path}" intervalInSeconds="5"
           timeoutInSeconds="11" /></LoadBalancerProbes><WebRole "#
    );
    definition.replace(endpoint, probed).replacen("<WebRole ", &probe, 1)
}

/// Upgrades to the files in `folder` with another definition.
fn upgrade(cloud: &Cloud, folder: &Path, configuration: &str, definition: &str) {
    std::fs::write(folder.join("ServiceDefinition.csdef"), definition).unwrap();
    let definition = folder.join("ServiceDefinition.csdef").display().to_string();
    let package = folder.with_extension("cspkg").display().to_string();
    let key = cloud.ok(&["fabric-key"]);
    cloud.ok(&["package", "--definition", &definition, "--recipient", key.trim(), "--out", &package]);
    cloud.ok(&[
        "deployment",
        "upgrade",
        "guestbook",
        "--package",
        &package,
        "--configuration",
        configuration,
    ]);
}

fn each_instance_has_a_port(url: &str) {
    let url = url.trim_end_matches('/');
    for (port, instance) in [(8080, "Web_IN_0"), (8081, "Web_IN_1")] {
        let own = Guestbook::at(&format!("{url}:{port}"));
        eventually(instance, READY_LIMIT, || own.get("/").ok()?.text().contains(instance).then_some(()));
    }
}

/// Waits until the page of each instance says `text` and the update is over.
fn follows(cloud: &Cloud, url: &str, text: &str) {
    let guestbook = Guestbook::at(url);
    eventually("both instances follow", READY_LIMIT, || {
        let page = |_| guestbook.get("/").is_ok_and(|answer| answer.text().contains(text));
        ((0..6).all(page) && is_over(cloud)).then_some(())
    });
}

/// Whether no update is in progress and every instance is ready.
fn is_over(cloud: &Cloud) -> bool {
    let shown = cloud.ok(&["deployment", "show", "guestbook", "--json"]);
    let ready = cloud.instances().iter().all(|instance| instance["state"] == "ready");
    ready && !shown.contains("\"Before\"") && !shown.contains("\"During\"")
}

/// Name and starts of each web instance.
fn web(cloud: &Cloud) -> Vec<(Value, Value, Value)> {
    let instances = cloud.instances().into_iter().filter(|instance| instance["role"] == "Web");
    instances.map(|i| (i["name"].clone(), i["vm_restarts"].clone(), i["role_restarts"].clone())).collect()
}

fn web_vms(cloud: &Cloud) -> Vec<i32> {
    let vms = cloud.vms().into_iter().filter(|(_, line)| line.contains("Web_IN_"));
    vms.map(|(pid, _)| pid).collect()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
