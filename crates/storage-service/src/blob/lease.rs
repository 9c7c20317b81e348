//! Leases of blobs and containers.

use http::{Response, StatusCode};
use uuid::Uuid;
use welkin_base::Timestamp;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::lease::{Lease, LeaseAction, LeaseId, LeaseState, Leased, state_of};
use welkin_storage_wire::blob::lease::{LeaseRequest, id_text};
use welkin_transport::Body;

use super::container::{container_conditions, container_name};
use super::properties::set_state;
use super::{Answer, conditions, current_target, told};
use crate::answer::{empty, set};
use crate::context::Context;

pub(super) async fn blob(context: &Context) -> Answer {
    let (target, request) = (current_target(context)?, LeaseRequest::of(&context.head)?);
    // The lease id is that of the action, and no condition.
    let conditions = Conditions { lease: None, ..conditions(context)? };
    let leased = context.storage.lease_blob(target.path(context), action(request), &conditions, context.now);
    Ok(answer(request, &leased.await.map_err(told)?, context.now))
}

pub(super) async fn container(context: &Context) -> Answer {
    let (name, request) = (container_name(context)?, LeaseRequest::of(&context.head)?);
    let conditions = Conditions { lease: None, ..container_conditions(context)? };
    let account = context.account.uid;
    let leased =
        context.storage.lease_container(account, &name, action(request), &conditions, context.now).await;
    Ok(answer(request, &leased.map_err(told)?, context.now))
}

fn action(request: LeaseRequest) -> LeaseAction {
    match request {
        LeaseRequest::Acquire { proposed, duration_seconds } => {
            let id = proposed.unwrap_or_else(|| Uuid::new_v4().into_bytes());
            LeaseAction::Acquire { id: LeaseId(id), duration_seconds }
        }
        LeaseRequest::Renew(id) => LeaseAction::Renew(LeaseId(id)),
        LeaseRequest::Change { id, proposed } => {
            LeaseAction::Change { id: LeaseId(id), proposed: LeaseId(proposed) }
        }
        LeaseRequest::Release(id) => LeaseAction::Release(LeaseId(id)),
        LeaseRequest::Break(period_seconds) => LeaseAction::Break(period_seconds),
    }
}

fn answer(request: LeaseRequest, leased: &Leased, now: Timestamp) -> Response<Body> {
    let status = match request {
        LeaseRequest::Acquire { .. } => StatusCode::CREATED,
        LeaseRequest::Break(_) => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    let mut response = empty(status);
    set_state(&mut response, leased.etag, leased.modified);
    match (request, &leased.lease) {
        (LeaseRequest::Break(_), Some(lease)) => {
            set(&mut response, "x-ms-lease-time", &lease.breaks_in_seconds(now).to_string());
        }
        (_, Some(lease)) => set(&mut response, "x-ms-lease-id", &id_text(lease.id.0)),
        (_, None) => {}
    }
    response
}

/// A lease's status, its state, and its duration where it is held.
pub(super) fn texts(
    lease: Option<&Lease>,
    now: Timestamp,
) -> (&'static str, &'static str, Option<&'static str>) {
    let (status, text) = match state_of(lease, now) {
        LeaseState::Available => ("unlocked", "available"),
        LeaseState::Leased => ("locked", "leased"),
        LeaseState::Expired => ("unlocked", "expired"),
        LeaseState::Breaking => ("locked", "breaking"),
        LeaseState::Broken => ("unlocked", "broken"),
    };
    let duration = lease.filter(|lease| lease.state_at(now) == LeaseState::Leased).map(|lease| {
        match lease.duration_seconds {
            Some(_) => "fixed",
            None => "infinite",
        }
    });
    (status, text, duration)
}

/// Sets what the answers about a blob or a container say of its lease.
pub(super) fn set_lease(response: &mut Response<Body>, lease: Option<&Lease>, now: Timestamp) {
    let (status, state, duration) = texts(lease, now);
    set(response, "x-ms-lease-status", status);
    set(response, "x-ms-lease-state", state);
    if let Some(duration) = duration {
        set(response, "x-ms-lease-duration", duration);
    }
}
