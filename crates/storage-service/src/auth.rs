//! Who asks, and whether they may: decided from the operation's row in the table.

use std::time::Duration;

use http::header;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobError;
use welkin_storage::blob::container::PublicAccess;
use welkin_storage::{Account, Storage};
use welkin_storage_wire::operation::{Anonymous, BlobResource, Spec};
use welkin_storage_wire::sas::{Arrival, Sas, StoredAccessPolicy};
use welkin_storage_wire::shared_key::{self, AccountKey, Signature};
use welkin_storage_wire::{ErrorCode, Operation, ProtocolError, RequestHead, Service};

use crate::context::Authorization;
use crate::error::told;

/// A request's date may differ this much from the server's clock (STORAGE, section 0).
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// Finds the account and decides whether the operation is permitted.
///
/// # Errors
/// With the protocol's code for what is wrong or missing.
pub async fn authorize(
    storage: &Storage,
    head: &RequestHead,
    operation: Operation,
    arrival: Arrival,
) -> Result<(Account, Authorization), ProtocolError> {
    let spec = operation.spec();
    let account = find_account(storage, head).await?;
    let keys = [&account.primary_key, &account.secondary_key].map(|key| AccountKey::from_bytes(key.clone()));
    let authorization = if let Some(value) = head.headers.get(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| ErrorCode::InvalidAuthenticationInfo)?;
        let signature = Signature::parse(value)?;
        check_date(head, arrival.now)?;
        match shared_key::verify(head, &signature, &keys) {
            true => Authorization::Key,
            false => {
                return Err(failed("the signature is not that of this request with a key of the account"));
            }
        }
    } else if let Some(sas) = Sas::of(head)? {
        check_sas(storage, &account, head, sas, &keys, spec, arrival).await?
    } else {
        check_anonymous(storage, &account, head, spec).await?;
        Authorization::Anonymous
    };
    if head.secondary && spec.writes {
        let why = "The secondary endpoint serves reads only.";
        return Err(ProtocolError::saying(ErrorCode::InsufficientAccountPermissions, why));
    }
    Ok((account, authorization))
}

async fn find_account(storage: &Storage, head: &RequestHead) -> Result<Account, ProtocolError> {
    let unknown = || failed("there is no such storage account");
    let name = AccountName::new(&head.account).map_err(|_| unknown())?;
    storage.account(&name).await.map_err(|error| told(&error.into()))?.ok_or_else(unknown)
}

fn check_date(head: &RequestHead, now: Timestamp) -> Result<(), ProtocolError> {
    let text = match head.header("x-ms-date")? {
        Some(text) => text,
        None => head.header("date")?.ok_or_else(|| failed("neither x-ms-date nor Date is given"))?,
    };
    let date =
        httpdate::parse_http_date(text).map_err(|_| failed("the date is not in the form of RFC 1123"))?;
    let date = Timestamp::from(date);
    match date.since(now).max(now.since(date)) <= SKEW_MAX {
        true => Ok(()),
        false => Err(failed("the date differs by more than 15 minutes from the server's clock")),
    }
}

async fn check_sas(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
    sas: Sas<'_>,
    keys: &[AccountKey],
    spec: Spec,
    arrival: Arrival,
) -> Result<Authorization, ProtocolError> {
    if !sas.verify(keys)? {
        return Err(failed("the signature of the shared access signature is wrong"));
    }
    let sas = match sas.policy_id() {
        Some(id) => {
            let policy = find_policy(storage, account, head, id).await?;
            sas.with_policy(policy.as_ref())?
        }
        None => sas,
    };
    sas.check(spec, arrival)?;
    Ok(Authorization::Sas { only_creates: sas.only_creates(), key_range: sas.key_range() })
}

async fn find_policy(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
    id: &str,
) -> Result<Option<StoredAccessPolicy>, ProtocolError> {
    if head.service != Service::Blob {
        // Stored access policies of queues and tables are not built, so that there are none.
        return Ok(None);
    }
    let (BlobResource::Container(container) | BlobResource::Blob { container, .. }) = BlobResource::of(head)?
    else {
        return Ok(None);
    };
    let record = match storage.container(account.uid, &container).await {
        Ok(record) => record,
        Err(BlobError::ContainerNotFound) => return Ok(None),
        Err(error) => return Err(told(&error.into())),
    };
    Ok(record.policies.into_iter().find(|policy| policy.id == id).map(|policy| StoredAccessPolicy {
        id: policy.id,
        start: policy.start,
        expiry: policy.expiry,
        permissions: policy.permissions,
    }))
}

async fn check_anonymous(
    storage: &Storage,
    account: &Account,
    head: &RequestHead,
    spec: Spec,
) -> Result<(), ProtocolError> {
    let permitted: &[PublicAccess] = match spec.anonymous {
        Anonymous::Always => return Ok(()),
        Anonymous::Never => return Err(ErrorCode::NoAuthenticationInformation.into()),
        Anonymous::PublicContainer => &[PublicAccess::Container],
        Anonymous::PublicBlob => &[PublicAccess::Container, PublicAccess::Blobs],
    };
    let (BlobResource::Container(container) | BlobResource::Blob { container, .. }) = BlobResource::of(head)?
    else {
        return Err(ErrorCode::NoAuthenticationInformation.into());
    };
    match storage.container(account.uid, &container).await {
        Ok(record) if permitted.contains(&record.public_access) => Ok(()),
        // Whether a private container exists is not told to anyone.
        Ok(_) | Err(BlobError::ContainerNotFound) => Err(ErrorCode::ResourceNotFound.into()),
        Err(error) => Err(told(&error.into())),
    }
}

fn failed(why: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::AuthenticationFailed).with_detail("AuthenticationErrorDetail", why)
}
