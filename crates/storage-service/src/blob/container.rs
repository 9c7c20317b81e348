//! Containers.

use http::{Response, StatusCode};
use welkin_base::Timestamp;
use welkin_storage::Uid;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::container::{ContainerRecord, Deletion, NewContainer, PublicAccess};
use welkin_storage::blob::lease::LeaseId;
use welkin_storage_wire::blob::lease as lease_wire;
use welkin_storage_wire::operation::BlobResource;
use welkin_storage_wire::{ErrorCode, ProtocolError, access as access_wire, metadata};
use welkin_transport::Body;

use super::lease::set_lease;
use super::properties::{set_metadata as set_metadata_headers, set_state};
use super::{Answer, conditions, told};
use crate::answer::{empty, set, xml};
use crate::context::{Context, RequestBody};

/// The body of Set Container ACL: five policies with short fields.
const ACCESS_BYTES_MAX: usize = 64 * 1024;
/// The encryption scope that every account has.
const ACCOUNT_SCOPE: &str = "$account-encryption-key";
/// Characters of a container's name, at least and at most (STORAGE, section 2).
const NAME_CHARS_MIN: usize = 3;
const NAME_CHARS_MAX: usize = 63;
/// Containers with names that break the rule.
const SPECIAL: [&str; 3] = ["$root", "$web", "$logs"];

/// The container that the request names.
pub(super) fn container_name(context: &Context) -> Result<String, ProtocolError> {
    match BlobResource::of(&context.head)? {
        BlobResource::Container(name) => Ok(name),
        _ => Err(ErrorCode::InvalidUri.into()),
    }
}

/// Checks that a container may have the name: 3 to 63 lower-case letters, digits and single hyphens, with a letter or
/// digit at both ends.
fn check_name(name: &str) -> Result<(), ProtocolError> {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if SPECIAL.contains(&name) {
        return Ok(());
    }
    if !(NAME_CHARS_MIN..=NAME_CHARS_MAX).contains(&name.chars().count()) {
        let why = "A container's name has 3 to 63 characters.";
        return Err(ProtocolError::saying(ErrorCode::OutOfRangeInput, why));
    }
    let letters = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    match letters && ends(bytes.first()) && ends(bytes.last()) && !name.contains("--") {
        true => Ok(()),
        false => Err(ErrorCode::InvalidResourceName.into()),
    }
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
    check_name(&name)?;
    let new = NewContainer {
        uid: Uid::from_bytes(uuid::Uuid::new_v4().into_bytes()),
        metadata: metadata::of(&context.head.headers)?,
        public_access: public_access(context)?,
        encryption_scope: encryption_scope(context)?,
        denies_other_scopes: flag(context, "x-ms-deny-encryption-scope-override")?,
    };
    let record = context.storage.create_container(context.account.uid, &name, new, context.now).await;
    Ok(state(StatusCode::CREATED, &record.map_err(told)?))
}

pub(super) async fn properties(context: &Context) -> Answer {
    let record = find(context).await?;
    let mut response = state(StatusCode::OK, &record);
    set_metadata_headers(&mut response, &record.metadata);
    set_access(&mut response, record.public_access);
    set_lease(&mut response, record.lease.as_ref(), context.now);
    // Policies and holds of whole containers are set by the account's management, which has none.
    for name in ["x-ms-has-immutability-policy", "x-ms-has-legal-hold"] {
        set(&mut response, name, "false");
    }
    set(&mut response, "x-ms-immutable-storage-with-versioning-enabled", "false");
    set(&mut response, "x-ms-default-encryption-scope", scope_text(&record));
    let denies = if record.denies_other_scopes { "true" } else { "false" };
    set(&mut response, "x-ms-deny-encryption-scope-override", denies);
    Ok(response)
}

pub(super) async fn set_metadata(context: &Context) -> Answer {
    let name = container_name(context)?;
    let (pairs, conditions) = (metadata::of(&context.head.headers)?, container_conditions(context)?);
    let uid = context.account.uid;
    let record = context.storage.set_container_metadata(uid, &name, &pairs, &conditions, context.now).await;
    Ok(state(StatusCode::OK, &record.map_err(told)?))
}

pub(super) async fn access(context: &Context) -> Answer {
    let record = find(context).await?;
    let mut response = xml(StatusCode::OK, access_wire::write(&record.policies));
    set_state(&mut response, record.etag, record.modified);
    set_access(&mut response, record.public_access);
    Ok(response)
}

pub(super) async fn set_access_policies(context: &Context, body: &mut RequestBody) -> Answer {
    let (name, public_access, conditions) =
        (container_name(context)?, public_access(context)?, container_conditions(context)?);
    let policies = access_wire::parse(&body.whole(ACCESS_BYTES_MAX).await?)?;
    let access = (public_access, policies.as_slice());
    let uid = context.account.uid;
    let record = context.storage.set_container_access(uid, &name, access, &conditions, context.now).await;
    Ok(state(StatusCode::OK, &record.map_err(told)?))
}

pub(super) async fn delete(context: &Context) -> Answer {
    let (name, conditions) = (container_name(context)?, container_conditions(context)?);
    context
        .storage
        .delete_container(&context.account, &name, &conditions, context.now)
        .await
        .map_err(told)?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Restore Container. The name is that of the deleted container: another has not been possible since the
/// operation left its preview.
pub(super) async fn restore(context: &Context) -> Answer {
    const NAME: &str = "x-ms-deleted-container-name";
    const VERSION: &str = "x-ms-deleted-container-version";
    let name = container_name(context)?;
    let deleted = context.head.header(NAME)?.ok_or_else(|| ProtocolError::missing_header(NAME))?;
    let version = context.head.header(VERSION)?.ok_or_else(|| ProtocolError::missing_header(VERSION))?;
    if deleted != name {
        return Err(ProtocolError::header(NAME, deleted));
    }
    let deletion = parse_deletion(version).ok_or_else(|| ProtocolError::header(VERSION, version))?;
    let restored = context.storage.restore_container(&context.account, &name, deletion, context.now).await;
    Ok(state(StatusCode::CREATED, &restored.map_err(told)?))
}

/// Rename Container. A container whose name means something to the service keeps it, and no other gets it.
pub(super) async fn rename(context: &Context) -> Answer {
    const SOURCE: &str = "x-ms-source-container-name";
    let name = container_name(context)?;
    check_name(&name)?;
    let source = context.head.header(SOURCE)?.ok_or_else(|| ProtocolError::missing_header(SOURCE))?;
    if SPECIAL.contains(&&*name) {
        return Err(ErrorCode::InvalidResourceName.into());
    }
    if check_name(source).is_err() || SPECIAL.contains(&source) {
        return Err(ProtocolError::header(SOURCE, source));
    }
    let dates = container_conditions(context)?;
    if dates.if_modified_since.is_some() || dates.if_unmodified_since.is_some() {
        return Err(ErrorCode::ConditionHeadersNotSupported.into());
    }
    let lease = lease_wire::source_lease_id(&context.head)?.map(LeaseId);
    let names = (source, name.as_str());
    let renamed = context.storage.rename_container(context.account.uid, names, lease, context.now).await;
    Ok(state(StatusCode::OK, &renamed.map_err(told)?))
}

/// A deletion as lists name it: 16 digits.
pub(super) fn deletion_text(deletion: Deletion) -> String {
    format!("{:016X}", deletion.0.ticks())
}

fn parse_deletion(text: &str) -> Option<Deletion> {
    i64::from_str_radix(text, 16).ok().map(Timestamp::from_ticks).map(Deletion)
}

/// The conditions of a request about a container, which may be dates only.
pub(super) fn container_conditions(context: &Context) -> Result<Conditions, ProtocolError> {
    let conditions = conditions(context)?;
    match conditions.if_match.is_some() || conditions.if_none_match.is_some() || conditions.if_tags.is_some()
    {
        true => Err(ErrorCode::ConditionHeadersNotSupported.into()),
        false => Ok(conditions),
    }
}

async fn find(context: &Context) -> Result<ContainerRecord, ProtocolError> {
    let (name, conditions) = (container_name(context)?, container_conditions(context)?);
    let account = context.account.uid;
    context.storage.leased_container(account, &name, &conditions, context.now).await.map_err(told)
}

/// The scope that blobs are written under which name none; the account's own is not stored.
fn encryption_scope(context: &Context) -> Result<Option<String>, ProtocolError> {
    const SCOPE: &str = "x-ms-default-encryption-scope";
    match context.head.header(SCOPE)?.map(str::trim).filter(|text| !text.is_empty()) {
        None | Some(ACCOUNT_SCOPE) => Ok(None),
        Some(scope) if context.account.settings.encryption_scopes.iter().any(|own| own == scope) => {
            Ok(Some(scope.to_owned()))
        }
        Some(other) => Err(ProtocolError::header(SCOPE, other)),
    }
}

/// The scope as the wire spells it.
pub(super) fn scope_text(record: &ContainerRecord) -> &str {
    record.encryption_scope.as_deref().unwrap_or(ACCOUNT_SCOPE)
}

fn flag(context: &Context, name: &'static str) -> Result<bool, ProtocolError> {
    match context.head.header(name)?.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(ProtocolError::header(name, other)),
    }
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
            assert_eq!(check_name(name).is_ok(), valid, "{name}");
        }
    }
}
