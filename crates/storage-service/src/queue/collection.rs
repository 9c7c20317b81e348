//! Queues: list, create, delete, metadata.

use http::{Response, StatusCode};
use welkin_storage::queue::Created;
use welkin_storage_wire::queue::list::{ListQuery, ListedQueue, check_queue_name, list_body};
use welkin_storage_wire::{ProtocolError, metadata};
use welkin_transport::Body;

use super::{new_uid, told};
use crate::answer::{empty, set, set_named, xml};
use crate::context::Context;

/// List Queues.
pub(super) async fn list(context: &Context) -> Result<Response<Body>, ProtocolError> {
    let asked = ListQuery::of(&context.head.query)?;
    let storage = &context.storage;
    let page = storage.list_queues(context.account.uid, &asked.prefix, &asked.marker, asked.queues_max());
    let page = page.await.map_err(|error| told(&error))?;
    let queues: Vec<ListedQueue> =
        page.queues.into_iter().map(|(name, queue)| ListedQueue { name, metadata: queue.metadata }).collect();
    let body = list_body(&context.head.endpoint(context.scheme()), &asked, &queues, page.next.as_deref());
    Ok(xml(StatusCode::OK, body))
}

/// Create Queue.
pub(super) async fn create(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    check_queue_name(queue)?;
    let metadata = metadata::of(&context.head.headers)?;
    let created =
        context.storage.create_queue(context.account.uid, queue, new_uid(), metadata, context.now).await;
    match created.map_err(|error| told(&error))? {
        Created::New => Ok(empty(StatusCode::CREATED)),
        Created::Same => Ok(empty(StatusCode::NO_CONTENT)),
    }
}

/// Delete Queue.
pub(super) async fn delete(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let deleted = context.storage.delete_queue(context.account.uid, queue, context.now).await;
    deleted.map_err(|error| told(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Get Queue Metadata, with about how many messages the queue has.
pub(super) async fn get_metadata(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let storage = &context.storage;
    let queue = storage.queue(context.account.uid, queue).await.map_err(|error| told(&error))?;
    let count =
        storage.approximate_messages_count(&queue, context.now).await.map_err(|error| told(&error))?;
    let mut response = empty(StatusCode::OK);
    for (name, value) in &queue.metadata {
        set_named(&mut response, &format!("{}{name}", metadata::PREFIX), value);
    }
    set(&mut response, "x-ms-approximate-messages-count", &count.to_string());
    Ok(response)
}

/// Set Queue Metadata.
pub(super) async fn set_metadata(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let metadata = metadata::of(&context.head.headers)?;
    let set = context.storage.set_queue_metadata(context.account.uid, queue, &metadata).await;
    set.map_err(|error| told(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}
