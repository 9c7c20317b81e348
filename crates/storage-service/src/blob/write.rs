//! Writing blobs.

use http::{Response, StatusCode};
use welkin_storage::blob::content::{ContentWriter, NewContent};
use welkin_storage::blob::hash::{Hashes, Wanted};
use welkin_storage::blob::state::BlobRecord;
use welkin_storage::blob::state::Properties;
use welkin_storage::blob::write::NewBlob;
use welkin_storage_wire::blob::tags;
use welkin_storage_wire::{ErrorCode, ProtocolError, metadata};
use welkin_transport::Body;

use super::limit::put_blob_bytes_max;
use super::properties::{of_put, of_set, refuse_unbuilt, set_state, set_version};
use super::{Answer, Target, conditions, current_target, told};
use super::{encryption, hash, immutability, page, tier};
use crate::answer::{empty, set};
use crate::context::{Authorization, Context, RequestBody};

/// Characters of a blob's name.
const NAME_CHARS_MAX: usize = 1024;
/// Segments of a blob's name, between its slashes ("Naming and referencing containers, blobs, and metadata").
const NAME_SEGMENTS_MAX: usize = 254;

pub(super) async fn put(context: &Context, body: &mut RequestBody) -> Answer {
    let target = checked_target(context)?;
    // A client that sends much learns of a missing container before it sends.
    let mut new = new_blob(context, &target).await?;
    new.properties = of_put(&context.head)?;
    let (blob, hashes) =
        put_content(context, &target, new, body, put_blob_bytes_max(&context.head.version)).await?;
    let mut response = written_blob(StatusCode::CREATED, &blob);
    hash::tell(&mut response, &hashes);
    Ok(response)
}

/// Puts a block blob whose content is a body.
pub(super) async fn put_content(
    context: &Context,
    target: &Target,
    mut new: NewBlob,
    body: &mut RequestBody,
    bytes_max: u64,
) -> Result<(BlobRecord, Hashes), ProtocolError> {
    let storage = &context.storage;
    let announced = hash::announced(&context.head)?;
    let writer = storage.blob_writer(body.length_bytes());
    let writer = writer.sealed_with(new.conditions.customer_key.as_ref()).map_err(told)?;
    let writer = writer.hashing(Wanted { md5: true, crc64: announced.crc64.is_some() });
    let content = receive(&announced, writer, body, bytes_max).await?;
    let hashes = content.hashes();
    if new.properties.content_md5.is_some() && new.properties.content_md5 != hashes.md5 {
        return Err(ErrorCode::Md5Mismatch.into());
    }
    new.properties.content_md5 = hashes.md5;
    let blob = storage.put_blob(target.path(context), content, &new, context.now).await.map_err(told)?;
    Ok((blob, hashes))
}

pub(super) async fn set_properties(context: &Context) -> Answer {
    if page::is_asked(&context.head) {
        return page::set_properties(context).await;
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
    refuse_unbuilt(&context.head)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let pairs = metadata::of(&context.head.headers)?;
    let blob = context.storage.set_blob_metadata(target.path(context), &pairs, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    Ok(written_blob(StatusCode::OK, &blob))
}

/// What a new blob has by its headers and its container, without properties.
pub(super) async fn new_blob(context: &Context, target: &Target) -> Result<NewBlob, ProtocolError> {
    refuse_unbuilt(&context.head)?;
    let container = context.storage.container(context.account.uid, &target.container).await.map_err(told)?;
    let conditions = conditions(context)?;
    let encryption = encryption::of_new(context, conditions.customer_key.as_ref(), &container)?;
    let only_creates = matches!(context.authorization, Authorization::Sas { only_creates: true, .. });
    let head = &context.head;
    let tags = head.header("x-ms-tags")?.map(tags::parse_header).transpose()?;
    Ok(NewBlob {
        metadata: metadata::of(&head.headers)?,
        tags: tags.unwrap_or_default(),
        tier: tier::of(head)?,
        immutability: immutability::policy_of(head, context.now)?,
        legal_hold: immutability::hold_of(head)?.unwrap_or(false),
        encryption,
        conditions,
        copy: None,
        only_creates,
        properties: Properties::default(),
    })
}

/// The blob that is to be written.
pub(super) fn checked_target(context: &Context) -> Result<Target, ProtocolError> {
    let target = current_target(context)?;
    let segments = target.name.split('/').count();
    match target.name.chars().count() {
        1..=NAME_CHARS_MAX if segments <= NAME_SEGMENTS_MAX => Ok(target),
        _ => Err(ErrorCode::InvalidResourceName.into()),
    }
}

/// Takes the body into the writer. Nothing is kept when it is too long, breaks off, or has another hash than the
/// client says.
pub(super) async fn receive(
    announced: &Hashes,
    mut writer: ContentWriter,
    body: &mut RequestBody,
    bytes_max: u64,
) -> Result<NewContent, ProtocolError> {
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
    hash::check(announced, &content.hashes()).map(|()| content)
}

/// For operations that take no body.
pub(super) fn without_body(body: &RequestBody) -> Result<(), ProtocolError> {
    match body.length_bytes() {
        None | Some(0) => Ok(()),
        Some(length) => Err(ProtocolError::header("Content-Length", &length.to_string())),
    }
}

/// An answer to a write that made or replaced a blob, or its metadata.
pub(super) fn written_blob(status: StatusCode, blob: &BlobRecord) -> Response<Body> {
    let mut response = written(status);
    set_state(&mut response, blob.etag, blob.modified);
    set_version(&mut response, blob.version);
    encryption::tell_written(&mut response, &blob.encryption);
    response
}

/// An answer to a write of content or metadata: it says that nothing was encrypted.
pub(super) fn written(status: StatusCode) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, "x-ms-request-server-encrypted", "false");
    response
}
