//! Messages: put, get, peek, update, delete, clear.

use std::time::{Duration, SystemTime};

use http::{Response, StatusCode};
use uuid::Uuid;
use welkin_base::Timestamp;
use welkin_storage::queue::{Got, MessageId, NewMessage, PopReceipt};
use welkin_storage_wire::queue::message::{
    BODY_BYTES_MAX, Message, TimeToLive, VISIBILITY_TIMEOUT_DEFAULT, http_date, messages_body, messages_max,
    parse_body, time_to_live, visibility_timeout,
};
use welkin_storage_wire::{ErrorCode, ProtocolError};
use welkin_transport::Body;

use super::{new_uid, told};
use crate::answer::{empty, set, xml};
use crate::context::{Context, RequestBody};

/// Put Message.
pub(super) async fn put(
    context: &Context,
    queue: &str,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let (query, version) = (&context.head.query, &context.head.version);
    let hidden = visibility_timeout(query, 0, version)?.unwrap_or(Duration::ZERO);
    let expires = match time_to_live(query, version)? {
        TimeToLive::Ever => Timestamp::MAX,
        TimeToLive::For(time) if hidden >= time => {
            return Err(ErrorCode::OutOfRangeQueryParameterValue.into());
        }
        TimeToLive::For(time) => context.now.plus(time),
    };
    let text = parse_body(&body.whole(BODY_BYTES_MAX).await?, version)?;
    let id = MessageId(Uuid::new_v4());
    let new = NewMessage { id, nonce: nonce(), text, visible: context.now.plus(hidden), expires };
    let put = context.storage.put_message(context.account.uid, queue, new, context.now).await;
    let put = put.map_err(|error| told(&error))?;
    let message = Message { dequeue_count: None, text: None, ..got(put) };
    Ok(xml(StatusCode::CREATED, messages_body(&[message])))
}

/// Get Messages.
pub(super) async fn get(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let max = messages_max(&context.head.query)?;
    let timeout = visibility_timeout(&context.head.query, 1, &context.head.version)?;
    let timeout = timeout.unwrap_or(VISIBILITY_TIMEOUT_DEFAULT);
    let messages = context.storage.get_messages(context.account.uid, queue, max, timeout, nonce(), || {
        Timestamp::from(SystemTime::now())
    });
    let messages = messages.await.map_err(|error| told(&error))?;
    Ok(xml(StatusCode::OK, messages_body(&messages.into_iter().map(got).collect::<Vec<_>>())))
}

/// Peek Messages.
pub(super) async fn peek(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let max = messages_max(&context.head.query)?;
    let messages = context.storage.peek_messages(context.account.uid, queue, max, context.now);
    let messages = messages.await.map_err(|error| told(&error))?;
    let seen = |message| Message { pop_receipt: None, visible: None, ..got(message) };
    Ok(xml(StatusCode::OK, messages_body(&messages.into_iter().map(seen).collect::<Vec<_>>())))
}

/// Update Message.
pub(super) async fn update(
    context: &Context,
    queue: &str,
    id: &str,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let receipted = receipted(context, id)?;
    let Some(hidden) = visibility_timeout(&context.head.query, 0, &context.head.version)? else {
        return Err(missing("visibilitytimeout"));
    };
    let body = body.whole(BODY_BYTES_MAX).await?;
    let text = if body.is_empty() { None } else { Some(parse_body(&body, &context.head.version)?) };
    let change = (context.now.plus(hidden), text);
    let (storage, account) = (&context.storage, context.account.uid);
    let updated = storage.update_message(account, queue, receipted, change, nonce(), context.now).await;
    let receipt = updated.map_err(|error| told(&error))?;
    let mut response = empty(StatusCode::NO_CONTENT);
    set(&mut response, "x-ms-popreceipt", &receipt.to_string());
    set(&mut response, "x-ms-time-next-visible", &http_date(receipt.visible()));
    Ok(response)
}

/// Delete Message.
pub(super) async fn delete(
    context: &Context,
    queue: &str,
    id: &str,
) -> Result<Response<Body>, ProtocolError> {
    let receipted = receipted(context, id)?;
    let deleted = context.storage.delete_message(context.account.uid, queue, receipted, context.now).await;
    deleted.map_err(|error| told(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Clear Messages.
pub(super) async fn clear(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let cleared = context.storage.clear_messages(context.account.uid, queue, new_uid(), context.now).await;
    cleared.map_err(|error| told(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A number that no one can guess, for pop receipts.
fn nonce() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

/// The message that the URL names, and what proves that the client got it.
fn receipted(context: &Context, id: &str) -> Result<(MessageId, PopReceipt), ProtocolError> {
    let receipt = context.head.query.get_filled("popreceipt").ok_or_else(|| missing("popreceipt"))?;
    let receipt = receipt.parse().map_err(|_| ProtocolError::query("popreceipt", receipt))?;
    let id = id.parse().map_err(|_| ProtocolError::from(ErrorCode::MessageNotFound))?;
    Ok((id, receipt))
}

fn missing(parameter: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::MissingRequiredQueryParameter).with_detail("QueryParameterName", parameter)
}

fn got(message: Got) -> Message {
    Message {
        id: message.id.to_string(),
        inserted: message.inserted,
        expires: message.expires,
        pop_receipt: Some(message.pop_receipt.to_string()),
        visible: Some(message.visible),
        dequeue_count: Some(message.dequeue_count),
        text: Some(message.text),
    }
}
