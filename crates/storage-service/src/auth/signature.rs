//! Shared access signatures: who signed, which stored access policy they lean on, and what they permit.

use welkin_storage::blob::BlobError;
use welkin_storage::queue::QueueError;
use welkin_storage::table::TableError;
use welkin_storage::{Account, Storage};
use welkin_storage_wire::bearer::Roles;
use welkin_storage_wire::operation::{BlobResource, QueueResource};
use welkin_storage_wire::sas::{Arrival, Sas, StoredAccessPolicy};
use welkin_storage_wire::{ErrorCode, Operation, ProtocolError, RequestHead, Service};

use super::token::User;
use super::{failed, keys};
use crate::context::Authorization;
use crate::error::{engine, told};

/// Decides whether the signature permits the operation. `user` is that of a bearer token beside it.
pub(super) async fn check(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
    sas: Sas<'_>,
    operation: Operation,
    arrival: Arrival,
    user: Option<&User>,
) -> Result<Authorization, ProtocolError> {
    let roles = check_signer(account, &sas, arrival, user)?;
    let sas = match sas.policy_id() {
        Some(id) => sas.with_policy(find_policy(storage, account, head, id).await?.as_ref())?,
        None => sas,
    };
    sas.check(operation.spec(), arrival)?;
    // What a user hands on is never more than what the user may do.
    if roles.is_some_and(|roles| !roles.permit(operation)) {
        return Err(ErrorCode::AuthorizationPermissionMismatch.into());
    }
    Ok(Authorization::Sas { only_creates: sas.only_creates(), key_range: sas.key_range() })
}

/// The roles of the user whose delegated key signed; `None` where a key of the account did.
fn check_signer(
    account: &Account,
    sas: &Sas<'_>,
    arrival: Arrival,
    user: Option<&User>,
) -> Result<Option<Roles>, ProtocolError> {
    let wrong = || failed("the signature of the shared access signature is wrong");
    let Some(key) = sas.delegation_key(arrival.now)? else {
        return if sas.verify(&keys(account))? { Ok(None) } else { Err(wrong()) };
    };
    if account.delegation_secret.is_empty() {
        return Err(wrong());
    }
    let service = if key.service == Service::Queue.sas_letter() { Service::Queue } else { Service::Blob };
    for roles in Roles::every(service) {
        if sas.verify(&[key.value(account.name.as_str(), roles, &account.delegation_secret)])? {
            return match sas.only_for_user() {
                Some(id) if user.is_none_or(|user| user.object_id != id) => Err(failed(
                    "the shared access signature is for another user, whose bearer token it needs",
                )),
                _ => Ok(Some(roles)),
            };
        }
    }
    Err(wrong())
}

async fn find_policy(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
    id: &str,
) -> Result<Option<StoredAccessPolicy>, ProtocolError> {
    let policies = match head.service {
        Service::Blob => container_policies(storage, account, head).await?,
        Service::Queue => queue_policies(storage, account, head).await?,
        Service::Table => table_policies(storage, account, head).await?,
    };
    Ok(policies.into_iter().find(|policy| policy.id == id))
}

async fn container_policies(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
) -> Result<Vec<StoredAccessPolicy>, ProtocolError> {
    let (BlobResource::Container(container) | BlobResource::Blob { container, .. }) = BlobResource::of(head)?
    else {
        return Ok(Vec::new());
    };
    match storage.container(account.uid, &container).await {
        Ok(record) => Ok(record.policies),
        Err(BlobError::ContainerNotFound) => Ok(Vec::new()),
        Err(error) => Err(told(&error.into())),
    }
}

async fn queue_policies(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
) -> Result<Vec<StoredAccessPolicy>, ProtocolError> {
    let (QueueResource::Queue(queue) | QueueResource::Messages(queue) | QueueResource::Message { queue, .. }) =
        QueueResource::of(head)?
    else {
        return Ok(Vec::new());
    };
    match storage.queue_policies(account.uid, &queue).await {
        Ok(policies) => Ok(policies),
        Err(QueueError::Engine(error)) => Err(engine(&error)),
        Err(_) => Ok(Vec::new()),
    }
}

async fn table_policies(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
) -> Result<Vec<StoredAccessPolicy>, ProtocolError> {
    let table = head.query.get("tn").unwrap_or("");
    match storage.table_policies(account.uid, table).await {
        Ok(policies) => Ok(policies),
        Err(TableError::Engine(error)) => Err(engine(&error)),
        Err(_) => Ok(Vec::new()),
    }
}
