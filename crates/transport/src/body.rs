//! Bodies: made, streamed, and read within bounds.

use std::error::Error;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::{Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, StreamBody};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Any error, for bodies.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// A body of either direction.
pub type Body = BoxBody<Bytes, BoxError>;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the reader takes.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge {
        /// The reader's limit.
        bytes_max: usize,
    },
    /// The connection broke.
    #[error("the body broke off")]
    Broken(#[source] BoxError),
    /// It is not the JSON that is expected.
    #[error("the body is not as expected: {0}")]
    Malformed(String),
}

/// Reads a body whole, if it has at most `bytes_max` bytes.
///
/// # Errors
/// When it is longer, or breaks off.
pub async fn read_body<B>(body: B, bytes_max: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { bytes_max }),
        Err(error) => Err(BodyError::Broken(error)),
    }
}

/// Reads a body as JSON, if it has at most `bytes_max` bytes.
///
/// # Errors
/// When it is longer, breaks off, or is not a `T`.
pub async fn read_json<T, B>(body: B, bytes_max: usize) -> Result<T, BodyError>
where
    T: DeserializeOwned,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let bytes = read_body(body, bytes_max).await?;
    serde_json::from_slice(&bytes).map_err(|error| BodyError::Malformed(error.to_string()))
}

/// A body with these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body that is sent as its bytes come.
pub fn stream(bytes: impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static) -> Body {
    let frames = bytes.map_ok(Frame::data).map_err(BoxError::from);
    BoxBody::new(StreamBody::new(frames))
}

/// An answer with a value as JSON.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => answer(status, "application/json", bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written")
        }
    }
}

/// An answer with a line for people.
pub fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", message.into().into_bytes())
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn answer(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
