//! The blob service: its operations, from request to answer.

use http::Response;
use welkin_storage_wire::{BlobOperation, ErrorCode, ProtocolError};
use welkin_transport::Body;

use crate::context::{Context, RequestBody};

/// Does an operation of the blob service.
///
/// # Errors
/// With the protocol's code for what is wrong.
pub async fn handle(
    _context: &Context,
    _operation: BlobOperation,
    _body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    Err(ErrorCode::NotImplemented.into())
}
