//! Load balancer probes: what the FA, which stands beside the VM, asks an instance in place of the load balancers.

use serde::{Deserialize, Serialize};

/// A question that is asked again and again (SERVICEMODEL §1, "LoadBalancerProbes").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeGoal {
    /// Names it among the probes of its instance.
    pub name: String,
    /// How it asks.
    pub kind: ProbeKind,
    /// The port of the instance.
    pub port: u16,
    /// Between the beginnings of two questions.
    pub interval_seconds: u32,
    /// After so long without a "yes" the instance leaves the rotation.
    pub timeout_seconds: u32,
}

/// How a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProbeKind {
    /// `GET` of a path: status 200 means yes.
    Http {
        /// The path, with its `/`.
        path: String,
    },
    /// A connection that is accepted means yes.
    Tcp,
}
