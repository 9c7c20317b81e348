//! Load balancer probes: how the load balancer asks an instance whether it may have traffic.

use roxmltree::Node;

use crate::xml::{Reader, Shape, children};

/// A custom probe. Without one, the guest agent answers for the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// How it asks.
    pub kind: ProbeKind,
    /// The port; the endpoint's when there is none.
    pub port: Option<u16>,
    /// Seconds between two questions.
    pub interval_seconds: u32,
    /// Seconds without an answer after which the instance leaves the rotation.
    pub timeout_seconds: u32,
}

/// How a [`Probe`] asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeKind {
    /// `GET` of a path; 200 means yes.
    Http {
        /// The path.
        path: String,
    },
    /// A connection that is accepted means yes.
    Tcp,
}

/// Defaults and least values (`schema-csdef-loadbalancerprobe`).
const INTERVAL_SECONDS: (u32, u32) = (15, 5);
const TIMEOUT_SECONDS: (u32, u32) = (31, 11);
/// A day is longer than any probe waits.
const SECONDS_MAX: u32 = 86_400;

const PROBES: Shape = Shape::list(&["LoadBalancerProbe"]);
const PROBE: Shape =
    Shape::leaf(&["name", "protocol", "path", "port", "intervalInSeconds", "timeoutInSeconds"]);

/// Reads every probe of the definition.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    for list in children(root, "LoadBalancerProbes") {
        reader.shape(list, &PROBES);
        for node in children(list, "LoadBalancerProbe") {
            let probe = read(reader, node);
            if probes.iter().any(|other| other.name == probe.name) {
                let message = format!("probe {} is declared twice; rename one", probe.name);
                reader.problem(node, message);
            }
            probes.push(probe);
        }
    }
    probes
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> Probe {
    reader.shape(node, &PROBE);
    reader.required(node, "protocol");
    let (interval, interval_min) = INTERVAL_SECONDS;
    let (timeout, timeout_min) = TIMEOUT_SECONDS;
    Probe {
        name: reader.name(node, "name"),
        kind: kind(reader, node),
        port: reader.port(node, "port"),
        interval_seconds: reader
            .number(node, "intervalInSeconds", interval_min..=SECONDS_MAX)
            .unwrap_or(interval),
        timeout_seconds: reader
            .number(node, "timeoutInSeconds", timeout_min..=SECONDS_MAX)
            .unwrap_or(timeout),
    }
}

fn kind<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> ProbeKind {
    let is_http = reader.choice(node, "protocol", &[("http", true), ("tcp", false)]);
    match (is_http, node.attribute("path")) {
        (Some(true), Some(path)) if !path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            reader.bad_value(
                node,
                "path",
                "the path of a URL, without blanks, other characters written as %..",
            );
            ProbeKind::Tcp
        }
        (Some(true), Some(path)) if path.starts_with('/') => ProbeKind::Http { path: path.to_owned() },
        (Some(true), Some(path)) => ProbeKind::Http { path: format!("/{path}") },
        (Some(true), None) => {
            reader.problem(node, String::from("an http probe needs path="));
            ProbeKind::Tcp
        }
        (Some(false), Some(_)) => {
            reader.problem(node, String::from("a tcp probe has no path; remove path="));
            ProbeKind::Tcp
        }
        _ => ProbeKind::Tcp,
    }
}
