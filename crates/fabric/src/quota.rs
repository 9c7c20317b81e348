//! How many cores a subscription's deployments take together. Where instances are placed is where it is decided, so no two
//! deployments that are asked for at once exceed the quota.

use welkin_base::{DeploymentId, SubscriptionId};

use crate::cluster::Cluster;
use crate::deployment::Deployment;

/// A deployment that would take more cores than its subscription has left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the deployment needs {needed} cores, and {left} of the subscription's {max} are left: take fewer or smaller \
     instances, or ask the operator for a higher quota"
)]
pub struct NoCores {
    /// What the deployment needs.
    pub needed: u32,
    /// What the others leave.
    pub left: u32,
    /// The quota.
    pub max: u32,
}

/// Cores of a deployment: while it changes, of the larger of its versions.
fn cores(deployment: &Deployment) -> u32 {
    let version = |roles: &[crate::deployment::Role]| {
        roles.iter().fold(0_u32, |sum, role| sum.saturating_add(role.count.saturating_mul(role.need.cores)))
    };
    deployment.versions.iter().map(|one| version(&one.roles)).max().unwrap_or(0)
}

/// Whether a deployment keeps to its subscription's quota. One that takes no more than it did is let be, so that a quota
/// that is lowered takes nothing away.
///
/// # Errors
/// When it takes more than the others leave.
pub fn check_cores(cluster: &Cluster, changed: &Deployment, max: u32) -> Result<(), NoCores> {
    let (needed, held) = (cores(changed), cluster.deployments.get(&changed.id).map_or(0, cores));
    let left = max.saturating_sub(others(cluster, &changed.goal.subscription, &changed.id));
    if needed <= left || needed <= held {
        return Ok(());
    }
    Err(NoCores { needed, left, max })
}

/// Cores that the deployments of a subscription take together.
#[must_use]
pub fn cores_used(cluster: &Cluster, subscription: &SubscriptionId) -> u32 {
    sum(cluster, |one| one.goal.subscription == *subscription)
}

fn others(cluster: &Cluster, subscription: &SubscriptionId, except: &DeploymentId) -> u32 {
    sum(cluster, |one| one.goal.subscription == *subscription && one.id != *except)
}

fn sum(cluster: &Cluster, counts: impl Fn(&Deployment) -> bool) -> u32 {
    let counted = cluster.deployments.values().filter(|one| counts(one));
    counted.fold(0, |sum, one| sum.saturating_add(cores(one)))
}
