//! What breaks while the service is used.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::cloud::{READY_LIMIT, eventually};
use crate::{Cluster, tell};

/// A request after which the connection stays open.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
/// A dead node is out of the load balancer within this time.
const OFF_LIMIT: Duration = Duration::from_secs(5);
/// What it ran is ready elsewhere within this time, and that of a boot.
const ELSEWHERE_LIMIT: Duration = Duration::from_secs(30);
/// After the controller that leads was killed, another answers within this time: its goal is 5 s, and a machine that is
/// busy with all else of this test gets twice that.
const FAILOVER_LIMIT: Duration = Duration::from_secs(10);
/// A part that was killed is started again within this time.
const REVIVE_LIMIT: Duration = Duration::from_secs(30);

/// Each of the controllers, so that at least one of them led, and a member of their etcd. Nothing that runs notices.
pub fn of_controllers(cluster: &Cluster) {
    let (vms, load) = (cluster.cloud.vms(), cluster.load());
    let mut longest = Duration::ZERO;
    for part in ["fabric", "fabric1", "fabric2", "etcd1"] {
        let began = Instant::now();
        let old = cluster.signal(part, Signal::KILL);
        eventually("a controller answers", FAILOVER_LIMIT, || {
            cluster.cloud.welkin(&["node", "list"]).status.success().then_some(())
        });
        longest = longest.max(began.elapsed());
        eventually("it is started again", REVIVE_LIMIT, || cluster.pid(part).filter(|pid| *pid != old));
    }
    cluster.all_ready(3, "controllers were killed");
    let visits = load.ends().none_failed("the fabric controllers were killed");
    assert_eq!(cluster.cloud.vms(), vms, "the same VMs run on");
    tell("controllers killed", &format!("one answers after {longest:.1?} at most; {visits}"));
}

/// Controllers that were cut off for longer than a node may be silent do not take the nodes for dead.
pub fn of_the_link_to_the_controllers(cluster: &Cluster) {
    let places = || {
        let place = |instance: Value| (instance["name"].clone(), instance["address"].clone());
        cluster.web().into_iter().map(place).collect::<Vec<_>>()
    };
    let (vms, before, load) = (cluster.cloud.vms(), places(), cluster.load());
    cluster.edge_rules(
        r#"table ip cut {
            chain forward { type filter hook forward priority -20; iifname "fc" drop; oifname "fc" drop; }
            chain input { type filter hook input priority -20; iifname "fc" drop; }
        }"#,
    );
    eventually("the controllers hear nobody", READY_LIMIT, || {
        let status = cluster.cloud.status();
        status["nodes"].as_array()?.iter().all(|node| node["health"] == "lost").then_some(())
    });
    cluster.edge_rules("delete table ip cut");
    cluster.all_ready(3, "the controllers heard the nodes again");
    let visits = load.ends().none_failed("the controllers were cut off");
    cluster.all_ready(3, "the controllers have heard the nodes for a while");
    assert_eq!((cluster.cloud.vms(), places()), (vms, before), "nothing was moved");
    tell("controllers cut off", &format!("until each node was lost to them, and nothing moved; {visits}"));
}

/// An agent finds the VMs of the one before it.
pub fn of_an_agent(cluster: &Cluster) {
    let (vms, load) = (cluster.cloud.vms(), cluster.load());
    let node = cluster.web()[0]["node"].as_str().unwrap().to_owned();
    let began = Instant::now();
    let old = cluster.signal(&node, Signal::KILL);
    eventually("the agent is started again", REVIVE_LIMIT, || cluster.pid(&node).filter(|pid| *pid != old));
    cluster.all_ready(3, "an agent was killed");
    let took = began.elapsed();
    let visits = load.ends().none_failed("an agent was killed");
    assert_eq!(cluster.cloud.vms(), vms, "the same VMs run on");
    tell("agent killed", &format!("all is known again after {took:.1?}; {visits}"));
}

/// A node loses its power: others take over, within the time that is promised.
pub fn of_a_node(cluster: &Cluster) {
    let lost = Lost::new(cluster);
    let load = cluster.load();
    let began = Instant::now();
    cluster.cloud.ok(&["node", "kill", &lost.node]);
    let figures = lost.is_replaced(cluster, began);
    let visits = load.ends().none_failed_from("a node was killed", Some(began + OFF_LIMIT));
    tell("node killed", &format!("{figures}; {visits}"));

    // It comes back: what it still has is ended and serves nobody.
    let load = cluster.load();
    cluster.cloud.ok(&["node", "restore", &lost.node]);
    lost.stays_away(cluster);
    let visits = load.ends().none_failed("a node came back");
    tell("node restored", &visits);
}

/// A node hangs so long that others take over, and then goes on as if nothing had been.
pub fn of_a_node_that_comes_back(cluster: &Cluster) {
    let lost = Lost::new(cluster);
    let stale = lost.vms(cluster);
    assert!(!stale.is_empty());
    let mut connection = lost.connection(cluster);
    let load = cluster.load();
    let began = Instant::now();
    cluster.cloud.ok(&["node", "pause", &lost.node]);
    // This waits in the stale instance's own kernel until it goes on.
    connection.write_all(REQUEST).unwrap();
    let figures = lost.is_replaced(cluster, began);
    assert_eq!(lost.vms(cluster), stale, "the old VMs are still there, as stale as can be");
    let visits = load.ends().none_failed_from("a node hung", Some(began + OFF_LIMIT));
    tell("node paused", &format!("{figures}; {visits}"));

    let load = cluster.load();
    let began = Instant::now();
    cluster.cloud.ok(&["node", "restore", &lost.node]);
    lost.stays_away(cluster);
    let took = began.elapsed();
    let visits = load.ends().none_failed("a node that hung went on");
    let mut answer = Vec::new();
    connection.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let _ = connection.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer), "", "the stale instance answered");
    tell("node went on", &format!("its stale instances were gone after {took:.1?}; {visits}"));
}

/// An instance that is about to lose its node.
struct Lost {
    name: Value,
    node: String,
    address: Ipv4Addr,
}

impl Lost {
    fn new(cluster: &Cluster) -> Self {
        let instance = cluster.web().swap_remove(1);
        let text = |key: &str| instance[key].as_str().unwrap().to_owned();
        let lost = Self {
            node: text("node"),
            address: text("address").parse().unwrap(),
            name: instance["name"].clone(),
        };
        assert!(cluster.balanced().contains(&lost.address), "{:?}", cluster.balanced());
        lost
    }

    /// A connection with the instance over the virtual IP, on which it has answered once.
    fn connection(&self, cluster: &Cluster) -> TcpStream {
        let address = cluster.url.trim_start_matches("http://").trim_end_matches('/');
        eventually("a connection with the instance", READY_LIMIT, || {
            let mut stream = TcpStream::connect(format!("{address}:80")).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(REQUEST).ok()?;
            let (mut page, mut piece) = (String::new(), [0; 4096]);
            while !page.contains("</html>") {
                let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
                page.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            page.contains(self.name.as_str()?).then_some(stream)
        })
    }

    /// The VMs on its node.
    fn vms(&self, cluster: &Cluster) -> BTreeSet<i32> {
        let folder = format!("/{}/data/", self.node);
        let vms = cluster.cloud.vms().into_iter().filter(|(_, line)| line.contains(&folder));
        vms.map(|(pid, _)| pid).collect()
    }

    /// Waits until the instance is ready elsewhere; in how much time after `began`.
    fn is_replaced(&self, cluster: &Cluster, began: Instant) -> String {
        eventually("the node is out of the load balancer", READY_LIMIT, || {
            (!cluster.balanced().contains(&self.address)).then_some(())
        });
        let off = began.elapsed();
        assert!(off <= OFF_LIMIT, "the node was in the load balancer for {off:.1?}");
        let boots = |instance: &Value| {
            !["unknown", "creating-vm", "unresponsive"].iter().any(|s| instance["state"] == *s)
        };
        let mut booting = None;
        eventually("the instance is ready elsewhere", READY_LIMIT, || {
            let instance = cluster
                .web()
                .into_iter()
                .find(|i| i["name"] == self.name && i["node"] != self.node.as_str())?;
            if boots(&instance) && booting.is_none() {
                booting = Some(Instant::now());
            }
            (instance["state"] == "ready").then_some(())
        });
        let ready = began.elapsed();
        let boot = booting.map(|at| at.elapsed()).unwrap_or_default();
        assert!(
            ready <= ELSEWHERE_LIMIT + boot,
            "ready elsewhere after {ready:.1?}, of which the boot was {boot:.1?}"
        );
        format!(
            "off the load balancer in {off:.1?}, ready elsewhere in {ready:.1?} with a boot of {boot:.1?}"
        )
    }

    /// Waits until the node is whole again and has ended what it had; meanwhile nobody is led to its old instance.
    fn stays_away(&self, cluster: &Cluster) {
        eventually("the node's stale instances are gone", READY_LIMIT, || {
            assert!(!cluster.balanced().contains(&self.address), "a stale instance is in the load balancer");
            let status = cluster.cloud.status();
            let healthy = status["nodes"].as_array()?.iter().all(|node| node["healthy"] == true);
            (healthy && self.vms(cluster).is_empty()).then_some(())
        });
        cluster.all_ready(3, "a node came back");
    }
}
