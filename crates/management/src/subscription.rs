//! Subscriptions: who may manage what, and how much of it.

use std::sync::Arc;

use welkin_base::SubscriptionId;
use welkin_management_wire::subscription::{self as wire, Usage};
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_pki::Sha1Thumbprint;
use welkin_transport::Peer;

use crate::config::SubscriptionConfig;
use crate::deployment;
use crate::failure::Failure;
use crate::hosted_service;
use crate::management::Management;
use crate::reply::Reply;
use crate::storage_account;

/// One answer for every reason, so that nobody learns which subscriptions there are.
fn forbidden() -> ApiError {
    ApiError::new(
        ErrorCode::ForbiddenError,
        "the request cannot be authenticated: send a client certificate that is registered on this subscription",
    )
}

/// The subscription that `id` names, if the caller's certificate is registered on it.
pub fn authenticate(
    management: &Management,
    peer: &Peer,
    id: &str,
) -> Result<(Arc<SubscriptionConfig>, Sha1Thumbprint), ApiError> {
    let caller = peer.certificate.as_ref().ok_or_else(forbidden)?.sha1_thumbprint();
    let id = SubscriptionId::new(id).map_err(|_| forbidden())?;
    let subscription =
        management.subscriptions.iter().find(|s| s.id == id && s.certificates.contains(&caller));
    subscription.map(|subscription| (Arc::clone(subscription), caller)).ok_or_else(forbidden)
}

/// "List Subscriptions": those that the caller's certificate is registered on.
pub async fn list(management: &Management, peer: &Peer) -> Result<Reply, Failure> {
    let caller = peer.certificate.as_ref().ok_or_else(forbidden)?.sha1_thumbprint();
    let mut listed = Vec::new();
    for subscription in management.subscriptions.iter().filter(|s| s.certificates.contains(&caller)) {
        listed.push(describe(management, subscription).await?);
    }
    if listed.is_empty() {
        return Err(forbidden().into());
    }
    Ok(Reply::Xml(wire::list(&listed)))
}

/// "Get Subscription".
pub async fn get(management: &Management, subscription: &SubscriptionConfig) -> Result<Reply, Failure> {
    Ok(Reply::Xml(describe(management, subscription).await?.element()))
}

async fn describe(
    management: &Management,
    subscription: &SubscriptionConfig,
) -> Result<wire::Subscription, Failure> {
    let services = hosted_service::all(management, subscription).await?;
    let accounts = storage_account::all(management, subscription).await?;
    let mut cores = 0;
    for service in &services {
        cores += deployment::cores(management, service).await?;
    }
    let quotas = subscription.quotas;
    let usage = |current, max| Usage { current, max };
    Ok(wire::Subscription {
        id: subscription.id.clone(),
        name: subscription.name.clone(),
        cores: usage(cores, quotas.cores),
        hosted_services: usage(count(services.len()), quotas.hosted_services),
        storage_accounts: usage(count(accounts.len()), quotas.storage_accounts),
    })
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Refuses what would exceed a quota.
pub fn check_quota(what: &str, current: usize, max: u32) -> Result<(), ApiError> {
    if count(current) < max {
        return Ok(());
    }
    Err(ApiError::conflict(format!(
        "the subscription may have {max} {what} and has them: delete one, or ask the operator for a higher quota"
    )))
}
