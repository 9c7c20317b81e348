//! Every operation of the queue service, and the way from a request to it (STORAGE, section 6).

use http::Method;

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{operations, wrong_query, wrong_verb};
use crate::request::RequestHead;

operations! {
    /// An operation of the queue service.
    QueueOperation, Queue;
    // variant, name, built, resource, account SAS, service SAS, anonymous, effect
    ListQueues, "List Queues", Built, Service, "l", "", Never, Reads;
    GetQueueServiceProperties, "Get Queue Service Properties", Built, Service, "r", "", Never, Reads;
    SetQueueServiceProperties, "Set Queue Service Properties", Built, Service, "w", "", Never, Writes;
    GetQueueServiceStats, "Get Queue Service Stats", Built, Service, "r", "", Never, Reads;
    GetUserDelegationKey, "Get User Delegation Key (queue)", Built, Service, "", "", Never, Reads;
    PreflightQueueRequest, "Preflight Queue Request", Built, Service, "", "", Always, Reads;
    CreateQueue, "Create Queue", Built, Container, "cw", "", Never, Writes;
    DeleteQueue, "Delete Queue", Built, Container, "d", "", Never, Writes;
    GetQueueMetadata, "Get Queue Metadata", Built, Container, "r", "r", Never, Reads;
    SetQueueMetadata, "Set Queue Metadata", Built, Container, "w", "", Never, Writes;
    GetQueueAcl, "Get Queue ACL", Built, Container, "", "", Never, Reads;
    SetQueueAcl, "Set Queue ACL", Built, Container, "", "", Never, Writes;
    PutMessage, "Put Message", Built, Object, "a", "a", Never, Writes;
    GetMessages, "Get Messages", Built, Object, "p", "p", Never, Writes;
    PeekMessages, "Peek Messages", Built, Object, "r", "r", Never, Reads;
    ClearMessages, "Clear Messages", Built, Object, "d", "p", Never, Writes;
    UpdateMessage, "Update Message", Built, Object, "u", "u", Never, Writes;
    DeleteMessage, "Delete Message", Built, Object, "p", "p", Never, Writes;
}

/// What a path of the queue service names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueResource {
    /// The account itself.
    Account,
    /// A queue.
    Queue(String),
    /// A queue's messages.
    Messages(String),
    /// One message.
    Message {
        /// Its queue.
        queue: String,
        /// Its id.
        id: String,
    },
}

impl QueueResource {
    /// The resource that a request's path names.
    ///
    /// # Errors
    /// When the path names nothing that the service has.
    pub fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        let path = head.resource_path()?;
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        match segments.as_slice() {
            [] => Ok(Self::Account),
            [queue] => Ok(Self::Queue((*queue).to_owned())),
            [queue, "messages"] => Ok(Self::Messages((*queue).to_owned())),
            [queue, "messages", id] => Ok(Self::Message { queue: (*queue).to_owned(), id: (*id).to_owned() }),
            _ => Err(ErrorCode::InvalidUri.into()),
        }
    }
}

pub(super) fn route(head: &RequestHead) -> Result<QueueOperation, ProtocolError> {
    use QueueOperation as Op;
    if head.method == Method::OPTIONS {
        return Ok(Op::PreflightQueueRequest);
    }
    let comp = head.query.get("comp");
    let restype = head.query.get("restype");
    let method = head.method.as_str();
    match (QueueResource::of(head)?, method, restype, comp) {
        (QueueResource::Account, "GET", None, Some("list")) => Ok(Op::ListQueues),
        (QueueResource::Account, "GET", Some("service"), Some("properties")) => {
            Ok(Op::GetQueueServiceProperties)
        }
        (QueueResource::Account, "PUT", Some("service"), Some("properties")) => {
            Ok(Op::SetQueueServiceProperties)
        }
        (QueueResource::Account, "GET", Some("service"), Some("stats")) => Ok(Op::GetQueueServiceStats),
        (QueueResource::Account, "POST", Some("service"), Some("userdelegationkey")) => {
            Ok(Op::GetUserDelegationKey)
        }
        (QueueResource::Account, ..) => Err(wrong_query(head)),
        (QueueResource::Queue(_), method, _, comp) => route_queue(head, method, comp),
        (QueueResource::Messages(_), "POST", ..) => Ok(Op::PutMessage),
        (QueueResource::Messages(_), "GET", ..) => match head.query.get("peekonly") {
            Some(peek) if peek.eq_ignore_ascii_case("true") => Ok(Op::PeekMessages),
            Some(peek) if !peek.eq_ignore_ascii_case("false") => Err(ProtocolError::query("peekonly", peek)),
            _ => Ok(Op::GetMessages),
        },
        (QueueResource::Messages(_), "DELETE", ..) => Ok(Op::ClearMessages),
        (QueueResource::Message { .. }, "PUT", ..) => Ok(Op::UpdateMessage),
        (QueueResource::Message { .. }, "DELETE", ..) => Ok(Op::DeleteMessage),
        (QueueResource::Messages(_) | QueueResource::Message { .. }, ..) => Err(wrong_verb()),
    }
}

fn route_queue(
    head: &RequestHead,
    method: &str,
    comp: Option<&str>,
) -> Result<QueueOperation, ProtocolError> {
    use QueueOperation as Op;
    match (method, comp) {
        ("PUT", None) => Ok(Op::CreateQueue),
        ("DELETE", None) => Ok(Op::DeleteQueue),
        ("GET" | "HEAD", Some("metadata")) => Ok(Op::GetQueueMetadata),
        ("PUT", Some("metadata")) => Ok(Op::SetQueueMetadata),
        ("GET" | "HEAD", Some("acl")) => Ok(Op::GetQueueAcl),
        ("PUT", Some("acl")) => Ok(Op::SetQueueAcl),
        (_, None) => Err(wrong_verb()),
        (_, Some(_)) => Err(wrong_query(head)),
    }
}
