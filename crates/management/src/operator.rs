//! What the operator of the cloud does with subscriptions. It comes by the control socket ([`crate::control`]), and
//! from the configuration at a start.

use uuid::Uuid;
use welkin_base::SubscriptionId;
use welkin_management_wire::ApiError;
use welkin_pki::{PeerCertificate, Sha1Thumbprint};
use welkin_store::Commit;

use crate::config::{Quotas, SubscriptionConfig};
use crate::control::{Change, Create, Subscription};
use crate::failure::Failure;
use crate::management::{Management, now};
use crate::management_certificate as certificate;
use crate::quota;
use crate::state::{Kind, Read, SUBSCRIPTIONS, State, encode};
use crate::subscription::{self, KEY, SubscriptionRecord};

/// A subscription's name in characters, at most: it has to fit into lists.
const NAME_CHARS_MAX: usize = 100;

fn unknown(id: &SubscriptionId) -> ApiError {
    ApiError::not_found(format!("there is no subscription {id}"))
}

async fn find(state: &State, id: &SubscriptionId) -> Result<Read<SubscriptionRecord>, Failure> {
    let read = state.get(SUBSCRIPTIONS, id.as_str(), KEY).await?;
    Ok(read.ok_or_else(|| unknown(id))?)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let chars = name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!(
            "a subscription's name has 1 to {NAME_CHARS_MAX} printable characters"
        )));
    }
    Ok(())
}

fn parse_certificate(pem: &str) -> Result<PeerCertificate, ApiError> {
    PeerCertificate::parse(pem.as_bytes()).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Makes a subscription.
pub async fn create(management: &Management, asked: Create) -> Result<Subscription, Failure> {
    check_name(&asked.name)?;
    let fresh = || SubscriptionId::new(&Uuid::new_v4().simple().to_string());
    let id = asked.id.map_or_else(fresh, Ok).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let record = SubscriptionRecord {
        id: id.clone(),
        name: asked.name,
        disabled: false,
        quotas: asked.quotas,
        created: now(),
        configured: Vec::new(),
    };
    let mut certificates = Vec::new();
    for pem in &asked.certificates {
        certificates.push(parse_certificate(pem)?);
    }
    make(&management.state, record, certificates).await?;
    get(management, &id).await
}

async fn make(
    state: &State,
    record: SubscriptionRecord,
    mut certificates: Vec<PeerCertificate>,
) -> Result<(), Failure> {
    certificates.sort_by_key(PeerCertificate::sha1_thumbprint);
    certificates.dedup();
    for certificate in &certificates {
        certificate::enter(state, &record.id, certificate.sha1_thumbprint()).await?;
    }
    let mut change = State::change_subscription(&record.id).check_absent(KEY).put(KEY, encode(&record)?);
    for certificate in &certificates {
        change = certificate::put(change, certificate)?;
    }
    match state.commit(change).await {
        Err(Failure::Raced) => {
            Err(ApiError::conflict(format!("there is a subscription {} already", record.id)).into())
        }
        other => other,
    }
}

/// Every subscription.
pub async fn list(management: &Management) -> Result<Vec<Subscription>, Failure> {
    let mut listed = Vec::new();
    for id in management.state.subscriptions().await? {
        match get(management, &id).await {
            Ok(subscription) => listed.push(subscription),
            // It is deleted, and what is left is its history.
            Err(Failure::Api(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(listed)
}

/// One subscription, with what it uses.
pub async fn get(management: &Management, id: &SubscriptionId) -> Result<Subscription, Failure> {
    let record = find(&management.state, id).await?.record;
    let described = subscription::describe(management, &record).await?;
    let certificates = management.state.names(id, Kind::Certificate).await?;
    Ok(Subscription {
        id: record.id,
        name: record.name,
        disabled: record.disabled,
        created: record.created,
        quotas: record.quotas,
        usage: Quotas {
            cores: described.cores.current,
            hosted_services: described.hosted_services.current,
            storage_accounts: described.storage_accounts.current,
        },
        certificates: certificates.into_iter().map(|thumbprint| thumbprint.to_ascii_uppercase()).collect(),
    })
}

/// Changes name, quotas, or whether it is disabled. A quota below what is in use stops growth and takes nothing away.
pub async fn change(
    management: &Management,
    id: &SubscriptionId,
    asked: Change,
) -> Result<Subscription, Failure> {
    if let Some(name) = &asked.name {
        check_name(name)?;
    }
    let state = &management.state;
    let read = find(state, id).await?;
    let record = SubscriptionRecord {
        name: asked.name.unwrap_or(read.record.name),
        disabled: asked.disabled.unwrap_or(read.record.disabled),
        quotas: asked.quotas.unwrap_or(read.record.quotas),
        ..read.record
    };
    let change = State::change_subscription(id).check_version(KEY, read.version).put(KEY, encode(&record)?);
    state.commit(change).await?;
    get(management, id).await
}

/// Deletes a subscription that has nothing any more. Its history stays until it is old.
pub async fn delete(management: &Management, id: &SubscriptionId) -> Result<(), Failure> {
    let state = &management.state;
    let read = find(state, id).await?;
    let usage: Option<Read<quota::UsageRecord>> = state.get(SUBSCRIPTIONS, id.as_str(), quota::KEY).await?;
    if usage.as_ref().is_some_and(|usage| !usage.record.is_nothing()) {
        let message = format!(
            "the subscription {id} has hosted services or storage accounts: delete them first, \
             or disable the subscription"
        );
        return Err(ApiError::conflict(message).into());
    }
    let thumbprints = state.names(id, Kind::Certificate).await?;
    let groups = state.names(id, Kind::Group).await?;
    // Whatever is claimed or registered from here on changes one of these two rows, so this commit would not happen.
    let mut change: Commit = State::change_subscription(id)
        .check_version(KEY, read.version)
        .delete(KEY)
        .check_unchanged(quota::KEY, usage.map(|usage| usage.version))
        .delete(quota::KEY);
    for thumbprint in &thumbprints {
        change = change.delete(Kind::Certificate.key(thumbprint));
    }
    for group in &groups {
        change = change.delete(Kind::Group.key(group));
    }
    state.commit(change).await?;
    for thumbprint in thumbprints.iter().filter_map(|text| text.parse::<Sha1Thumbprint>().ok()) {
        certificate::leave(state, id, thumbprint).await?;
    }
    Ok(())
}

/// Registers a certificate.
pub async fn add_certificate(
    management: &Management,
    id: &SubscriptionId,
    pem: &str,
) -> Result<Subscription, Failure> {
    let (state, certificate) = (&management.state, parse_certificate(pem)?);
    find(state, id).await?;
    certificate::register(state, id, &certificate, Ok).await?;
    get(management, id).await
}

/// Removes a certificate.
pub async fn remove_certificate(
    management: &Management,
    id: &SubscriptionId,
    thumbprint: Sha1Thumbprint,
) -> Result<Subscription, Failure> {
    let state = &management.state;
    find(state, id).await?;
    let Some(entry) = state.entry(id, Kind::Certificate, &thumbprint.to_string()).await? else {
        return Err(ApiError::not_found(format!("no certificate {thumbprint} is registered")).into());
    };
    let key = Kind::Certificate.key(&thumbprint.to_string());
    let change = State::change_subscription(id).check_version(key.clone(), entry.version).delete(key);
    state.commit(change).await?;
    certificate::leave(state, id, thumbprint).await?;
    get(management, id).await
}

/// Makes a configured subscription that is missing, and registers configured certificates that are new.
pub async fn configure(state: &State, asked: &SubscriptionConfig) -> Result<(), Failure> {
    check_name(&asked.name)?;
    let mut certificates = Vec::new();
    for pem in &asked.certificates {
        certificates.push(parse_certificate(pem)?);
    }
    let configured: Vec<_> = certificates.iter().map(PeerCertificate::sha1_thumbprint).collect();
    let read: Option<Read<SubscriptionRecord>> = state.get(SUBSCRIPTIONS, asked.id.as_str(), KEY).await?;
    let Some(mut read) = read else {
        let record = SubscriptionRecord {
            id: asked.id.clone(),
            name: asked.name.clone(),
            disabled: false,
            quotas: asked.quotas,
            created: now(),
            configured,
        };
        return make(state, record, certificates).await;
    };
    let known = state.names(&asked.id, Kind::Certificate).await?;
    certificates.retain(|one| !read.record.configured.contains(&one.sha1_thumbprint()));
    certificates.retain(|one| !known.contains(&one.sha1_thumbprint().to_string().to_ascii_lowercase()));
    if read.record.configured == configured {
        return Ok(());
    }
    read.record.configured = configured;
    let mut change = subscription::touch(&read)?;
    for one in &certificates {
        certificate::enter(state, &asked.id, one.sha1_thumbprint()).await?;
        change = certificate::put(change, one)?;
    }
    state.commit(change).await
}
