//! Containers.

use http::{Response, StatusCode};
use welkin_storage::Uid;
use welkin_storage::access::AccessPolicy;
use welkin_storage::blob::container::{ContainerRecord, NewContainer, PublicAccess};
use welkin_storage_wire::operation::BlobResource;
use welkin_storage_wire::sas::StoredAccessPolicy;
use welkin_storage_wire::{ErrorCode, ProtocolError, access as access_wire, metadata};
use welkin_transport::Body;

use super::properties::{set_metadata as set_metadata_headers, set_state};
use super::{Answer, conditions, refuse_lease, told};
use crate::answer::{empty, set, xml};
use crate::context::{Context, RequestBody};

/// The body of Set Container ACL: five policies with short fields.
const ACCESS_BYTES_MAX: usize = 64 * 1024;
/// Containers with names that break the rule.
const SPECIAL: [&str; 3] = ["$root", "$web", "$logs"];

/// The container that the request names.
pub(super) fn container_name(context: &Context) -> Result<String, ProtocolError> {
    match BlobResource::of(&context.head)? {
        BlobResource::Container(name) => Ok(name),
        _ => Err(ErrorCode::InvalidUri.into()),
    }
}

/// Whether a container may have the name: 3 to 63 lower-case letters, digits and single hyphens, with a letter or
/// digit at both ends.
fn is_container_name(name: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    SPECIAL.contains(&name)
        || ((3..=63).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
            && ends(bytes.first())
            && ends(bytes.last())
            && !name.contains("--"))
}

pub(super) fn account_information() -> Response<Body> {
    let mut response = empty(StatusCode::OK);
    set(&mut response, "x-ms-sku-name", "Standard_LRS");
    set(&mut response, "x-ms-account-kind", "StorageV2");
    set(&mut response, "x-ms-is-hns-enabled", "false");
    response
}

pub(super) async fn create(context: &Context) -> Answer {
    let name = container_name(context)?;
    if !is_container_name(&name) {
        return Err(ErrorCode::InvalidResourceName.into());
    }
    let new = NewContainer {
        uid: Uid::from_bytes(uuid::Uuid::new_v4().into_bytes()),
        metadata: metadata::of(&context.head.headers)?,
        public_access: public_access(context)?,
    };
    let record = context.storage.create_container(context.account.uid, &name, new, context.now).await;
    Ok(state(StatusCode::CREATED, &record.map_err(told)?))
}

pub(super) async fn properties(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithContainerOperation)?;
    let record = find(context).await?;
    let mut response = state(StatusCode::OK, &record);
    set_metadata_headers(&mut response, &record.metadata);
    set_access(&mut response, record.public_access);
    for (name, value) in [
        ("x-ms-lease-status", "unlocked"),
        ("x-ms-lease-state", "available"),
        ("x-ms-has-immutability-policy", "false"),
        ("x-ms-has-legal-hold", "false"),
    ] {
        set(&mut response, name, value);
    }
    Ok(response)
}

pub(super) async fn set_metadata(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithContainerOperation)?;
    let name = container_name(context)?;
    let (pairs, conditions) = (metadata::of(&context.head.headers)?, conditions(context)?);
    let uid = context.account.uid;
    let record = context.storage.set_container_metadata(uid, &name, &pairs, &conditions, context.now).await;
    Ok(state(StatusCode::OK, &record.map_err(told)?))
}

pub(super) async fn access(context: &Context) -> Answer {
    let record = find(context).await?;
    let policies: Vec<StoredAccessPolicy> = record.policies.iter().map(to_wire).collect();
    let mut response = xml(StatusCode::OK, access_wire::write(&policies));
    set_state(&mut response, record.etag, record.modified);
    set_access(&mut response, record.public_access);
    Ok(response)
}

pub(super) async fn set_access_policies(context: &Context, body: &mut RequestBody) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithContainerOperation)?;
    let (name, public_access, conditions) =
        (container_name(context)?, public_access(context)?, conditions(context)?);
    let policies = access_wire::parse(&body.whole(ACCESS_BYTES_MAX).await?)?;
    let policies: Vec<AccessPolicy> = policies.into_iter().map(from_wire).collect();
    let access = (public_access, policies.as_slice());
    let uid = context.account.uid;
    let record = context.storage.set_container_access(uid, &name, access, &conditions, context.now).await;
    Ok(state(StatusCode::OK, &record.map_err(told)?))
}

pub(super) async fn delete(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithContainerOperation)?;
    let (name, conditions) = (container_name(context)?, conditions(context)?);
    let uid = context.account.uid;
    context.storage.delete_container(uid, &name, &conditions, context.now).await.map_err(told)?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn find(context: &Context) -> Result<ContainerRecord, ProtocolError> {
    context.storage.container(context.account.uid, &container_name(context)?).await.map_err(told)
}

fn state(status: StatusCode, record: &ContainerRecord) -> Response<Body> {
    let mut response = empty(status);
    set_state(&mut response, record.etag, record.modified);
    response
}

fn public_access(context: &Context) -> Result<PublicAccess, ProtocolError> {
    match context.head.header("x-ms-blob-public-access")? {
        None | Some("") => Ok(PublicAccess::Private),
        Some("blob") => Ok(PublicAccess::Blobs),
        Some("container" | "true") => Ok(PublicAccess::Container),
        Some(other) => Err(ProtocolError::header("x-ms-blob-public-access", other)),
    }
}

/// The level as the wire spells it; a private container says nothing.
pub(super) fn access_text(access: PublicAccess) -> Option<&'static str> {
    match access {
        PublicAccess::Private => None,
        PublicAccess::Blobs => Some("blob"),
        PublicAccess::Container => Some("container"),
    }
}

fn set_access(response: &mut Response<Body>, access: PublicAccess) {
    if let Some(text) = access_text(access) {
        set(response, "x-ms-blob-public-access", text);
    }
}

fn to_wire(policy: &AccessPolicy) -> StoredAccessPolicy {
    let AccessPolicy { id, start, expiry, permissions } = policy.clone();
    StoredAccessPolicy { id, start, expiry, permissions }
}

fn from_wire(policy: StoredAccessPolicy) -> AccessPolicy {
    let StoredAccessPolicy { id, start, expiry, permissions } = policy;
    AccessPolicy { id, start, expiry, permissions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(63);
        for (name, valid) in [
            ("abc", true),
            ("a-b-c", true),
            ("$root", true),
            (&long, true),
            ("ab", false),
            ("Abc", false),
            ("-abc", false),
            ("abc-", false),
            ("a--b", false),
            ("a_b", false),
            ("$other", false),
            (&format!("{long}a"), false),
        ] {
            assert_eq!(is_container_name(name), valid, "{name}");
        }
    }
}
