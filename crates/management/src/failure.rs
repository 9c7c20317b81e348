//! Why a request or a step of an operation has no good end, and what the customer is told of it.

use welkin_management_wire::{ApiError, ErrorCode};
use welkin_store::{CommitError, StoreError};
use welkin_transport::CallError;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked is wrong: the customer is told as it is.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Another request changed the same thing at the same moment.
    #[error("another request came first")]
    Raced,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A row is not what this version writes.
    #[error("a row of {space} cannot be read")]
    Row {
        /// Its space.
        space: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The fabric controller.
    #[error("the fabric controller did not do it")]
    Fabric(#[source] CallError),
    /// The storage service.
    #[error("the storage service did not do it")]
    Storage(#[source] CallError),
    /// A file.
    #[error("cannot {doing}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Raced,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

impl Failure {
    /// What the customer is told. What is nobody's business but the operator's goes to the log, here.
    pub fn told(self) -> ApiError {
        let busy = |part| {
            let message = format!("the {part} does not answer; try again in a moment");
            ApiError::new(ErrorCode::ServerBusy, message)
        };
        let told = match &self {
            Self::Api(error) => return error.clone(),
            Self::Raced => return ApiError::conflict("another request changed the same resource; try again"),
            Self::Fabric(error) if is_silence(error) => busy("fabric controller"),
            Self::Storage(error) if is_silence(error) => busy("storage service"),
            Self::Store(_) | Self::Row { .. } | Self::Fabric(_) | Self::Storage(_) | Self::File { .. } => {
                let message = "the service failed; its log has the reason under the id of this request";
                ApiError::new(ErrorCode::InternalError, message)
            }
        };
        tracing::error!(error = chain(&self), "failed");
        told
    }

    /// Whether the same call may well succeed later: nobody answered, or with a failure of its own.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Fabric(error) | Self::Storage(error) => is_silence(error),
            Self::Api(_) | Self::Raced | Self::Store(_) | Self::Row { .. } | Self::File { .. } => false,
        }
    }
}

fn is_silence(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { .. } | CallError::TimedOut { .. } => true,
        CallError::Refused { status, .. } => status.is_server_error(),
        CallError::TooLarge | CallError::Malformed(_) => false,
    }
}

/// An error with all that caused it, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
