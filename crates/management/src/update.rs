//! Updates of a deployment that exists: another status, configuration, package, number of instances. What is asked becomes
//! another goal, which the FC walks to; the operation has succeeded when the FC has taken it, and "Get Deployment"
//! tells how far the walk is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use welkin_base::{Digest, InstanceName, RoleName};
use welkin_fabric_wire::{DeploymentObserved, Slot, UpdateGoal, UpdateMode, UpdateObserved, Warnings};
use welkin_management_wire::deployment::change::{
    ChangeConfiguration, Rollback, UpgradeDeployment, parse_instances, parse_walk,
};
use welkin_management_wire::deployment::parse_status;
use welkin_management_wire::{ApiError, Version};
use welkin_service_model::with_instance_counts;

use crate::deployment::{Change, Content, DeploymentRecord, Fetch, begin, find, free, held, slot_key};
use crate::failure::Failure;
use crate::hosted_service::HostedServiceRecord;
use crate::management::Management;
use crate::package;
use crate::reply::Reply;
use crate::request::Request;
use crate::service_certificate;
use crate::state::{Read, SERVICES, State, encode};

/// Since this version a deployment may be updated again, or deleted, while an update of it is in progress (SMAPI §5).
const OVERLAID_SINCE: Version = Version::new("2011-10-01");

/// A deployment that no operation holds, and how the FC sees it.
struct Found {
    service: HostedServiceRecord,
    slot: Slot,
    read: Read<DeploymentRecord>,
    observed: Option<DeploymentObserved>,
}

/// How the FC comes to a goal.
#[derive(Default)]
struct How {
    fetch: Option<Fetch>,
    warnings: Warnings,
}

impl Found {
    async fn of(management: &Management, request: &Request) -> Result<Self, Failure> {
        let (service, slot, read) = find(management, request).await?;
        free(&read.record)?;
        let observed = management.fabric.observed(&read.record.id).await?;
        Ok(Self { service, slot, read, observed })
    }

    fn update(&self) -> Option<UpdateObserved> {
        self.observed.as_ref().and_then(|observed| observed.update)
    }

    /// The record with the mode of an update that begins, and what it replaces: of updates that are laid over one another,
    /// what was there before the first.
    fn updated(&self, update: UpdateGoal) -> DeploymentRecord {
        let record = self.read.record.clone();
        let replaced = match self.update() {
            Some(_) => record.replaced.clone(),
            None => Some(content(&record)),
        };
        DeploymentRecord { update, replaced, ..record }
    }

    /// Holds the deployment for the work that leads to `record`.
    async fn begin(
        self,
        management: &Arc<Management>,
        request: &Request,
        mut record: DeploymentRecord,
        How { fetch, warnings }: How,
    ) -> Result<Reply, Failure> {
        record.generation = record.generation.next();
        let before = Box::new(self.read.record);
        let record = held(record, &request.id, Change::Goal { fetch, before, warnings });
        let service = self.service.name.as_str();
        let change = State::change(SERVICES, service)
            .check_version(slot_key(self.slot), self.read.version)
            .put(slot_key(self.slot), encode(&record)?);
        let name = &self.service.name;
        let change = service_certificate::require(management, name, &record.configuration, change).await?;
        begin(management, request, service, self.slot, change).await
    }
}

fn content(record: &DeploymentRecord) -> Content {
    Content {
        label: record.label.clone(),
        configuration: record.configuration.clone(),
        package: record.package,
        kept: record.kept.clone(),
    }
}

/// Refuses to lay a change over an update in progress for those who speak a version that does not know that.
pub async fn check_version(
    management: &Management,
    request: &Request,
    record: &DeploymentRecord,
) -> Result<(), Failure> {
    if request.version >= OVERLAID_SINCE {
        return Ok(());
    }
    let observed = management.fabric.observed(&record.id).await?;
    refuse_overlay(request, observed.and_then(|observed| observed.update)).map_err(Failure::from)
}

fn refuse_overlay(request: &Request, update: Option<UpdateObserved>) -> Result<(), ApiError> {
    if request.version < OVERLAID_SINCE && update.is_some() {
        let message = format!("an update is in progress: wait for its end, or send version {OVERLAID_SINCE}");
        return Err(ApiError::conflict(message));
    }
    Ok(())
}

/// "Update Deployment Status": 202, and the FC gets the new goal.
pub async fn status(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let goal = parse_status(&request.body)?;
    let (service, slot, read) = find(management, request).await?;
    free(&read.record)?;
    let found = Found { service, slot, read, observed: None };
    let record = DeploymentRecord { goal, ..found.read.record.clone() };
    found.begin(management, request, record, How::default()).await
}

/// "Change Deployment Configuration".
pub async fn configuration(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = ChangeConfiguration::parse(&request.body)?;
    let found = Found::of(management, request).await?;
    refuse_overlay(request, found.update())?;
    let record = found.updated(UpdateGoal { mode: asked.mode, force: false });
    let record = DeploymentRecord {
        configuration: asked.configuration,
        extended_properties: asked.extended_properties.unwrap_or(record.extended_properties.clone()),
        ..record
    };
    let how = How { fetch: None, warnings: asked.warnings };
    found.begin(management, request, record, how).await
}

/// "Upgrade Deployment".
pub async fn upgrade(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = UpgradeDeployment::parse(&request.body)?;
    package::check_url(&management.config.storage, &asked.package_url)?;
    let found = Found::of(management, request).await?;
    refuse_overlay(request, found.update())?;
    let kept = match &asked.role {
        Some(role) => kept_but(&found, role)?,
        None => BTreeMap::new(),
    };
    let record = found.updated(UpdateGoal { mode: asked.mode, force: asked.force });
    let record = DeploymentRecord {
        label: asked.label,
        configuration: asked.configuration,
        extended_properties: asked.extended_properties.unwrap_or(record.extended_properties.clone()),
        ..record
    };
    let fetch = Some(Fetch { package_url: asked.package_url, kept });
    found.begin(management, request, record, How { fetch, warnings: asked.warnings }).await
}

/// The package of every role but one.
fn kept_but(found: &Found, upgraded: &RoleName) -> Result<BTreeMap<RoleName, Digest>, ApiError> {
    let roles: Vec<&RoleName> =
        found.observed.iter().flat_map(|observed| &observed.roles).map(|role| &role.name).collect();
    if !roles.contains(&upgraded) {
        let message = format!("RoleToUpgrade: the deployment has no role {upgraded}");
        return Err(ApiError::bad_request(message));
    }
    let record = &found.read.record;
    let package = |role: &RoleName| record.kept.get(role).copied().or(record.package);
    let others = roles.into_iter().filter(|role| *role != upgraded);
    Ok(others.filter_map(|role| Some((role.clone(), package(role)?))).collect())
}

/// "Walk Upgrade Domain": the next domain of a manual update may change.
pub async fn walk(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = parse_walk(&request.body)?;
    let found = Found::of(management, request).await?;
    let Some(update) = found.update().filter(|update| matches!(update.mode, UpdateMode::Manual { .. }))
    else {
        return Err(ApiError::bad_request("there is no manual update in progress").into());
    };
    let domain = update.domain;
    if update.during {
        let message = format!("upgrade domain {domain} is under way: wait until its instances are ready");
        return Err(ApiError::conflict(message).into());
    }
    if asked != domain {
        let message = format!("domains change in order: upgrade domain {domain} is next, not {asked}");
        return Err(ApiError::bad_request(message).into());
    }
    let mut record = found.read.record.clone();
    record.update.mode = UpdateMode::Manual { domain: Some(domain) };
    found.begin(management, request, record, How::default()).await
}

/// "Rollback Update Or Upgrade": 200, as clients want it, and the way back is an update like others.
pub async fn roll_back(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let Rollback { mode, force } = Rollback::parse(&request.body)?;
    let found = Found::of(management, request).await?;
    let record = found.read.record.clone();
    let in_progress = found.update().is_some_and(|update| !update.all_changed);
    let Some(content) = record.replaced.clone().filter(|_| in_progress) else {
        let message =
            "nothing can be rolled back: there is no update in progress with an instance still to change";
        return Err(ApiError::conflict(message).into());
    };
    let Content { label, configuration, package, kept } = content;
    let update = UpdateGoal { mode, force };
    let record = DeploymentRecord { label, configuration, package, kept, update, replaced: None, ..record };
    found.begin(management, request, record, How::default()).await?;
    Ok(Reply::OK)
}

/// "Delete Role Instances": these, and no instance is called so again.
pub async fn delete_instances(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let names = parse_instances(&request.body)?;
    let found = Found::of(management, request).await?;
    refuse_overlay(request, found.update())?;
    let counts = counts_without(&found, &names)?;
    let mut record = found.read.record.clone();
    record.configuration = with_instance_counts(&record.configuration, &counts);
    record.removed.extend(names);
    found.begin(management, request, record, How::default()).await
}

/// How many instances each role has without these.
fn counts_without(found: &Found, names: &[InstanceName]) -> Result<BTreeMap<RoleName, u32>, Failure> {
    let instances: Vec<(&InstanceName, &RoleName)> =
        found.observed.iter().flat_map(|o| &o.instances).map(|i| (&i.name, &i.role)).collect();
    if let Some(unknown) = names.iter().find(|name| instances.iter().all(|(known, _)| known != name)) {
        let message = format!("the deployment {} has no instance {unknown}", found.read.record.name);
        return Err(ApiError::not_found(message).into());
    }
    let deleted: BTreeSet<&InstanceName> = names.iter().collect();
    let mut counts: BTreeMap<RoleName, u32> = BTreeMap::new();
    for (name, role) in instances {
        *counts.entry(role.clone()).or_default() += u32::from(!deleted.contains(name));
    }
    match counts.iter().find(|(_, count)| **count == 0) {
        None => Ok(counts),
        Some((role, _)) => {
            let message = format!("the role {role} must keep an instance: delete the deployment instead");
            Err(ApiError::bad_request(message).into())
        }
    }
}
