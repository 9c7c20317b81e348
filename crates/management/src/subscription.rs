//! Subscriptions: who may manage what, and how much of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::subscription::{self as wire, Usage};
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_pki::Sha1Thumbprint;
use welkin_store::Commit;
use welkin_transport::Peer;

use crate::config::Quotas;
use crate::failure::{Failure, chain};
use crate::management::Management;
use crate::management_certificate;
use crate::quota;
use crate::reply::Reply;
use crate::state::{Kind, Read, SUBSCRIPTIONS, State, encode};

/// The key of a subscription's row.
pub const KEY: &str = "subscription";

/// A subscription as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRecord {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name, for people.
    pub name: String,
    /// Whether the operator has disabled it: what it has stays and runs, and nobody manages it.
    pub disabled: bool,
    /// How much it may use.
    pub quotas: Quotas,
    /// When it was created.
    pub created: Timestamp,
    /// Certificates that came from the service's configuration. Each comes from there once: one that is removed stays so.
    pub configured: Vec<Sha1Thumbprint>,
}

/// One answer for every reason, so that nobody learns which subscriptions there are.
fn forbidden() -> ApiError {
    ApiError::new(
        ErrorCode::ForbiddenError,
        "the request cannot be authenticated: send a client certificate that is registered on this subscription",
    )
}

/// The subscription, if it is there still.
pub async fn read(state: &State, id: &SubscriptionId) -> Result<Read<SubscriptionRecord>, Failure> {
    let read = state.get(SUBSCRIPTIONS, id.as_str(), KEY).await?;
    Ok(read.ok_or_else(forbidden)?)
}

/// A commit of what a subscription has but does not count. It rewrites the subscription's own row, so that no two at once
/// exceed a limit, or bring something to a subscription that is being deleted.
pub fn touch(read: &Read<SubscriptionRecord>) -> Result<Commit, Failure> {
    let change = State::change_subscription(&read.record.id).check_version(KEY, read.version);
    Ok(change.put(KEY, encode(&read.record)?))
}

/// Nobody manages a subscription that is disabled.
pub fn check_active(record: &SubscriptionRecord) -> Result<(), ApiError> {
    if record.disabled {
        let message = format!("the subscription {} is disabled: ask the operator of the cloud", record.id);
        return Err(ApiError::new(ErrorCode::SubscriptionDisabled, message));
    }
    Ok(())
}

/// The subscription that `id` names, if the caller's certificate is registered on it. Asked anew for each request, so
/// that a certificate that is removed is refused at once, on connections that are open too.
pub async fn authenticate(
    management: &Management,
    peer: &Peer,
    id: &str,
) -> Result<(Arc<SubscriptionRecord>, Sha1Thumbprint), Failure> {
    let caller = peer.certificate.as_ref().ok_or_else(forbidden)?.sha1_thumbprint();
    let id = SubscriptionId::new(id).map_err(|_| forbidden())?;
    let state = &management.state;
    let registered = state.entry(&id, Kind::Certificate, &caller.to_string()).await?;
    registered.ok_or_else(forbidden)?;
    Ok((Arc::new(read(state, &id).await?.record), caller))
}

/// "List Subscriptions": those that the caller's certificate is registered on.
pub async fn list(management: &Management, peer: &Peer) -> Result<Reply, Failure> {
    let caller = peer.certificate.as_ref().ok_or_else(forbidden)?.sha1_thumbprint();
    let mut listed = Vec::new();
    for id in management_certificate::subscriptions_of(&management.state, caller).await? {
        if let Some(subscription) = management.state.get(SUBSCRIPTIONS, id.as_str(), KEY).await? {
            listed.push(describe(management, &subscription.record).await?);
        }
    }
    if listed.is_empty() {
        return Err(forbidden().into());
    }
    Ok(Reply::Xml(wire::list(&listed)))
}

/// "Get Subscription".
pub async fn get(management: &Management, subscription: &SubscriptionRecord) -> Result<Reply, Failure> {
    Ok(Reply::Xml(describe(management, subscription).await?.element()))
}

/// A subscription with what it uses.
pub async fn describe(
    management: &Management,
    subscription: &SubscriptionRecord,
) -> Result<wire::Subscription, Failure> {
    let used = quota::usage(&management.state, &subscription.id).await?;
    // While the fabric controller is silent, the rest can be told.
    let cores = match management.fabric.cores_used(&subscription.id).await {
        Ok(cores) => cores,
        Err(failure) => {
            tracing::warn!(error = chain(&failure), "it is not known how many cores are used");
            0
        }
    };
    let quotas = subscription.quotas;
    let usage = |current, max| Usage { current, max };
    Ok(wire::Subscription {
        id: subscription.id.clone(),
        name: subscription.name.clone(),
        disabled: subscription.disabled,
        created: subscription.created,
        cores: usage(cores, quotas.cores),
        hosted_services: usage(used.hosted_services, quotas.hosted_services),
        storage_accounts: usage(used.storage_accounts, quotas.storage_accounts),
    })
}
