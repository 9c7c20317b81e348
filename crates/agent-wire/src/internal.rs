//! Calls between the instances of a deployment: what the packet filters of its nodes let through.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::RoleName;

use crate::node::Transport;

/// The internal network of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalNetwork {
    /// The addresses of each role's instances.
    pub roles: BTreeMap<RoleName, BTreeSet<Ipv4Addr>>,
    /// The internal endpoints of each instance.
    pub endpoints: Vec<InternalEndpoint>,
}

/// An internal endpoint of one instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalEndpoint {
    /// The instance's address.
    pub address: Ipv4Addr,
    /// `tcp` or `udp`.
    pub transport: Transport,
    /// The first port.
    pub first_port: u16,
    /// The last port; the first, where there is one.
    pub last_port: u16,
    /// Roles whose instances may call it.
    pub from: BTreeSet<RoleName>,
}
