//! What Welkin's own command line reads: the whole of a subscription at once, and the FC's key.

use welkin_fabric_wire::Slot;
use welkin_management_wire::cloud_status::{CloudStatus, DeploymentStatus, FabricKey, ServiceStatus, urls};

use crate::deployment::{self, DeploymentRecord, SLOTS};
use crate::failure::{Failure, chain};
use crate::hosted_service;
use crate::management::Management;
use crate::reply::Reply;
use crate::subscription::SubscriptionRecord;

fn json(value: &impl serde::Serialize) -> Result<Reply, Failure> {
    Reply::json(value).map_err(|source| Failure::Row { space: "answers", source })
}

/// The FC's public key.
pub async fn fabric_key(management: &Management) -> Result<Reply, Failure> {
    json(&FabricKey { recipient: management.fabric.identity().await?.package_recipient })
}

/// Services, deployments, instances and nodes. What the FC would say is missing when it is silent.
pub async fn get(management: &Management, subscription: &SubscriptionRecord) -> Result<Reply, Failure> {
    let (nodes, trouble) = match management.fabric.nodes().await {
        Ok(nodes) => (nodes, None),
        Err(failure) => (Vec::new(), Some(chain(&failure))),
    };
    let mut services = Vec::new();
    for service in hosted_service::all(management, subscription).await? {
        let mut deployments = Vec::new();
        for slot in SLOTS {
            if let Some(read) = deployment::in_slot(management, service.name.as_str(), slot).await? {
                deployments.push(describe(management, read.record, slot, trouble.is_none()).await);
            }
        }
        services.push(ServiceStatus { name: service.name, deployments });
    }
    json(&CloudStatus { location: management.config.location.clone(), services, nodes, trouble })
}

async fn describe(
    management: &Management,
    record: DeploymentRecord,
    slot: Slot,
    fabric_answers: bool,
) -> DeploymentStatus {
    let observed =
        if fabric_answers { management.fabric.observed(&record.id).await.ok().flatten() } else { None };
    let operation = record.held.as_ref().map(|hold| hold.operation.to_string());
    let described = deployment::describe(record, slot, observed);
    DeploymentStatus {
        status: described.status().to_owned(),
        operation,
        urls: described.observed.as_ref().map(urls).unwrap_or_default(),
        name: described.name,
        slot,
        id: described.id,
        observed: described.observed,
    }
}
