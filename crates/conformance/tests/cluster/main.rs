//! A cluster on one machine: real agents, real VMs, real links. A service of three web instances is used all the time
//! while everything is changed, restarted and broken around it.
//!
//! Run by `./x test`, which builds what is run and says where it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod change;
#[allow(dead_code, reason = "what the whole run uses besides")]
#[path = "../whole_run/cloud.rs"]
mod cloud;
mod failure;
mod load;
mod network;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::cloud::{Cloud, READY_LIMIT, eventually, text};
use crate::load::Load;

const SERVICE: &str = "shop";

/// A cloud of four nodes and three fabric controllers with the guestbook's web role on it, three times.
pub struct Cluster {
    /// The cloud.
    pub cloud: Cloud,
    /// What names of its namespaces begin with.
    name: String,
    /// Where the service answers.
    pub url: String,
}

#[test]
fn a_service_goes_on_whatever_happens_to_its_cluster() {
    let mut cluster = Cluster::start();
    network::are_apart(&cluster);
    cluster.deploy();
    network::instances_are_behind_their_virtual_ip(&cluster);

    change::a_setting(&cluster);
    change::a_package(&cluster);
    change::places_with_another_deployment(&cluster);
    failure::of_controllers(&cluster);
    failure::of_an_agent(&cluster);
    failure::of_a_node(&cluster);
    failure::of_a_node_that_comes_back(&cluster);
    // Last: that every node was lost to the controllers keeps the brake on healing for two minutes.
    failure::of_the_link_to_the_controllers(&cluster);

    cluster.cloud.ok(&["delete", SERVICE]);
    assert_eq!(cluster.cloud.vms(), [], "VMs after the deployment was deleted");
    cluster.cloud.ok(&["down"]);
    assert_eq!(cluster.cloud.traces(), Vec::<String>::new(), "traces after `welkin down`");
    let namespaces = text(&Command::new("ip").arg("netns").output().unwrap().stdout);
    assert!(!namespaces.contains(&cluster.name), "{namespaces}");
}

impl Cluster {
    fn start() -> Self {
        let cloud = Cloud::new(5);
        cloud.up_with(&["--nodes", "4", "--controllers", "3"]);
        let status = cloud.status();
        let nodes = status["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 5, "four nodes and the edge: {nodes:?}");
        assert!(nodes.iter().all(|node| node["healthy"] == true), "{nodes:?}");
        let domains: Vec<_> = nodes.iter().filter(|node| node["kind"] == "compute").collect();
        let domains: Vec<_> = domains.iter().map(|node| node["fault_domain"].as_u64().unwrap()).collect();
        assert_eq!(domains, [0, 1, 0, 1], "fault domains are dealt in turn");
        let name = status["cloud"].as_str().unwrap().to_owned();
        Self { cloud, name, url: String::new() }
    }

    /// Three web instances, each on a node of its own and not all in one fault domain.
    fn deploy(&mut self) {
        let folder = self.package_folder("first", 3);
        self.cloud.ok(&["deploy", SERVICE, "--folder", &folder.display().to_string()]);
        let instances = self.web();
        let of = |key: &str| {
            let mut values: Vec<String> = instances.iter().map(|i| i[key].to_string()).collect();
            values.sort();
            values.dedup();
            values.len()
        };
        assert_eq!((instances.len(), of("node"), of("fault_domain"), of("update_domain")), (3, 3, 2, 3));
        self.url = self.production()["urls"][0].as_str().unwrap().to_owned();
        tell("deployed", "three web instances are ready");
    }

    /// The guestbook without its worker, with another word of welcome, ready to be packaged.
    pub fn package_folder(&self, welcome: &str, instances: u32) -> PathBuf {
        let (from, to) = (&self.cloud.artifacts.guestbook, self.cloud.state().join(welcome));
        std::fs::create_dir_all(to.join("Web")).unwrap();
        std::fs::copy(from.join("Web/guestbook-web"), to.join("Web/guestbook-web")).unwrap();
        for (file, element) in
            [("ServiceDefinition.csdef", "WorkerRole"), ("ServiceConfiguration.cscfg", "Role")]
        {
            let whole = std::fs::read_to_string(from.join(file)).unwrap();
            let (before, rest) = whole.split_once(&format!("  <{element} name=\"Worker\"")).unwrap();
            let (_, after) = rest.split_once(&format!("</{element}>\n")).unwrap();
            let text = format!("{before}{after}")
                .replace("Instances count=\"2\"", &format!("Instances count=\"{instances}\""))
                .replace("Leave a few words and, if you like, a picture.", welcome)
                .replace("ame=\"guestbook\"", &format!("ame=\"{SERVICE}\""));
            std::fs::write(to.join(file), text).unwrap();
        }
        to
    }

    /// The deployment in production, as `welkin status` has it.
    pub fn production(&self) -> Value {
        let status = self.cloud.status();
        let deployments = status["services"][0]["deployments"].as_array().unwrap().clone();
        deployments.into_iter().find(|deployment| deployment["slot"] == "production").unwrap()
    }

    /// The instances in production.
    pub fn web(&self) -> Vec<Value> {
        self.production()["instances"].as_array().unwrap().clone()
    }

    /// Waits until there are so many instances in production, all ready.
    pub fn all_ready(&self, count: usize, after: &str) {
        eventually(&format!("all instances ready after {after}"), READY_LIMIT, || {
            // The controller or management may be away.
            let output = self.cloud.welkin(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            let deployments = status["services"][0]["deployments"].as_array()?.clone();
            let production = deployments.into_iter().find(|d| d["slot"] == "production")?;
            let instances = production["instances"].as_array()?.clone();
            let healthy = status["nodes"].as_array()?.iter().filter(|node| node["healthy"] == true).count();
            let ready = instances.iter().filter(|i| i["state"] == "ready").count();
            (ready == count && instances.len() == count && healthy >= 4).then_some(())
        });
    }

    /// Visitors of the service.
    pub fn load(&self) -> Load {
        Load::on(&self.url)
    }

    /// The first two bytes of the cloud's network.
    pub fn prefix(&self) -> String {
        self.cloud.network.trim_end_matches(".0.0/16").to_owned()
    }

    /// What is added to every port.
    pub fn port_offset(&self) -> u16 {
        self.cloud.port_offset
    }

    /// Where a namespace of the cloud can be entered.
    pub fn namespace(&self, short: &str) -> PathBuf {
        Path::new("/run/netns").join(format!("{}-{short}", self.name))
    }

    /// The addresses of instances to which the edge leads new connections just now.
    pub fn balanced(&self) -> Vec<Ipv4Addr> {
        let enter = format!("--net={}", self.namespace("edge").display());
        let rules = ["nft", "list", "chain", "ip", "welkin", "balance"];
        let output = Command::new("nsenter").arg(enter).args(rules).output().unwrap();
        let text = text(&output.stdout);
        let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.filter_map(|word| word.parse().ok()).filter(|a: &Ipv4Addr| a.octets()[2] < 240).collect()
    }

    /// Has the edge take rules beside those that it has.
    pub fn edge_rules(&self, rules: &str) {
        let enter = format!("--net={}", self.namespace("edge").display());
        assert!(Command::new("nsenter").args([&enter, "nft", rules]).status().unwrap().success(), "{rules}");
    }

    /// The process that runs a part.
    pub fn pid(&self, part: &str) -> Option<i32> {
        let file = self.cloud.state().join(format!("run/{part}.pid"));
        std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// Sends a signal to the process that runs a part; which one that was.
    pub fn signal(&self, part: &str, signal: Signal) -> i32 {
        let pid = self.pid(part).unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
        pid
    }
}

/// A figure, for whoever runs the tests: past the capture of output, which hides what passing tests print.
pub fn tell(step: &str, figure: &str) {
    let _ = writeln!(std::io::stderr(), "cluster: {step}: {figure}");
}
