//! What Welkin's own command line reads of a whole subscription, in JSON.

use serde::{Deserialize, Serialize};
use welkin_base::{DeploymentId, DeploymentName, ServiceName};
use welkin_fabric_wire::{DeploymentObserved, NodeStatus, Slot};

/// An answer in bytes, at most.
pub const CLOUD_STATUS_BYTES_MAX: usize = 16 << 20;

/// Everything that a subscription runs, and the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudStatus {
    /// The cloud's location.
    pub location: String,
    /// The subscription's hosted services.
    pub services: Vec<ServiceStatus>,
    /// The cluster's nodes.
    pub nodes: Vec<NodeStatus>,
    /// Why something is missing above, for people: the fabric controller does not answer.
    pub trouble: Option<String>,
}

/// A hosted service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceStatus {
    /// Its name.
    pub name: ServiceName,
    /// Its deployments.
    pub deployments: Vec<DeploymentStatus>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentStatus {
    /// Its name.
    pub name: DeploymentName,
    /// Its slot.
    pub slot: Slot,
    /// Its private id.
    pub id: DeploymentId,
    /// Its status, in the management API's words.
    pub status: String,
    /// The operation that holds it.
    pub operation: Option<String>,
    /// Where it answers, when it has an input endpoint: one URL for each.
    pub urls: Vec<String>,
    /// What the fabric controller sees: instances, endpoints, VIP.
    pub observed: Option<DeploymentObserved>,
}

/// The FC's public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FabricKey {
    /// The age recipient to which service packages are encrypted.
    pub recipient: String,
}

/// Where each input endpoint of a deployment answers.
#[must_use]
pub fn urls(observed: &DeploymentObserved) -> Vec<String> {
    let Some(vip) = observed.vip else { return Vec::new() };
    let url = |scheme: &str, port: u16| match (scheme, port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{vip}/"),
        ("http" | "https", _) => format!("{scheme}://{vip}:{port}/"),
        _ => format!("{scheme}://{vip}:{port}"),
    };
    observed.input_endpoints.iter().map(|endpoint| url(&endpoint.protocol, endpoint.port)).collect()
}
