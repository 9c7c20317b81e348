//! Who can open a connection to whom.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Cluster;

/// Connections on one machine take a few milliseconds.
const LIMIT: Duration = Duration::from_secs(2);

/// The network of the controllers and that of the nodes are apart: the first may call the second, and nothing calls back.
pub fn are_apart(cluster: &Cluster) {
    let at = |last: &str, port: u16| format!("{}.{last}:{}", cluster.prefix(), port + cluster.port_offset());
    let controller = at("1.2", 7_443);
    let (edge, agents) = (at("0.254", 7_444), [at("0.2", 7_444), at("0.3", 7_444)]);
    let (blobs, administration) = (at("0.1", 10_000), at("0.1", 10_010));
    for (from, to, expected) in [
        // It listens, as the first row shows, and no other can tell.
        ("host", &controller, true),
        ("n0", &controller, false),
        ("edge", &controller, false),
        ("fc", &agents[0], true),
        ("fc", &agents[1], true),
        ("fc", &edge, true),
        // Nobody but the controllers calls agents, not even the machine.
        ("host", &agents[0], false),
        ("host", &edge, false),
        ("n0", &agents[1], false),
        ("n0", &edge, false),
        // A node itself has no business with storage; its instances have.
        ("host", &blobs, true),
        ("n0", &blobs, false),
        ("n0", &administration, false),
    ] {
        assert_eq!(opens(cluster, from, to), expected, "from {from} to {to}");
    }
}

/// No instance is reached from outside but by its virtual IP.
pub fn instances_are_behind_their_virtual_ip(cluster: &Cluster) {
    for instance in cluster.cloud.instances() {
        let address = format!("{}:80", instance["address"].as_str().unwrap());
        for from in ["host", "fc", "n3"] {
            let here = from == "n3" && instance["node"] == "node3";
            assert!(here || !opens(cluster, from, &address), "from {from} to {address}");
        }
    }
}

fn opens(cluster: &Cluster, from: &str, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    let namespace = cluster.namespace(from);
    let connect = move || {
        if from != "host" {
            let namespace = File::open(namespace).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        }
        TcpStream::connect_timeout(&to, LIMIT).is_ok()
    };
    std::thread::scope(|scope| scope.spawn(connect).join().unwrap())
}
