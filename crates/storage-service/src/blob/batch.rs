//! Blob Batch and Container Batch: deletions, or changes of tier, in one request. Each is authorized and done on its
//! own, so that one that fails leaves the others alone (STORAGE, section 1).

use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use uuid::Uuid;
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::multipart::{self, Part, Writer};
use welkin_storage_wire::operation::BlobResource;
use welkin_storage_wire::request::client_request_id;
use welkin_storage_wire::{BlobOperation, ErrorCode, Operation, ProtocolError, RequestHead};
use welkin_transport::Body;

use crate::answer::{Frame, set};
use crate::context::{Context, RequestBody};
use crate::dispatch::FrontEnd;

/// Requests in one batch (STORAGE, section 1).
const REQUESTS_MAX: usize = 256;
/// Length of a batch's body, as Azure documents it.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request of the batch, or why it is none.
type Inner = Result<RequestHead, ProtocolError>;

/// Does the requests of a batch, one after the other, and answers with their answers.
pub(crate) async fn handle(
    front_end: &FrontEnd,
    outer: &Context,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let content_type = outer.head.header("content-type")?;
    let content_type = content_type.ok_or_else(|| ProtocolError::missing_header("Content-Type"))?;
    let boundary = multipart::boundary(content_type)?.to_owned();
    let bytes = body.whole(BODY_BYTES_MAX).await?;
    let parts = multipart::parse(&bytes, &boundary)?;
    if parts.is_empty() || parts.len() > REQUESTS_MAX {
        return Err(refused("A batch has 1 to 256 requests."));
    }
    let requests: Vec<Inner> = parts.iter().map(|part| inner(outer, part)).collect();
    check_kinds(outer, &requests)?;
    let mut writer = Writer::new(format!("batchresponse_{}", Uuid::new_v4()));
    for (part, request) in parts.iter().zip(requests) {
        let answer = answer(front_end, outer, request).await;
        let mut headers = vec![("Content-Type", "application/http")];
        headers.extend(part.header("content-id").map(|id| ("Content-ID", id)));
        writer.part(&headers, &multipart::response(&answer));
    }
    let content_type = writer.content_type();
    let mut response = Response::new(welkin_transport::full(writer.finish()));
    *response.status_mut() = StatusCode::ACCEPTED;
    set(&mut response, "content-type", &content_type);
    Ok(response)
}

fn refused(why: &str) -> ProtocolError {
    ProtocolError::saying(ErrorCode::InvalidInput, why)
}

/// The head of a request of the batch. Clients of path style may leave the account out of its path.
fn inner(outer: &Context, part: &Part<'_>) -> Inner {
    let request = multipart::request(part)?;
    let (method, headers) = (request.method, request.headers);
    let (authorized, uri) = (headers.contains_key(http::header::AUTHORIZATION), request.uri);
    let mut head = outer
        .head
        .within(method.clone(), &uri, headers.clone())
        .or_else(|_| outer.head.within_account(method, &uri, headers))?;
    if !authorized && head.query.get("sig").is_none() && outer.head.query.get("sig").is_some() {
        head.query.add_all(outer.head.query.iter().filter(|(name, _)| !OF_OPERATIONS.contains(name)));
    }
    Ok(head)
}

/// Parameters of the batch that are not of its shared access signature.
const OF_OPERATIONS: [&str; 3] = ["comp", "restype", "timeout"];

/// A batch has requests of one kind only, and one of a container is about its blobs.
fn check_kinds(outer: &Context, requests: &[Inner]) -> Result<(), ProtocolError> {
    let container = match BlobResource::of(&outer.head)? {
        BlobResource::Container(container) => Some(container),
        _ => None,
    };
    let mut kind = None;
    for head in requests.iter().flatten() {
        let Operation::Blob(operation @ (BlobOperation::DeleteBlob | BlobOperation::SetBlobTier)) =
            Operation::route(head)?
        else {
            return Err(refused("A batch deletes blobs or sets their tiers."));
        };
        if *kind.get_or_insert(operation) != operation {
            return Err(refused("All requests of a batch are of one kind."));
        }
        if let (Some(outer), BlobResource::Blob { container, .. }) = (&container, BlobResource::of(head)?)
            && container != *outer
        {
            return Err(refused("A batch of a container is about its blobs only."));
        }
    }
    Ok(())
}

async fn answer(front_end: &FrontEnd, outer: &Context, request: Inner) -> Response<Vec<u8>> {
    let request_id = Uuid::new_v4().to_string();
    let (method, client_id) = match &request {
        Ok(head) => (head.method.clone(), client_request_id(&head.headers).cloned()),
        Err(_) => (http::Method::DELETE, None::<HeaderValue>),
    };
    let result = match request {
        Ok(head) => {
            Box::pin(front_end.handle(head, outer.arrival, &request_id, &mut RequestBody::empty()))
                .await
                .result
        }
        Err(error) => Err(error),
    };
    let frame = Frame {
        error_form: ErrorForm::Xml,
        method: &method,
        request_id: &request_id,
        version: &outer.head.version,
        client_request_id: client_id.as_ref(),
        now: outer.now,
    };
    let response = result.map_or_else(|error| frame.error(&error), |response| frame.around(response));
    let (mut head, body) = response.into_parts();
    // These answers have bodies in memory, which cannot fail.
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    head.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(head, body)
}
