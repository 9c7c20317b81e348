//! Answers: the headers that all have, and bodies.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::{Body as HttpBody, SizeHint};
use welkin_base::Timestamp;
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::{ApiVersion, ProtocolError};
use welkin_transport::{Body, BoxError};

/// What the `Server` header says.
const SERVER: &str = concat!("Welkin-Storage/", env!("CARGO_PKG_VERSION"));

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    with_body(status, Bytes::new())
}

/// An answer with an XML body.
#[must_use]
pub fn xml(status: StatusCode, text: String) -> Response<Body> {
    let mut response = with_body(status, text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn with_body(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(welkin_transport::full(bytes));
    *response.status_mut() = status;
    response
}

/// Sets a header; a value that no header can hold is left out.
pub fn set<B>(response: &mut Response<B>, name: &'static str, value: &str) {
    // Values outside ASCII go out as UTF-8, as they came in.
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Sets a header whose name a client chose, such as `x-ms-meta-color`.
pub fn set_named(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
        response.headers_mut().append(name, value);
    }
}

/// An answer that is short is sent at once; a longer one, or one that is read while it is sent, holds what is in hand.
const SHORT_BYTES_MAX: u64 = 64 * 1024;

/// A body that keeps something until it is sent or given up, where that may take long.
pub(crate) fn held(body: Body, what: impl Send + Sync + Unpin + 'static) -> Body {
    match body.size_hint().exact() {
        Some(bytes) if bytes <= SHORT_BYTES_MAX => body,
        _ => Body::new(Held { body, _what: what }),
    }
}

struct Held<T> {
    body: Body,
    _what: T,
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A moment in the form of RFC 1123.
#[must_use]
pub fn http_date(moment: Timestamp) -> String {
    let epoch = SystemTime::UNIX_EPOCH;
    let last = Timestamp::parse_rfc3339("9999-12-31T23:59:59Z").unwrap_or(Timestamp::MAX);
    httpdate::fmt_http_date(SystemTime::from(moment.min(last)).max(epoch))
}

/// What goes into every answer.
#[derive(Debug)]
pub struct Frame<'a> {
    /// In which form the client reads errors.
    pub error_form: ErrorForm,
    /// The request's method: an answer to HEAD has no body.
    pub method: &'a Method,
    /// The request's id.
    pub request_id: &'a str,
    /// The version of the protocol; echoed.
    pub version: &'a ApiVersion,
    /// The client's own id of the request; echoed.
    pub client_request_id: Option<&'a HeaderValue>,
    /// When.
    pub now: Timestamp,
}

impl Frame<'_> {
    /// Adds the headers that every answer has.
    #[must_use]
    pub fn around(&self, mut response: Response<Body>) -> Response<Body> {
        set(&mut response, "server", SERVER);
        set(&mut response, "x-ms-request-id", self.request_id);
        set(&mut response, "x-ms-version", self.version.as_str());
        set(&mut response, "date", &http_date(self.now));
        if let Some(id) = self.client_request_id {
            response.headers_mut().insert(HeaderName::from_static("x-ms-client-request-id"), id.clone());
        }
        response
    }

    /// Writes an error.
    #[must_use]
    pub fn error(&self, error: &ProtocolError) -> Response<Body> {
        let bare = *self.method == Method::HEAD || error.status() == StatusCode::NOT_MODIFIED;
        let (body, content_type) = match bare {
            true => (String::new(), ""),
            false => error.body(self.error_form, self.request_id, &self.now.to_iso7()),
        };
        let mut response = with_body(error.status(), body.into());
        if !bare {
            set(&mut response, "content-type", content_type);
        }
        set(&mut response, "x-ms-error-code", error.code_text());
        if error.status() == StatusCode::UNAUTHORIZED {
            set(&mut response, "www-authenticate", "SharedKey");
        }
        for (name, value) in error.headers() {
            set(&mut response, name, value);
        }
        self.around(response)
    }
}
