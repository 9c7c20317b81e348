//! Answers, and the headers that each of them has (SMAPI §3).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SERVER};
use http::{Response, StatusCode};
use serde::Serialize;
use welkin_management_wire::{ApiError, Element};
use welkin_transport::{Body, empty, full, json, text};

/// The header that says where the next page begins, in answers and requests.
pub const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation-token");

/// What a handler answers.
#[derive(Debug)]
pub enum Reply {
    /// A status without a body.
    Status(StatusCode),
    /// 201, and where the new resource is.
    Created {
        /// Its address.
        location: String,
    },
    /// 200 with XML.
    Xml(Element),
    /// 200 with XML that is one page of several.
    Page {
        /// What is in it.
        element: Element,
        /// Where the next page begins, if there is one.
        continuation: Option<String>,
    },
    /// 200 with JSON, for Welkin's own calls.
    Json(serde_json::Value),
    /// 200 with plain text, for Welkin's own calls.
    Text(String),
}

impl Reply {
    /// 202: the operation goes on.
    pub const ACCEPTED: Self = Self::Status(StatusCode::ACCEPTED);
    /// 200 without a body.
    pub const OK: Self = Self::Status(StatusCode::OK);

    /// 200 with a value as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(Self::Json)
    }

    /// The response, without the headers that all have.
    pub fn into_response(self) -> Response<Body> {
        match self {
            Self::Status(status) => empty(status),
            Self::Created { location } => {
                let mut response = empty(StatusCode::CREATED);
                if let Ok(value) = HeaderValue::from_str(&location) {
                    response.headers_mut().insert(LOCATION, value);
                }
                response
            }
            Self::Xml(element) => xml(StatusCode::OK, element),
            Self::Page { element, continuation } => {
                let mut response = xml(StatusCode::OK, element);
                let value = continuation.and_then(|token| HeaderValue::from_str(&token).ok());
                response.headers_mut().extend(value.map(|value| (CONTINUATION, value)));
                response
            }
            Self::Json(value) => json(StatusCode::OK, &value),
            Self::Text(message) => text(StatusCode::OK, message),
        }
    }
}

/// The response to a request that failed.
pub fn refuse(error: &ApiError) -> Response<Body> {
    xml(error.code.status(), error.element())
}

fn xml(status: StatusCode, element: Element) -> Response<Body> {
    let mut response = Response::new(full(element.to_document()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/xml; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Adds the headers that every answer has.
pub fn finish(response: &mut Response<Body>, request_id: &str, location: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-ms-request-id", value);
    }
    if let Ok(value) = HeaderValue::from_str(location) {
        headers.insert("x-ms-servedbyregion", value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(SERVER, HeaderValue::from_static("Welkin"));
}
