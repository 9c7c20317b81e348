//! Writing blobs.

use http::{Response, StatusCode};
use welkin_storage::blob::content::{ContentWriter, NewContent};
use welkin_storage::blob::write::NewBlob;
use welkin_storage_wire::blob::tags;
use welkin_storage_wire::{ErrorCode, ProtocolError, metadata};
use welkin_transport::Body;

use super::properties::{md5, md5_text, of_put, of_set, refuse_unbuilt, set_state};
use super::{Answer, Target, conditions, current_target, refuse_lease, told};
use super::{immutability, tier};
use crate::answer::{empty, set};
use crate::context::{Authorization, Context, RequestBody};

/// The largest body of Put Blob (STORAGE, section 3; versions before 2019-12-12 took less).
const BLOB_BYTES_MAX: u64 = 5000 * 1024 * 1024;
/// Characters of a blob's name.
const NAME_CHARS_MAX: usize = 1024;

pub(super) async fn put(context: &Context, body: &mut RequestBody) -> Answer {
    let target = checked_target(context)?;
    let mut new = new_blob(context)?;
    new.properties = of_put(&context.head)?;
    let storage = &context.storage;
    // A client that sends much learns of a missing container before it sends.
    storage.container(context.account.uid, &target.container).await.map_err(told)?;
    let writer = storage.blob_writer(body.length_bytes());
    let content = receive(context, writer, body, BLOB_BYTES_MAX).await?;
    let md5 = content.md5();
    if new.properties.content_md5.is_some_and(|told| told != md5) {
        return Err(ErrorCode::Md5Mismatch.into());
    }
    new.properties.content_md5 = Some(md5);
    let blob = storage.put_blob(target.path(context), content, &new, context.now).await.map_err(told)?;
    let mut response = written(StatusCode::CREATED);
    set_state(&mut response, blob.etag, blob.modified);
    set(&mut response, "content-md5", &md5_text(&md5));
    Ok(response)
}

pub(super) async fn set_properties(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithBlobOperation)?;
    for name in ["x-ms-blob-content-length", "x-ms-sequence-number-action"] {
        if context.head.headers.contains_key(name) {
            return Err(ErrorCode::InvalidBlobType.into());
        }
    }
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let properties = of_set(&context.head)?;
    let blob =
        context.storage.set_blob_properties(target.path(context), &properties, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    Ok(response)
}

pub(super) async fn set_metadata(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithBlobOperation)?;
    refuse_unbuilt(&context.head)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let pairs = metadata::of(&context.head.headers)?;
    let blob = context.storage.set_blob_metadata(target.path(context), &pairs, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = written(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    Ok(response)
}

pub(super) async fn delete(context: &Context) -> Answer {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithBlobOperation)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    match context.head.header("x-ms-delete-snapshots")? {
        None | Some("include") => {}
        // There are no snapshots, so that this deletes nothing.
        Some("only") => return Ok(empty(StatusCode::ACCEPTED)),
        Some(other) => return Err(ProtocolError::header("x-ms-delete-snapshots", other)),
    }
    let deleted = context.storage.delete_blob(target.path(context), &conditions, context.now);
    deleted.await.map_err(told)?;
    let mut response = empty(StatusCode::ACCEPTED);
    set(&mut response, "x-ms-delete-type-permanent", "true");
    Ok(response)
}

/// What a new blob has by its headers, without properties.
pub(super) fn new_blob(context: &Context) -> Result<NewBlob, ProtocolError> {
    refuse_lease(context, ErrorCode::LeaseNotPresentWithBlobOperation)?;
    refuse_unbuilt(&context.head)?;
    let only_creates = matches!(context.authorization, Authorization::Sas { only_creates: true, .. });
    let head = &context.head;
    let tags = head.header("x-ms-tags")?.map(tags::parse_header).transpose()?;
    Ok(NewBlob {
        metadata: metadata::of(&head.headers)?,
        tags: tags.unwrap_or_default(),
        tier: tier::of(head)?,
        immutability: immutability::policy_of(head, context.now)?,
        legal_hold: immutability::hold_of(head)?.unwrap_or(false),
        conditions: conditions(context)?,
        only_creates,
        ..NewBlob::default()
    })
}

/// The blob that is to be written.
pub(super) fn checked_target(context: &Context) -> Result<Target, ProtocolError> {
    let target = current_target(context)?;
    match target.name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(target),
        _ => Err(ErrorCode::InvalidResourceName.into()),
    }
}

/// Takes the body into the writer. Nothing is kept when it is too long, breaks off, or has another MD5 than the
/// client says.
pub(super) async fn receive(
    context: &Context,
    mut writer: ContentWriter,
    body: &mut RequestBody,
    bytes_max: u64,
) -> Result<NewContent, ProtocolError> {
    let announced = md5(&context.head, "content-md5")?;
    if body.length_bytes().is_some_and(|length| length > bytes_max) {
        return Err(ErrorCode::RequestBodyTooLarge.into());
    }
    while let Some(piece) = body.piece().await? {
        if writer.length_bytes() + piece.len() as u64 > bytes_max {
            return Err(ErrorCode::RequestBodyTooLarge.into());
        }
        writer.write(piece).await.map_err(told)?;
    }
    let content = writer.finish().await.map_err(told)?;
    match announced {
        Some(announced) if announced != content.md5() => Err(ErrorCode::Md5Mismatch.into()),
        _ => Ok(content),
    }
}

/// An answer to a write of content or metadata: it says that nothing was encrypted.
pub(super) fn written(status: StatusCode) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, "x-ms-request-server-encrypted", "false");
    response
}
