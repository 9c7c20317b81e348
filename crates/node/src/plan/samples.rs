//! Goals, networks and golden texts for tests.

use std::net::Ipv4Addr;
use std::path::Path;

use welkin_agent_wire::Values;
use welkin_agent_wire::guest::GuestNetwork;
use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{
    GuestGoal, GuestObserved, GuestOs, InstanceGoal, NodeGoal, RoleEnvironment, RoleState, Vip, VipBackend,
};
use welkin_base::{DeploymentId, Digest, Generation, InstanceId, InstanceName, NodeName, RoleName};

use crate::filter::{Duty, NodeNetwork};
use crate::held::Heard;

pub fn node() -> NodeName {
    NodeName::new("node0").unwrap()
}

pub fn network() -> NodeNetwork {
    NodeNetwork {
        duty: Duty::Whole,
        bridge: Ipv4Addr::new(10, 177, 16, 1),
        prefix_length: 24,
        storage: [10_000, 10_001, 10_002]
            .map(|port| std::net::SocketAddrV4::new(Ipv4Addr::new(10, 177, 0, 1), port))
            .to_vec(),
    }
}

pub fn id(index: u8) -> InstanceId {
    let deployment = DeploymentId::new("6ba7b8109dad11d180b400c04fd430c8").unwrap();
    InstanceId::new(deployment, InstanceName::of(&RoleName::new("Web").unwrap(), index.into()))
}

pub fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

pub fn address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 177, 16, 2 + index)
}

pub fn instance(index: u8) -> InstanceGoal {
    InstanceGoal {
        id: id(index),
        incarnation: 1,
        boot: 0,
        reimage: 0,
        cores: 1,
        memory_mib: 192,
        scratch_mib: 64,
        guest_os: GuestOs { version: "1".into(), kernel: digest(1), initramfs: digest(2), root: digest(3) },
        application: digest(4),
        mac: format!("02:00:00:00:00:{:02x}", index + 2),
        guest: GuestGoal {
            generation: Generation(1),
            network: GuestNetwork {
                address: address(index),
                prefix_length: 24,
                gateway: Ipv4Addr::new(10, 177, 16, 1),
            },
            environment: environment(index),
            startup_tasks: vec![],
            program: None,
            variables: Values::default(),
            certificates: vec![],
        },
        probes: vec![],
    }
}

fn environment(index: u8) -> RoleEnvironment {
    RoleEnvironment {
        deployment: id(index).deployment().clone(),
        service: "guestbook".into(),
        role: RoleName::new("Web").unwrap(),
        instance: id(index).name().clone(),
        update_domain: 0,
        fault_domain: 0,
        settings: Values::default(),
        endpoints: vec![],
        local_resources: vec![],
        peers: vec![],
    }
}

pub fn vip(instances: u8) -> Vip {
    let backend = |i| VipBackend {
        instance: id(i),
        address: address(i),
        port: 8080,
        ready: false,
        ignore_status: false,
        out: false,
        probe: None,
    };
    Vip {
        address: Ipv4Addr::new(10, 177, 240, 1),
        port: 80,
        transport: Transport::Tcp,
        access: Vec::new(),
        backends: (0..instances).map(backend).collect(),
    }
}

pub fn goal(generation: u64, instances: u8) -> NodeGoal {
    NodeGoal {
        node: node(),
        generation: Generation(generation),
        instances: (0..instances).map(instance).collect(),
        vips: vec![vip(instances)],
        internal: vec![],
        draining: vec![],
    }
}

pub fn heard(at_ms: u64, role: RoleState) -> Heard {
    let observed = GuestObserved {
        generation: Generation(1),
        role,
        message: String::new(),
        role_restarts: 0,
        uptime_ms: 0,
        lacks: vec![],
    };
    Heard { at_ms, observed }
}

/// Compares with `tests/golden/<file>`; with `UPDATE_GOLDEN=1` it writes the file instead.
pub fn check_golden(actual: &str, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{} differs; UPDATE_GOLDEN=1 rewrites it", path.display());
}
