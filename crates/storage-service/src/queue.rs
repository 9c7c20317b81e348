//! The queue service: its operations, from request to answer.
//!
//! * [`collection`]: queues. [`access`]: their stored access policies. [`message`]: messages.

pub mod access;
pub mod collection;
pub mod message;

use http::Response;
use welkin_storage::Uid;
use welkin_storage::queue::QueueError;
use welkin_storage_wire::operation::QueueResource;
use welkin_storage_wire::{ErrorCode, ProtocolError, QueueOperation};
use welkin_transport::Body;

use crate::context::{Context, RequestBody};
use crate::{delegation, error, service};

/// Does an operation of the queue service.
///
/// # Errors
/// With the protocol's code for what is wrong.
pub async fn handle(
    context: &Context,
    operation: QueueOperation,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    use QueueOperation as Op;
    match (operation, QueueResource::of(&context.head)?) {
        (Op::GetQueueServiceProperties, _) => service::properties(context),
        (Op::SetQueueServiceProperties, _) => service::set_properties(context, body).await,
        (Op::GetQueueServiceStats, _) => service::stats(context),
        (Op::GetUserDelegationKey, _) => delegation::user_delegation_key(context, body).await,
        (Op::ListQueues, _) => collection::list(context).await,
        (Op::CreateQueue, QueueResource::Queue(queue)) => collection::create(context, &queue).await,
        (Op::DeleteQueue, QueueResource::Queue(queue)) => collection::delete(context, &queue).await,
        (Op::GetQueueMetadata, QueueResource::Queue(queue)) => {
            collection::get_metadata(context, &queue).await
        }
        (Op::SetQueueMetadata, QueueResource::Queue(queue)) => {
            collection::set_metadata(context, &queue).await
        }
        (Op::GetQueueAcl, QueueResource::Queue(queue)) => access::policies(context, &queue).await,
        (Op::SetQueueAcl, QueueResource::Queue(queue)) => access::set_policies(context, &queue, body).await,
        (Op::PutMessage, QueueResource::Messages(queue)) => message::put(context, &queue, body).await,
        (Op::GetMessages, QueueResource::Messages(queue)) => message::get(context, &queue).await,
        (Op::PeekMessages, QueueResource::Messages(queue)) => message::peek(context, &queue).await,
        (Op::ClearMessages, QueueResource::Messages(queue)) => message::clear(context, &queue).await,
        (Op::UpdateMessage, QueueResource::Message { queue, id }) => {
            message::update(context, &queue, &id, body).await
        }
        (Op::DeleteMessage, QueueResource::Message { queue, id }) => {
            message::delete(context, &queue, &id).await
        }
        _ => Err(ErrorCode::NotImplemented.into()),
    }
}

/// What the client is told of the engine's error.
fn told(error: &QueueError) -> ProtocolError {
    match error {
        QueueError::QueueNotFound => ErrorCode::QueueNotFound.into(),
        QueueError::QueueAlreadyExists => ErrorCode::QueueAlreadyExists.into(),
        QueueError::MessageNotFound => ErrorCode::MessageNotFound.into(),
        QueueError::PopReceiptMismatch => ErrorCode::PopReceiptMismatch.into(),
        QueueError::Engine(error) => error::engine(error),
    }
}

fn new_uid() -> Uid {
    Uid::from_bytes(uuid::Uuid::new_v4().into_bytes())
}
