//! Append blobs.

use http::StatusCode;
use welkin_storage::blob::append::AppendConditions;
use welkin_storage_wire::{ProtocolError, RequestHead};

use super::limit::appended_bytes_max;
use super::properties::{of_put, refuse_unbuilt, set_state};
use super::write::{checked_target, new_blob, receive, without_body, written, written_blob};
use super::{Answer, conditions, current_target, encryption, hash, told};
use crate::answer::{empty, set};
use crate::context::{Context, RequestBody};

pub(super) async fn put(context: &Context, body: &RequestBody) -> Answer {
    without_body(body)?;
    let target = checked_target(context)?;
    let mut new = new_blob(context, &target).await?;
    new.properties = of_put(&context.head)?;
    let blob = context.storage.put_append_blob(target.path(context), &new, context.now);
    let blob = blob.await.map_err(told)?;
    Ok(written_blob(StatusCode::CREATED, &blob))
}

pub(super) async fn append(context: &Context, body: &mut RequestBody) -> Answer {
    refuse_unbuilt(&context.head)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let append = append_conditions(&context.head)?;
    if body.length_bytes() == Some(0) {
        return Err(ProtocolError::header("Content-Length", "0"));
    }
    let path = target.path(context);
    let storage = &context.storage;
    let writer = storage.append_writer(body.length_bytes());
    let writer = writer.sealed_with(conditions.customer_key.as_ref()).map_err(told)?;
    let announced = hash::announced(&context.head)?;
    let writer = writer.hashing(hash::wanted(&announced));
    let content = receive(&announced, writer, body, appended_bytes_max(&context.head.version)).await?;
    let hashes = content.hashes();
    let (blob, offset_bytes) =
        storage.append_block(path, content, &append, &conditions, context.now).await.map_err(told)?;
    let mut response = written(StatusCode::CREATED);
    set_state(&mut response, blob.etag, blob.modified);
    hash::tell(&mut response, &hashes);
    set(&mut response, "x-ms-blob-append-offset", &offset_bytes.to_string());
    if let Some((blocks, _)) = blob.appended() {
        set(&mut response, "x-ms-blob-committed-block-count", &blocks.to_string());
    }
    encryption::tell_written(&mut response, &blob.encryption);
    Ok(response)
}

pub(super) async fn seal(context: &Context) -> Answer {
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let append = append_conditions(&context.head)?;
    let blob = context.storage.seal_blob(target.path(context), &append, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    set(&mut response, "x-ms-blob-sealed", "true");
    Ok(response)
}

fn append_conditions(head: &RequestHead) -> Result<AppendConditions, ProtocolError> {
    Ok(AppendConditions {
        length_max_bytes: number(head, "x-ms-blob-condition-maxsize")?,
        position_bytes: number(head, "x-ms-blob-condition-appendpos")?,
    })
}

/// A number in a header.
pub(super) fn number(head: &RequestHead, name: &'static str) -> Result<Option<u64>, ProtocolError> {
    let parse = |text: &str| text.trim().parse().map_err(|_| ProtocolError::header(name, text));
    head.header(name)?.map(parse).transpose()
}
