//! Blocks and block lists.

use http::StatusCode;
use welkin_storage::blob::Block;
use welkin_storage::blob::block_list::{self as engine, BlockLists};
use welkin_storage_wire::blob::block_list as wire;
use welkin_storage_wire::xml::XML_BYTES_MAX;
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::limit::block_bytes_max;
use super::properties::{CONTENT_TYPE_DEFAULT, of_set, refuse_unbuilt, set_state};
use super::write::{checked_target, new_blob, receive, written, written_blob};
use super::{Answer, conditions, encryption, hash, target, told};
use crate::answer::{set, xml};
use crate::context::{Context, RequestBody};

pub(super) async fn put_block(context: &Context, body: &mut RequestBody) -> Answer {
    refuse_unbuilt(&context.head)?;
    let target = checked_target(context)?;
    let missing = || ProtocolError::from(ErrorCode::MissingRequiredQueryParameter);
    let id = context.head.query.get("blockid").ok_or_else(missing)?;
    let id = wire::parse_block_id(id).map_err(|_| ProtocolError::query("blockid", id))?;
    if body.length_bytes() == Some(0) {
        return Err(ProtocolError::header("Content-Length", "0"));
    }
    let storage = &context.storage;
    let container = storage.container(context.account.uid, &target.container).await.map_err(told)?;
    let key = encryption::key_of(context, &encryption::KEY)?;
    let encryption = encryption::of_new(context, key.as_ref(), &container)?;
    let announced = hash::announced(&context.head)?;
    let writer = storage.block_writer(body.length_bytes()).hashing(hash::wanted(&announced));
    let writer = writer.sealed_with(key.as_ref()).map_err(told)?;
    let content = receive(&announced, writer, body, block_bytes_max(&context.head.version)).await?;
    let hashes = content.hashes();
    let lease = conditions(context)?.lease;
    context.storage.put_block(target.path(context), &id, content, lease, context.now).await.map_err(told)?;
    let mut response = written(StatusCode::CREATED);
    hash::tell(&mut response, &hashes);
    encryption::tell_written(&mut response, &encryption);
    Ok(response)
}

pub(super) async fn put(context: &Context, body: &mut RequestBody) -> Answer {
    let target = checked_target(context)?;
    let mut new = new_blob(context, &target).await?;
    new.properties = of_set(&context.head)?;
    new.properties.content_type.get_or_insert_with(|| CONTENT_TYPE_DEFAULT.to_owned());
    let text = body.whole(XML_BYTES_MAX).await?;
    let hashes = hash::of_body(&context.head, &text)?;
    let list: Vec<_> = wire::parse(&text)?.into_iter().map(|(source, id)| (to_engine(source), id)).collect();
    let blob =
        context.storage.put_block_list(target.path(context), &list, &new, context.now).await.map_err(told)?;
    let mut response = written_blob(StatusCode::CREATED, &blob);
    hash::tell(&mut response, &hashes);
    Ok(response)
}

pub(super) async fn get(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let (committed, uncommitted) = match context.head.query.get("blocklisttype") {
        None | Some("committed") => (true, false),
        Some("uncommitted") => (false, true),
        Some("all") => (true, true),
        Some(other) => return Err(ProtocolError::query("blocklisttype", other)),
    };
    let path = target.path(context);
    let lists = context.storage.block_lists(path, target.revision, &conditions, context.now);
    let lists = lists.await.map_err(told)?;
    let mut response = xml(StatusCode::OK, write(&lists, committed, uncommitted));
    let length_bytes = lists.blob.as_ref().map_or(0, |blob| blob.length_bytes);
    if let Some(blob) = &lists.blob {
        set_state(&mut response, blob.etag, blob.modified);
    }
    set(&mut response, "x-ms-blob-content-length", &length_bytes.to_string());
    Ok(response)
}

fn write(lists: &BlockLists, committed: bool, uncommitted: bool) -> String {
    fn lines(blocks: &[Block]) -> impl Iterator<Item = (&[u8], u64)> {
        blocks.iter().map(|block| (block.id.as_slice(), block.length_bytes()))
    }
    wire::write(committed.then(|| lines(&lists.committed)), uncommitted.then(|| lines(&lists.uncommitted)))
}

fn to_engine(source: wire::Source) -> engine::Source {
    match source {
        wire::Source::Committed => engine::Source::Committed,
        wire::Source::Uncommitted => engine::Source::Uncommitted,
        wire::Source::Latest => engine::Source::Latest,
    }
}
