//! "Swap Deployment": the deployments of a service change slots, and with them virtual IPs.
//!
//! Both are held by the operation; its work belongs to the one in the staging slot. The FC exchanges in one step of its
//! own, which may be asked for twice; then one commit exchanges the records.

use std::sync::Arc;

use welkin_fabric_wire::{Slot, Slots};
use welkin_management_wire::ApiError;
use welkin_management_wire::deployment::change::Swap;

use crate::deploy::Held;
use crate::deployment::{Change, DeploymentRecord, begin, free, held, in_slot, slot_key};
use crate::failure::Failure;
use crate::hosted_service;
use crate::management::{Management, now};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{Read, SERVICES, State, encode};

/// Holds both deployments, and begins.
pub async fn swap(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = Swap::parse(&request.body)?;
    let name = request.parameters.service()?;
    let service = hosted_service::find(management, &request.subscription, &name).await?;
    let production = in_slot(management, name.as_str(), Slot::Production).await?;
    let staging = in_slot(management, name.as_str(), Slot::Staging).await?;
    let source = check(&asked, production.as_ref(), staging)?;
    let mut ids = vec![source.record.id.clone()];
    let record = held(source.record, &request.id, Change::Swap);
    let mut change = State::change(SERVICES, name.as_str())
        .check_version(hosted_service::KEY, service.version)
        .check_version(slot_key(Slot::Staging), source.version)
        .put(slot_key(Slot::Staging), encode(&record)?);
    change = match production {
        Some(read) => {
            ids.push(read.record.id.clone());
            let record = held(read.record, &request.id, Change::Other);
            change
                .check_version(slot_key(Slot::Production), read.version)
                .put(slot_key(Slot::Production), encode(&record)?)
        }
        None => change.check_absent(slot_key(Slot::Production)),
    };
    for id in ids {
        let observed = management.fabric.observed(&id).await?;
        if observed.is_some_and(|observed| observed.update.is_some()) {
            return Err(ApiError::conflict("a deployment is being updated: wait for the update's end").into());
        }
    }
    begin(management, request, name.as_str(), Slot::Staging, change).await
}

/// The names must be those of the slots as they are (SMAPI §6): whoever asks with older ones does not know what
/// they exchange.
fn check(
    asked: &Swap,
    production: Option<&Read<DeploymentRecord>>,
    staging: Option<Read<DeploymentRecord>>,
) -> Result<Read<DeploymentRecord>, ApiError> {
    let same = |read: &Read<DeploymentRecord>, name: &welkin_base::DeploymentName| {
        read.record.name.as_str().eq_ignore_ascii_case(name.as_str())
    };
    let source = staging.filter(|read| same(read, &asked.source));
    let Some(source) = source else {
        let message = format!("the staging slot does not have the deployment {}", asked.source);
        return Err(ApiError::conflict(message));
    };
    let as_named = match (production, &asked.production) {
        (None, None) => true,
        (Some(read), Some(name)) => same(read, name),
        _ => false,
    };
    if !as_named {
        let has = production
            .map_or("is empty".to_owned(), |read| format!("has the deployment {}", read.record.name));
        return Err(ApiError::conflict(format!("the production slot {has}")));
    }
    production.map_or(Ok(()), |read| free(&read.record))?;
    free(&source.record)?;
    Ok(source)
}

/// Has the FC exchange the slots, and exchanges the records.
pub async fn work(source: Held<'_>) -> Result<(), Failure> {
    let production = in_slot(source.management, source.service.as_str(), Slot::Production).await?;
    let slots = Slots {
        production: source.read.record.id.clone(),
        staging: production.as_ref().map(|read| read.record.id.clone()),
    };
    // However long it takes: only the FC knows whether it has done it.
    let result =
        crate::deploy::until_answered(|| source.management.fabric.put_slots(&source.service, &slots)).await;
    let (coming, going) = match result {
        Ok(()) => (Slot::Production, Slot::Staging),
        Err(_) => (Slot::Staging, Slot::Production),
    };
    let free = |record: &DeploymentRecord| DeploymentRecord { held: None, modified: now(), ..record.clone() };
    let mut change = source.unchanged().put(slot_key(coming), encode(&free(&source.read.record))?);
    change = match &production {
        Some(read) => change
            .check_version(slot_key(Slot::Production), read.version)
            .put(slot_key(going), encode(&free(&read.record))?),
        None if result.is_ok() => {
            change.check_absent(slot_key(Slot::Production)).delete(slot_key(Slot::Staging))
        }
        None => change,
    };
    source.finish(change, result.map_err(Failure::told)).await
}
