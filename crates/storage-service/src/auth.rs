//! Who asks, and whether they may: decided from the operation's row in the table.
//!
//! * [`signature`]: shared access signatures. [`token`]: bearer tokens. [`issuer`]: whose tokens they are.

pub mod issuer;
pub mod signature;
pub mod token;

use std::time::Duration;

use http::header;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobError;
use welkin_storage::blob::container::PublicAccess;
use welkin_storage::{Account, Storage};
use welkin_storage_wire::bearer;
use welkin_storage_wire::operation::{Anonymous, BlobResource, Spec};
use welkin_storage_wire::sas::{Arrival, Sas};
use welkin_storage_wire::shared_key::{self, AccountKey, Signature};
use welkin_storage_wire::{BlobOperation, ErrorCode, Operation, ProtocolError, QueueOperation, RequestHead};

use crate::context::Authorization;
use crate::error::told;
use issuer::Issuer;

/// A request's date may differ this much from the server's clock (STORAGE, section 0).
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// Finds the account and decides whether the operation is permitted.
///
/// # Errors
/// With the protocol's code for what is wrong or missing.
pub async fn authorize(
    storage: &Storage,
    issuer: Option<&Issuer>,
    head: &RequestHead,
    operation: Operation,
    arrival: Arrival,
) -> Result<(Account, Authorization), ProtocolError> {
    let spec = operation.spec();
    let account = find_account(storage, head).await?;
    let credentials = match head.headers.get(header::AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| ErrorCode::InvalidAuthenticationInfo)?),
        None => None,
    };
    let sas = Sas::of(head)?;
    let authorization = match (credentials, sas) {
        (Some(value), Some(sas)) if token::of(value).is_some() && sas.only_for_user().is_some() => {
            let user = token::verify(issuer, head, value, arrival).await?;
            signature::check(storage, &account, head, sas, operation, arrival, Some(&user)).await?
        }
        (Some(value), _) if token::of(value).is_some() => {
            let user = token::verify(issuer, head, value, arrival).await?;
            match user.roles.permit(operation) {
                true => Authorization::Bearer(user),
                false => return Err(ErrorCode::AuthorizationPermissionMismatch.into()),
            }
        }
        (Some(value), _) => check_key(&account, head, operation, value, arrival.now)?,
        (None, Some(sas)) => signature::check(storage, &account, head, sas, operation, arrival, None).await?,
        (None, None) => {
            check_anonymous(storage, issuer, &account, head, spec).await?;
            Authorization::Anonymous
        }
    };
    if head.secondary && spec.writes {
        let why = "The secondary endpoint serves reads only.";
        return Err(ProtocolError::saying(ErrorCode::InsufficientAccountPermissions, why));
    }
    Ok((account, authorization))
}

/// The two keys of an account.
fn keys(account: &Account) -> [AccountKey; 2] {
    [&account.primary_key, &account.secondary_key].map(|key| AccountKey::from_bytes(key.clone()))
}

async fn find_account(storage: &Storage, head: &RequestHead) -> Result<Account, ProtocolError> {
    let unknown = || failed("there is no such storage account");
    let name = AccountName::new(&head.account).map_err(|_| unknown())?;
    storage.account(&name).await.map_err(|error| told(&error.into()))?.ok_or_else(unknown)
}

fn check_key(
    account: &Account,
    head: &RequestHead,
    operation: Operation,
    value: &str,
    now: Timestamp,
) -> Result<Authorization, ProtocolError> {
    let signature = Signature::parse(value)?;
    check_date(head, now)?;
    if !shared_key::verify(head, &signature, &keys(account)) {
        return Err(failed("the signature is not that of this request with a key of the account"));
    }
    match operation {
        Operation::Blob(BlobOperation::GetUserDelegationKey)
        | Operation::Queue(QueueOperation::GetUserDelegationKey) => {
            Err(failed("a user delegation key is for the user of a bearer token"))
        }
        _ => Ok(Authorization::Key),
    }
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

async fn check_anonymous(
    storage: &Storage,
    issuer: Option<&Issuer>,
    account: &Account,
    head: &RequestHead,
    spec: Spec,
) -> Result<(), ProtocolError> {
    let permitted: &[PublicAccess] = match spec.anonymous {
        Anonymous::Always => return Ok(()),
        Anonymous::Never => return Err(no_credentials(issuer, head)),
        Anonymous::PublicContainer => &[PublicAccess::Container],
        Anonymous::PublicBlob => &[PublicAccess::Container, PublicAccess::Blobs],
    };
    let (BlobResource::Container(container) | BlobResource::Blob { container, .. }) = BlobResource::of(head)?
    else {
        return Err(no_credentials(issuer, head));
    };
    match storage.container(account.uid, &container).await {
        Ok(record) if permitted.contains(&record.public_access) => Ok(()),
        // Whether a private container exists is not told to anyone.
        Ok(_) | Err(BlobError::ContainerNotFound) => match challenge(issuer, head) {
            Some(_) => Err(no_credentials(issuer, head)),
            None => Err(ErrorCode::ResourceNotFound.into()),
        },
        Err(error) => Err(told(&error.into())),
    }
}

fn no_credentials(issuer: Option<&Issuer>, head: &RequestHead) -> ProtocolError {
    challenged(ErrorCode::NoAuthenticationInformation.into(), issuer, head)
}

/// What tells the client where tokens come from.
fn challenge(issuer: Option<&Issuer>, head: &RequestHead) -> Option<String> {
    issuer.and_then(|issuer| bearer::challenge(&head.version, issuer.url(), issuer.audience()))
}

fn challenged(error: ProtocolError, issuer: Option<&Issuer>, head: &RequestHead) -> ProtocolError {
    match challenge(issuer, head) {
        Some(challenge) => error.with_header("www-authenticate", challenge),
        None => error,
    }
}

fn failed(why: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::AuthenticationFailed).with_detail("AuthenticationErrorDetail", why)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use welkin_storage_wire::Service;

    use super::*;

    #[test]
    fn the_date_may_differ_by_a_quarter_of_an_hour() {
        let date = "Tue, 24 Nov 2026 11:00:00 GMT";
        let sent = Timestamp::from(httpdate::parse_http_date(date).unwrap());
        for (seconds, fits) in [(0, true), (899, true), (900, true), (901, false)] {
            let skew = Duration::from_secs(seconds);
            for now in [sent.plus(skew), Timestamp::from_ticks(2 * sent.ticks() - sent.plus(skew).ticks())] {
                let headers = HeaderMap::from_iter([("x-ms-date".parse().unwrap(), date.parse().unwrap())]);
                let url = "/account".parse().unwrap();
                let head = RequestHead::parse(Service::Blob, Method::GET, &url, headers, &[]).unwrap();
                assert_eq!(check_date(&head, now).is_ok(), fits, "{seconds} s at {now:?}");
            }
        }
    }
}
