//! What the API answers when it cannot do what was asked, and the one table of statuses (SMAPI §4).

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::xml::Element;

/// `Code` of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// A name, parameter or reference is wrong.
    BadRequest,
    /// `x-ms-version` is missing or not a version.
    MissingOrIncorrectVersionHeader,
    /// The body is not the XML that the operation takes.
    InvalidXmlRequest,
    /// A query parameter is missing or wrong.
    MissingOrInvalidRequiredQueryParameter,
    /// The resource does not take the method.
    InvalidHttpVerb,
    /// The certificate is missing or not registered on the subscription.
    ForbiddenError,
    /// The operator has disabled the subscription.
    SubscriptionDisabled,
    /// No such resource.
    ResourceNotFound,
    /// A name is taken, or another operation holds the resource.
    ConflictError,
    /// The body is larger than is taken.
    RequestBodyTooLarge,
    /// Something failed that is not the caller's fault.
    InternalError,
    /// It takes longer than a request may, and goes on.
    OperationTimedOut,
    /// An operation of the API that is not built.
    NotImplemented,
    /// Another part of the cloud does not answer: try again.
    ServerBusy,
    /// The subscription asks for more at once than its share.
    TooManyRequests,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::MissingOrIncorrectVersionHeader
            | Self::InvalidXmlRequest
            | Self::MissingOrInvalidRequiredQueryParameter
            | Self::InvalidHttpVerb => StatusCode::BAD_REQUEST,
            Self::ForbiddenError | Self::SubscriptionDisabled => StatusCode::FORBIDDEN,
            Self::ResourceNotFound => StatusCode::NOT_FOUND,
            Self::ConflictError => StatusCode::CONFLICT,
            Self::RequestBodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InternalError | Self::OperationTimedOut => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            // The real service throttled with 503, not 429, and without `Retry-After` (SMAPI §4).
            Self::ServerBusy | Self::TooManyRequests => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An error as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// What kind.
    pub code: ErrorCode,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl ApiError {
    /// An error.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// 400 `BadRequest`.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// 404 `ResourceNotFound`.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFound, message)
    }

    /// 409 `ConflictError`.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ConflictError, message)
    }

    /// The element `Error`.
    #[must_use]
    pub fn element(&self) -> Element {
        Element::new("Error").with("Code", self.code).with("Message", &self.message)
    }
}
