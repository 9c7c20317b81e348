//! Endpoints: where a role listens, and who reaches it there.

use std::fmt;
use std::ops::RangeInclusive;

use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children};

/// Internal endpoints of one role, at most (`schema-csdef-workerrole`, "Endpoints").
pub const INTERNAL_ENDPOINTS_PER_ROLE_MAX: usize = 5;
/// Endpoints of all kinds of a service, at most (`schema-csdef-workerrole`, "Endpoints").
pub const ENDPOINTS_PER_SERVICE_MAX: usize = 25;

/// Protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP over TCP.
    Http,
    /// HTTP over TLS.
    Https,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// TCP and UDP; internal endpoints only.
    Any,
}

impl Protocol {
    /// As the files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Any => "any",
        }
    }

    /// Whether TCP connections are meant.
    #[must_use]
    pub const fn is_tcp(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether UDP datagrams are meant.
    #[must_use]
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::Udp | Self::Any)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The port on which an instance listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalPort {
    /// The system chooses: `localPort="*"`, or an internal endpoint without a port.
    Dynamic,
    /// One port.
    Fixed(u16),
    /// Every port from the first to the last (`FixedPortRange`).
    Range(u16, u16),
}

impl LocalPort {
    /// The first port, unless the system chooses.
    #[must_use]
    pub const fn first(self) -> Option<u16> {
        match self {
            Self::Dynamic => None,
            Self::Fixed(port) | Self::Range(port, _) => Some(port),
        }
    }
}

/// A port of the virtual IP, spread over the role's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputEndpoint {
    /// Its name.
    pub name: String,
    /// `http`, `https`, `tcp` or `udp`.
    pub protocol: Protocol,
    /// The public port.
    pub port: u16,
    /// The port on each instance; the public one when the file has none.
    pub local_port: LocalPort,
    /// For `https`: one of the role's certificates.
    pub certificate: Option<String>,
    /// Keeps an instance that is not ready in rotation.
    pub ignore_role_instance_status: bool,
    /// One of the service's probes.
    pub probe: Option<String>,
    /// An internal load balancer of the configuration.
    pub load_balancer: Option<String>,
    /// Where the file has it.
    pub position: Position,
}

/// A port that other instances of the deployment reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalEndpoint {
    /// Its name.
    pub name: String,
    /// `http`, `tcp`, `udp` or `any`.
    pub protocol: Protocol,
    /// The port on each instance.
    pub local_port: LocalPort,
    /// Where the file has it.
    pub position: Position,
}

/// Ports of the virtual IP, one for each instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceInputEndpoint {
    /// Its name.
    pub name: String,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// The port on each instance.
    pub local_port: u16,
    /// First and last public port: instance `n` has the first plus `n`.
    pub public_ports: (u16, u16),
    /// Where the file has it.
    pub position: Position,
}

/// All endpoints of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Load-balanced.
    pub input: Vec<InputEndpoint>,
    /// Between instances.
    pub internal: Vec<InternalEndpoint>,
    /// One public port for each instance.
    pub instance_input: Vec<InstanceInputEndpoint>,
}

impl Endpoints {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.input.len() + self.internal.len() + self.instance_input.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every name, with its place.
    pub fn names(&self) -> impl Iterator<Item = (&str, Position)> {
        let input = self.input.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.position));
        let internal = self.internal.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.position));
        let instance = self.instance_input.iter().map(|endpoint| (endpoint.name.as_str(), endpoint.position));
        input.chain(internal).chain(instance)
    }

    /// Whether there is an endpoint of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|(other, _)| other == name)
    }

    /// Whether there is an endpoint of that name that is reached from outside.
    #[must_use]
    pub fn is_public(&self, name: &str) -> bool {
        self.input.iter().any(|endpoint| endpoint.name == name)
            || self.instance_input.iter().any(|endpoint| endpoint.name == name)
    }
}

const ENDPOINTS: Shape = Shape::list(&["InputEndpoint", "InternalEndpoint", "InstanceInputEndpoint"]);
const INPUT_ENDPOINTS: Shape = Shape::list(&["InputEndpoint"]);
const INPUT_ENDPOINT: Shape = Shape::leaf(&[
    "name",
    "protocol",
    "port",
    "localPort",
    "certificate",
    "ignoreRoleInstanceStatus",
    "loadBalancerProbe",
    "loadBalancer",
    "idleTimeoutInMinutes",
]);
/// `idleTimeoutInMinutes` (`cloud-services-configuration-and-management-faq`).
const IDLE_TIMEOUT_MINUTES: RangeInclusive<u32> = 4..=30;
const INTERNAL_ENDPOINT: Shape =
    Shape { attributes: &["name", "protocol", "port"], once: &["FixedPort", "FixedPortRange"], many: &[] };
const INSTANCE_INPUT_ENDPOINT: Shape =
    Shape { attributes: &["name", "protocol", "localPort"], once: &["AllocatePublicPortFrom"], many: &[] };
const ALLOCATE: Shape = Shape { attributes: &[], once: &["FixedPortRange"], many: &[] };
const FIXED_PORT: Shape = Shape::leaf(&["port"]);
const FIXED_PORT_RANGE: Shape = Shape::leaf(&["min", "max"]);

/// Reads the endpoints of `role`, in the spelling of today and in the one of before SDK 1.3.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, role: Node<'d, 'i>) -> Endpoints {
    let mut endpoints = Endpoints::default();
    for list in children(role, "InputEndpoints") {
        reader.shape(list, &INPUT_ENDPOINTS);
        endpoints.input.extend(children(list, "InputEndpoint").map(|node| input(reader, node)));
    }
    for list in children(role, "Endpoints") {
        reader.shape(list, &ENDPOINTS);
        endpoints.input.extend(children(list, "InputEndpoint").map(|node| input(reader, node)));
        endpoints.internal.extend(children(list, "InternalEndpoint").map(|node| internal(reader, node)));
        endpoints
            .instance_input
            .extend(children(list, "InstanceInputEndpoint").map(|node| instance_input(reader, node)));
    }
    if endpoints.internal.len() > INTERNAL_ENDPOINTS_PER_ROLE_MAX {
        let message = format!(
            "the role has {} internal endpoints; at most {INTERNAL_ENDPOINTS_PER_ROLE_MAX} are allowed",
            endpoints.internal.len()
        );
        reader.problem(role, message);
    }
    endpoints
}

/// A required protocol out of `allowed`. What stands in for a bad one never leaves the reader.
fn protocol<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>, allowed: &[Protocol]) -> Protocol {
    reader.required(node, "protocol");
    let choices: Vec<(&str, Protocol)> = allowed.iter().map(|choice| (choice.as_str(), *choice)).collect();
    reader.choice(node, "protocol", &choices).unwrap_or(Protocol::Tcp)
}

fn input<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> InputEndpoint {
    reader.shape(node, &INPUT_ENDPOINT);
    reader.required(node, "port");
    let port = reader.port(node, "port").unwrap_or(0);
    let local_port = match node.attribute("localPort") {
        None => LocalPort::Fixed(port),
        Some("*") => LocalPort::Dynamic,
        Some(_) => LocalPort::Fixed(reader.port(node, "localPort").unwrap_or(0)),
    };
    if reader.number(node, "idleTimeoutInMinutes", IDLE_TIMEOUT_MINUTES).is_some() {
        let message = "idleTimeoutInMinutes has no effect: idle connections are kept for days".to_owned();
        reader.warning(node, message);
    }
    let allowed = [Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Udp];
    let endpoint = InputEndpoint {
        name: reader.name(node, "name"),
        protocol: protocol(reader, node, &allowed),
        port,
        local_port,
        certificate: node.attribute("certificate").map(str::to_owned),
        ignore_role_instance_status: reader.flag(node, "ignoreRoleInstanceStatus").unwrap_or(false),
        probe: node.attribute("loadBalancerProbe").map(str::to_owned),
        load_balancer: node.attribute("loadBalancer").map(str::to_owned),
        position: reader.position(node),
    };
    if endpoint.protocol == Protocol::Https && endpoint.certificate.is_none() {
        let message = format!(
            "the https endpoint {} needs certificate=: the name of one of the role's <Certificates>",
            endpoint.name
        );
        reader.problem(node, message);
    }
    if endpoint.protocol != Protocol::Https && endpoint.certificate.is_some() {
        let message = format!(
            "certificate= has no effect on the {} endpoint {}; write protocol=\"https\", or remove it",
            endpoint.protocol, endpoint.name
        );
        reader.warning(node, message);
    }
    endpoint
}

fn internal<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> InternalEndpoint {
    reader.shape(node, &INTERNAL_ENDPOINT);
    let mut ports: Vec<LocalPort> = match node.attribute("port") {
        None => Vec::new(),
        Some("*") => vec![LocalPort::Dynamic],
        Some(_) => reader.port(node, "port").map(LocalPort::Fixed).into_iter().collect(),
    };
    for child in children(node, "FixedPort") {
        reader.shape(child, &FIXED_PORT);
        reader.required(child, "port");
        ports.extend(reader.port(child, "port").map(LocalPort::Fixed));
    }
    for child in children(node, "FixedPortRange") {
        let (first, last) = range(reader, child);
        ports.push(LocalPort::Range(first, last));
    }
    if ports.len() > 1 {
        let message = String::from("write one of port=, <FixedPort> and <FixedPortRange>, not several");
        reader.problem(node, message);
    }
    InternalEndpoint {
        name: reader.name(node, "name"),
        protocol: protocol(reader, node, &[Protocol::Http, Protocol::Tcp, Protocol::Udp, Protocol::Any]),
        local_port: ports.first().copied().unwrap_or(LocalPort::Dynamic),
        position: reader.position(node),
    }
}

fn instance_input<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> InstanceInputEndpoint {
    reader.shape(node, &INSTANCE_INPUT_ENDPOINT);
    reader.required(node, "localPort");
    let mut public_ports = None;
    for allocate in children(node, "AllocatePublicPortFrom") {
        reader.shape(allocate, &ALLOCATE);
        public_ports = children(allocate, "FixedPortRange").next().map(|child| range(reader, child));
    }
    if public_ports.is_none() {
        let message = String::from(
            "<InstanceInputEndpoint> needs <AllocatePublicPortFrom><FixedPortRange min= max= /></AllocatePublicPortFrom>",
        );
        reader.problem(node, message);
    }
    InstanceInputEndpoint {
        name: reader.name(node, "name"),
        protocol: protocol(reader, node, &[Protocol::Tcp, Protocol::Udp]),
        local_port: reader.port(node, "localPort").unwrap_or(0),
        public_ports: public_ports.unwrap_or((0, 0)),
        position: reader.position(node),
    }
}

fn range<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> (u16, u16) {
    reader.shape(node, &FIXED_PORT_RANGE);
    reader.required(node, "min");
    reader.required(node, "max");
    let ports = reader.port(node, "min").zip(reader.port(node, "max"));
    if let Some((first, last)) = ports
        && first > last
    {
        reader.bad_value(node, "max", &format!("at least min={first}"));
    }
    ports.unwrap_or((0, 0))
}
