//! Exchanging the slots of a service's two deployments, and with them the virtual IPs: instances go on as they are
//! (SERVICEMODEL §6, "VIP swap").

use std::collections::BTreeMap;

use welkin_fabric_wire::{Slot, Slots};

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Reach};
use crate::plan::Change;
use crate::update::update_observed;

/// Why slots are not exchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSwapped {
    /// A deployment that is named is not there.
    #[error("a deployment that the swap names does not exist in this hosted service")]
    Missing,
    /// It is being deleted, or updated.
    #[error("deployment {0} is being updated or deleted: wait until that has ended")]
    Busy(welkin_base::DeploymentId),
    /// Their endpoints differ.
    #[error(
        "the two deployments must have as many input endpoints of each protocol: production has {production}, staging has {staging}"
    )]
    Endpoints {
        /// Of the one in production.
        production: String,
        /// Of the other.
        staging: String,
    },
}

/// The change that puts the deployments of `service` into these slots; `None` when they are there.
///
/// # Errors
/// When that cannot be now; then nothing is changed.
pub fn swap(
    cluster: &Cluster,
    service: &welkin_base::ServiceName,
    slots: &Slots,
) -> Result<Option<Change>, NotSwapped> {
    let find = |id| {
        let found = cluster.deployments.get(id);
        found.filter(|found: &&Deployment| found.goal.service == *service).ok_or(NotSwapped::Missing)
    };
    let production = find(&slots.production)?;
    let staging = slots.staging.as_ref().map(find).transpose()?;
    let in_place = |deployment: &Deployment, slot| deployment.goal.slot == slot;
    if in_place(production, Slot::Production) && staging.is_none_or(|other| in_place(other, Slot::Staging)) {
        return Ok(None);
    }
    for deployment in [Some(production), staging].into_iter().flatten() {
        if deployment.deleting || update_observed(deployment).is_some() {
            return Err(NotSwapped::Busy(deployment.id.clone()));
        }
    }
    let mut promoted = production.clone();
    promoted.goal.slot = Slot::Production;
    let Some(staging) = staging else { return Ok(Some(Change::Deployment(Box::new(promoted)))) };
    let (coming, going) = (endpoints(production), endpoints(staging));
    if coming != going {
        return Err(NotSwapped::Endpoints { production: said(&going), staging: said(&coming) });
    }
    let mut demoted = staging.clone();
    demoted.goal.slot = Slot::Staging;
    std::mem::swap(&mut promoted.vip, &mut demoted.vip);
    Ok(Some(Change::Swap(Box::new([promoted, demoted]))))
}

/// Input endpoints, counted by protocol.
fn endpoints(deployment: &Deployment) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for endpoint in deployment.roles().iter().flat_map(|role| &role.endpoints) {
        if matches!(endpoint.reach, Reach::Input { .. }) {
            *counts.entry(endpoint.protocol.as_str()).or_default() += 1;
        }
    }
    counts
}

fn said(counts: &BTreeMap<&str, u32>) -> String {
    let parts: Vec<String> = counts.iter().map(|(protocol, count)| format!("{count} {protocol}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}
