//! Draining: an instance that is to change gets no new connections, and those that it has come to their end first.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::{InstanceId, Timestamp};

/// An instance that load balancers leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draining {
    /// Which instance.
    pub instance: InstanceId,
    /// Its address: connections that a load balancer led there are counted.
    pub address: Ipv4Addr,
    /// When it began, by the FC's clock. It tells one draining of the instance from the next.
    pub since: Timestamp,
}

/// What a node says of an instance that drains, once the load balancer in force leaves it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainObserved {
    /// Which instance.
    pub instance: InstanceId,
    /// Which draining of it.
    pub since: Timestamp,
    /// TCP connections that the node's load balancer led to it and that have not ended; `None` when the node cannot
    /// tell.
    pub connections: Option<u32>,
}
