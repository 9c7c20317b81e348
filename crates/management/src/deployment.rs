//! Deployments: what is asked of them, and how they are. The work that a change means is in [`crate::deploy`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use welkin_base::{DeploymentId, DeploymentName, Digest, Generation, InstanceName, RoleName, Timestamp};
use welkin_fabric_wire::{DeploymentObserved, GoalStatus, Slot, UpdateGoal, Warnings};
use welkin_management_wire::deployment::{CreateDeployment, Deployment, Phase, slot_name};
use welkin_management_wire::extended_property::ExtendedProperties;
use welkin_management_wire::operation_status::Progress;
use welkin_management_wire::{ApiError, DeploymentKey, Element, Version, cloud_status};

use crate::deploy;
use crate::failure::Failure;
use crate::get_package::Target;
use crate::hosted_service::{self, HostedServiceRecord};
use crate::management::{Management, now};
use crate::operation::{self, RequestId};
use crate::package;
use crate::reply::Reply;
use crate::request::Request;
use crate::service_certificate;
use crate::state::{Read, SERVICES, State, encode};
use crate::update;

/// Both slots.
pub const SLOTS: [Slot; 2] = [Slot::Production, Slot::Staging];

/// A deployment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Its name, as the customer writes it.
    pub name: DeploymentName,
    /// Its private id.
    pub id: DeploymentId,
    /// For people.
    pub label: String,
    /// The text of the service configuration.
    pub configuration: String,
    /// What is wanted.
    pub goal: GoalStatus,
    /// Of the goal that the FC has, or is about to get.
    pub generation: Generation,
    /// The package, once it has been fetched.
    pub package: Option<Digest>,
    /// Roles that stay with another package than that one, and with which.
    #[serde(default)]
    pub kept: BTreeMap<RoleName, Digest>,
    /// Instances that were deleted by name.
    #[serde(default)]
    pub removed: BTreeSet<InstanceName>,
    /// How instances come to follow what is wanted.
    #[serde(default)]
    pub update: UpdateGoal,
    /// What the update in progress, or the last one, replaced.
    #[serde(default)]
    pub replaced: Option<Content>,
    /// The operation that holds the deployment.
    pub held: Option<Hold>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
    /// What of the package and the configuration has no effect, as the FC says.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What an update replaces, and a rollback brings back. `Debug` leaves out the configuration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// For people.
    pub label: String,
    /// The text of the service configuration.
    pub configuration: String,
    /// The package.
    pub package: Option<Digest>,
    /// Roles that stay with another package.
    pub kept: BTreeMap<RoleName, Digest>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("package", &self.package).finish_non_exhaustive()
    }
}

/// An operation that holds a deployment: no other may change it before this one has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id.
    pub operation: RequestId,
    /// What it changes.
    pub change: Change,
}

/// A change of a deployment, with all that is needed to go on with it after a restart.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It is being created. The URL may carry a shared access signature: it is kept no longer than this.
    Create {
        /// Where the package is.
        package_url: String,
        /// What becomes of it when something has no effect.
        #[serde(default)]
        warnings: Warnings,
    },
    /// It gets another goal: it is started, suspended, updated.
    Goal {
        /// The package that is still to be fetched.
        fetch: Option<Fetch>,
        /// The deployment as it was before.
        before: Box<DeploymentRecord>,
        /// What becomes of it when something has no effect.
        #[serde(default)]
        warnings: Warnings,
    },
    /// It goes to the production slot, and what is there to the staging slot.
    Swap,
    /// Its package and configuration are written into a container.
    GetPackage(Target),
    /// It is being deleted.
    Delete,
    /// It is being deleted, and its service after it: the operation is the service's.
    DeleteWithService,
    /// The operation that holds the deployment in the other slot holds this one too.
    Other,
}

/// A package that is to be fetched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Where it is. It may carry a shared access signature: it is kept no longer than this.
    pub package_url: String,
    /// Roles that stay with the package that they have.
    pub kept: BTreeMap<RoleName, Digest>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "Create",
            Self::Goal { .. } => "Goal",
            Self::Swap => "Swap",
            Self::GetPackage(_) => "GetPackage",
            Self::Delete => "Delete",
            Self::DeleteWithService => "DeleteWithService",
            Self::Other => "Other",
        })
    }
}

/// The key of a slot's row.
pub fn slot_key(slot: Slot) -> &'static str {
    match slot {
        Slot::Production => "slot/production",
        Slot::Staging => "slot/staging",
    }
}

/// The deployment in a slot.
pub async fn in_slot(
    management: &Management,
    service: &str,
    slot: Slot,
) -> Result<Option<Read<DeploymentRecord>>, Failure> {
    management.state.get(SERVICES, service, slot_key(slot)).await
}

/// The deployment that a request names, and its slot.
pub async fn find(
    management: &Management,
    request: &Request,
) -> Result<(HostedServiceRecord, Slot, Read<DeploymentRecord>), Failure> {
    let name = request.parameters.service()?;
    let key = request.parameters.deployment()?;
    let service = hosted_service::find(management, &request.subscription, &name).await?.record;
    for slot in SLOTS {
        let Some(read) = in_slot(management, name.as_str(), slot).await? else { continue };
        let meant = match &key {
            DeploymentKey::Slot(wanted) => *wanted == slot,
            DeploymentKey::Name(wanted) => wanted.as_str().eq_ignore_ascii_case(read.record.name.as_str()),
        };
        if meant {
            return Ok((service, slot, read));
        }
    }
    let what = match key {
        DeploymentKey::Slot(slot) => format!("no deployment in its {} slot", slot_name(slot).to_lowercase()),
        DeploymentKey::Name(wanted) => format!("no deployment {wanted}"),
    };
    Err(ApiError::not_found(format!("the hosted service {name} has {what}")).into())
}

/// A deployment as the API answers it.
pub fn describe(record: DeploymentRecord, slot: Slot, observed: Option<DeploymentObserved>) -> Deployment {
    let phase = match record.held.as_ref().map(|hold| &hold.change) {
        Some(Change::Create { .. }) => Phase::Creating,
        Some(Change::Delete | Change::DeleteWithService) => Phase::Deleting,
        Some(Change::Goal { .. } | Change::Swap | Change::GetPackage(_) | Change::Other) | None => {
            Phase::Created
        }
    };
    let url = observed.as_ref().and_then(|observed| cloud_status::urls(observed).into_iter().next());
    let update = observed.as_ref().and_then(|observed| observed.update);
    Deployment {
        rollback_allowed: record.replaced.is_some() && update.is_some_and(|update| !update.all_changed),
        name: record.name,
        slot,
        id: record.id,
        label: record.label,
        url: url.unwrap_or_default(),
        configuration: record.configuration,
        phase,
        goal: record.goal,
        observed,
        locked: record.held.is_some(),
        created: record.created,
        modified: record.modified,
        extended_properties: record.extended_properties,
        warnings: record.warnings,
    }
}

/// The elements `Deployment` of a service.
pub async fn elements(
    management: &Management,
    service: &HostedServiceRecord,
    version: Version,
) -> Result<Vec<Element>, Failure> {
    let mut elements = Vec::new();
    for slot in SLOTS {
        if let Some(read) = in_slot(management, service.name.as_str(), slot).await? {
            let observed = management.fabric.observed(&read.record.id).await?;
            elements.push(describe(read.record, slot, observed).element(version));
        }
    }
    Ok(elements)
}

/// "Get Deployment".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (_, slot, read) = find(management, request).await?;
    let observed = management.fabric.observed(&read.record.id).await?;
    Ok(Reply::Xml(describe(read.record, slot, observed).element(request.version)))
}

/// "Create Deployment": 202, and the package is fetched and given to the FC.
pub async fn create(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = CreateDeployment::parse(&request.body)?;
    let (name, slot) = (request.parameters.service()?, request.parameters.slot()?);
    package::check_url(&management.config.storage, &asked.package_url)?;
    let service = hosted_service::find(management, &request.subscription, &name).await?;
    hosted_service::free(&service.record)?;
    for other in SLOTS {
        let Some(read) = in_slot(management, name.as_str(), other).await? else { continue };
        if other == slot {
            free(&read.record)?;
            let slot = slot_name(slot).to_lowercase();
            let message = format!("the {slot} slot of {name} has a deployment: delete it first");
            return Err(ApiError::conflict(message).into());
        }
        if read.record.name.as_str().eq_ignore_ascii_case(asked.name.as_str()) {
            let message = format!("{name} has a deployment named {} in its other slot", asked.name);
            return Err(ApiError::conflict(message).into());
        }
    }
    let record = new_record(asked, &request.id)?;
    let change = State::change(SERVICES, name.as_str())
        .check_version(hosted_service::KEY, service.version)
        .check_absent(slot_key(slot))
        .put(slot_key(slot), encode(&record)?);
    let change = service_certificate::require(management, &name, &record.configuration, change).await?;
    begin(management, request, name.as_str(), slot, change).await
}

fn new_record(asked: CreateDeployment, operation: &RequestId) -> Result<DeploymentRecord, ApiError> {
    let id = DeploymentId::new(&Uuid::new_v4().simple().to_string())
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let at = now();
    let change = Change::Create { package_url: asked.package_url, warnings: asked.warnings };
    Ok(DeploymentRecord {
        name: asked.name,
        id,
        label: asked.label,
        configuration: asked.configuration,
        goal: if asked.start { GoalStatus::Running } else { GoalStatus::Suspended },
        generation: Generation(1),
        package: None,
        kept: BTreeMap::new(),
        removed: BTreeSet::new(),
        update: UpdateGoal::default(),
        replaced: None,
        held: Some(Hold { operation: operation.clone(), change }),
        created: at,
        modified: at,
        extended_properties: asked.extended_properties,
        warnings: Vec::new(),
    })
}

/// "Delete Deployment": 202, and the FC removes it.
pub async fn delete(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let (service, slot, read) = find(management, request).await?;
    free(&read.record)?;
    update::check_version(management, request, &read.record).await?;
    let record = held(read.record, &request.id, Change::Delete);
    let change = State::change(SERVICES, service.name.as_str())
        .check_version(slot_key(slot), read.version)
        .put(slot_key(slot), encode(&record)?);
    begin(management, request, service.name.as_str(), slot, change).await
}

/// The record, held by an operation from now on.
pub fn held(record: DeploymentRecord, operation: &RequestId, change: Change) -> DeploymentRecord {
    let held = Some(Hold { operation: operation.clone(), change });
    DeploymentRecord { held, modified: now(), ..record }
}

/// One write at a time: refused while an operation holds the deployment (SMAPI §4).
pub fn free(record: &DeploymentRecord) -> Result<(), ApiError> {
    match &record.held {
        None => Ok(()),
        Some(hold) => {
            let message = format!("the operation {} holds the deployment: wait for its end", hold.operation);
            Err(ApiError::conflict(message))
        }
    }
}

/// Commits a change that makes an operation hold a deployment, and starts its work.
pub async fn begin(
    management: &Arc<Management>,
    request: &Request,
    service: &str,
    slot: Slot,
    change: welkin_store::Commit,
) -> Result<Reply, Failure> {
    operation::announce(&management.state, request, SERVICES, service).await?;
    let change = operation::record(change, request, service, Progress::InProgress)?;
    management.state.commit(change).await?;
    deploy::start(management, service.to_owned(), slot);
    Ok(Reply::ACCEPTED)
}
