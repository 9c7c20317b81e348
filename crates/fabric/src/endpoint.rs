//! Endpoints of a role, resolved: ports that the service left open, who may call, and what load balancers ask.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use welkin_agent_wire::{AccessRule, ProbeGoal, ProbeKind};
use welkin_base::RoleName;
use welkin_service_model::endpoint::{Endpoints, LocalPort};
use welkin_service_model::probe;
use welkin_service_model::traffic_rule::{TrafficRule, TrafficSource};
use welkin_service_model::{RoleDefinition, ServiceModel};

use crate::access;

/// The first port given to an endpoint that asks for none: above what services use by custom, below the
/// ports that Linux gives to outgoing connections (32768).
const DYNAMIC_PORT_FIRST: u16 = 20_000;

/// An endpoint of a role, ports resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleEndpoint {
    /// Its name in the definition.
    pub name: String,
    /// `http`, `https`, `tcp`, `udp` or `any`.
    pub protocol: String,
    /// The port on each instance.
    pub local_port: u16,
    /// Who reaches it.
    pub reach: Reach,
    /// The last port on each instance, of an internal endpoint that has a range of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_port: Option<u16>,
    /// Of those from outside: the first rule that fits decides, and everyone may whom none fits.
    #[serde(default)]
    pub access: Vec<AccessRule>,
    /// What load balancers ask an instance before they send it connections, when the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeGoal>,
    /// Roles whose instances may call an internal endpoint; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callers: Option<BTreeSet<RoleName>>,
}

/// Who reaches an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Everyone, through the virtual IP.
    Input {
        /// The public port.
        port: u16,
        /// In rotation even when not ready.
        ignore_status: bool,
    },
    /// Everyone, each instance at a port of the virtual IP of its own: the first for instance 0, the next for 1.
    InstanceInput {
        /// The first public port.
        first_port: u16,
        /// The last one.
        last_port: u16,
    },
    /// Instances of the deployment.
    Internal,
}

impl RoleEndpoint {
    /// Whether it is reached from outside.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.reach != Reach::Internal
    }

    /// The public port of instance `index`.
    #[must_use]
    pub fn public_port(&self, index: u32) -> Option<u16> {
        match self.reach {
            Reach::Input { port, .. } => Some(port),
            Reach::InstanceInput { first_port, last_port } => {
                let port = u32::from(first_port).checked_add(index)?;
                u16::try_from(port).ok().filter(|port| *port <= last_port)
            }
            Reach::Internal => None,
        }
    }
}

/// The endpoints of `role` with their ports. Of a port range the role is told the first port; it may listen on each.
pub(crate) fn endpoints(service: &ServiceModel, role: &RoleDefinition) -> Vec<RoleEndpoint> {
    let declared = &role.endpoints;
    let mut ports = Ports::around(declared);
    let access = |endpoint: &str| {
        service.network.access_control(role.name.as_str(), endpoint).map(access::rules).unwrap_or_default()
    };
    let mut endpoints = Vec::new();
    for endpoint in &declared.input {
        let local_port = ports.decide(endpoint.local_port);
        endpoints.push(RoleEndpoint {
            local_port,
            reach: Reach::Input { port: endpoint.port, ignore_status: endpoint.ignore_role_instance_status },
            access: access(&endpoint.name),
            probe: endpoint.probe.as_ref().and_then(|name| probe(service, name, local_port)),
            ..plain(&endpoint.name, endpoint.protocol.as_str())
        });
    }
    for endpoint in &declared.internal {
        endpoints.push(RoleEndpoint {
            local_port: ports.decide(endpoint.local_port),
            last_port: match endpoint.local_port {
                LocalPort::Range(_, last) => Some(last),
                LocalPort::Dynamic | LocalPort::Fixed(_) => None,
            },
            callers: callers(&service.traffic_rules, &role.name, &endpoint.name),
            ..plain(&endpoint.name, endpoint.protocol.as_str())
        });
    }
    for endpoint in &declared.instance_input {
        let (first_port, last_port) = endpoint.public_ports;
        endpoints.push(RoleEndpoint {
            local_port: endpoint.local_port,
            reach: Reach::InstanceInput { first_port, last_port },
            access: access(&endpoint.name),
            ..plain(&endpoint.name, endpoint.protocol.as_str())
        });
    }
    endpoints
}

/// An internal endpoint that everyone may call, without a port.
fn plain(name: &str, protocol: &str) -> RoleEndpoint {
    RoleEndpoint {
        name: name.to_owned(),
        protocol: protocol.to_owned(),
        local_port: 0,
        last_port: None,
        reach: Reach::Internal,
        access: Vec::new(),
        probe: None,
        callers: None,
    }
}

/// The probe called `name`, for an endpoint at `port`. A probe without a port of its own is another one at each endpoint.
fn probe(service: &ServiceModel, name: &str, port: u16) -> Option<ProbeGoal> {
    let declared = service.probes.iter().find(|probe| probe.name == *name)?;
    let port = declared.port.unwrap_or(port);
    Some(ProbeGoal {
        name: format!("{name}:{port}"),
        kind: match &declared.kind {
            probe::ProbeKind::Http { path } => ProbeKind::Http { path: path.clone() },
            probe::ProbeKind::Tcp => ProbeKind::Tcp,
        },
        port,
        interval_seconds: declared.interval_seconds,
        timeout_seconds: declared.timeout_seconds,
    })
}

/// Who may call an internal endpoint. Rules open what they name to those whom any of them names, and close it to the
/// rest; what no rule names stays open to all (`schema-csdef-networktrafficrules`).
fn callers(rules: &[TrafficRule], role: &RoleName, endpoint: &str) -> Option<BTreeSet<RoleName>> {
    let is_meant = |rule: &&TrafficRule| {
        let mut destinations = rule.destinations.iter();
        destinations.any(|to| to.role == role.as_str() && to.endpoint == endpoint)
    };
    let mut callers = None;
    for rule in rules.iter().filter(is_meant) {
        let TrafficSource::Roles(sources) = &rule.source else { return None };
        // The definition was read, so each is a role.
        let sources = sources.iter().filter_map(|source| RoleName::new(source).ok());
        callers.get_or_insert_with(BTreeSet::new).extend(sources);
    }
    callers
}

/// Ports of a role that are taken: the same definition always gets the same ports.
struct Ports(BTreeSet<u16>);

impl Ports {
    fn around(declared: &Endpoints) -> Self {
        let input = declared.input.iter().map(|endpoint| endpoint.local_port);
        let internal = declared.internal.iter().map(|endpoint| endpoint.local_port);
        let mut taken: BTreeSet<u16> =
            declared.instance_input.iter().map(|endpoint| endpoint.local_port).collect();
        for port in input.chain(internal) {
            match port {
                LocalPort::Dynamic => {}
                LocalPort::Fixed(port) => taken.extend([port]),
                LocalPort::Range(first, last) => taken.extend(first..=last),
            }
        }
        Self(taken)
    }

    fn decide(&mut self, port: LocalPort) -> u16 {
        match port {
            LocalPort::Fixed(port) | LocalPort::Range(port, _) => port,
            // A service has 25 endpoints at most, so that there always is a free port.
            LocalPort::Dynamic => (DYNAMIC_PORT_FIRST..=u16::MAX)
                .find(|port| self.0.insert(*port))
                .unwrap_or(DYNAMIC_PORT_FIRST),
        }
    }
}
