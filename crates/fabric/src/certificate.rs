//! Which certificates a node is to be given: those that its guests wait for, and that are theirs to have.

use welkin_base::{InstanceId, NodeName, ServiceName, Sha1Thumbprint, SubscriptionId};

use crate::cluster::Cluster;

/// A certificate that an instance waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The instance.
    pub instance: InstanceId,
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// Its hosted service, in whose store the certificate is.
    pub service: ServiceName,
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
}

/// What a node is to be given. A node may ask for what it likes: it gets only what the roles of instances name that
/// stand on it.
#[must_use]
pub fn due(cluster: &Cluster, node: &NodeName) -> Vec<Due> {
    let Some(seen) = cluster.nodes.get(node).map(|node| &node.seen) else { return Vec::new() };
    let mut due = Vec::new();
    for deployment in cluster.deployments.values().filter(|deployment| !deployment.deleting) {
        for instance in deployment.instances.iter().filter(|instance| instance.node == *node) {
            let id = deployment.instance_id(instance.name());
            let Some(role) = deployment.role_of(instance) else { continue };
            let lacks = seen.instance(&id).map(|seen| seen.lacks.as_slice()).unwrap_or_default();
            let mut wanted: Vec<Sha1Thumbprint> =
                role.certificates.iter().map(|certificate| certificate.thumbprint).collect();
            wanted.sort_unstable();
            wanted.dedup();
            due.extend(wanted.into_iter().filter(|wanted| lacks.contains(wanted)).map(|thumbprint| Due {
                instance: id.clone(),
                subscription: deployment.goal.subscription.clone(),
                service: deployment.goal.service.clone(),
                thumbprint,
            }));
        }
    }
    due
}
