//! One table maps what the engine says to what the protocol says. Internal detail stays in the log.

use welkin_storage::EngineError;
use welkin_storage::blob::BlobError;
use welkin_storage::blob::copy::CopyError;
use welkin_storage::blob::lease::{LeaseError, LeaseOf};
use welkin_storage_wire::{ErrorCode, ProtocolError};
use welkin_store::StoreError;

/// Anything that the engine says.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Of the engine beneath every noun.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Of containers and blobs.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// What the client is told.
#[must_use]
pub fn told(error: &ServiceError) -> ProtocolError {
    match error {
        ServiceError::Engine(error) => engine(error),
        ServiceError::Blob(error) => blob(error),
    }
}

/// What the client is told of an error beneath every noun. Those that are the server's own are logged here.
#[must_use]
pub fn engine(error: &EngineError) -> ProtocolError {
    match error {
        EngineError::Busy => ErrorCode::ServerBusy.into(),
        EngineError::Store(StoreError::Full) => ErrorCode::InsufficientStorage.into(),
        EngineError::Store(error @ StoreError::TooLarge { .. }) => {
            ProtocolError::saying(ErrorCode::RequestBodyTooLarge, error.to_string())
        }
        other => {
            let cause = std::error::Error::source(other).map(ToString::to_string);
            tracing::error!(error = %other, cause, "the engine failed");
            ErrorCode::InternalError.into()
        }
    }
}

fn blob(error: &BlobError) -> ProtocolError {
    match error {
        BlobError::ContainerNotFound => ErrorCode::ContainerNotFound.into(),
        BlobError::ContainerAlreadyExists => ErrorCode::ContainerAlreadyExists.into(),
        BlobError::BlobNotFound => ErrorCode::BlobNotFound.into(),
        BlobError::BlobAlreadyExists => ErrorCode::BlobAlreadyExists.into(),
        BlobError::OverwriteNotAllowed => ErrorCode::UnauthorizedBlobOverwrite.into(),
        BlobError::ConditionNotMet => ErrorCode::ConditionNotMet.into(),
        BlobError::NotModified => ErrorCode::NotModified.into(),
        BlobError::InvalidBlockList => ErrorCode::InvalidBlockList.into(),
        BlobError::BlockIdLengthDiffers => ErrorCode::InvalidBlobOrBlock.into(),
        BlobError::InvalidBlobType => ErrorCode::InvalidBlobType.into(),
        BlobError::InvalidBlobTier => ErrorCode::InvalidBlobTier.into(),
        BlobError::LowerTier => ErrorCode::CannotChangeToLowerTier.into(),
        BlobError::Archived => ErrorCode::BlobArchived.into(),
        BlobError::Sealed => ErrorCode::BlobIsSealed.into(),
        BlobError::TooManyBlocks => ErrorCode::BlockCountExceedsLimit.into(),
        BlobError::AppendPositionDiffers => ErrorCode::AppendPositionConditionNotMet.into(),
        BlobError::LengthMaxExceeded => ErrorCode::MaxBlobSizeConditionNotMet.into(),
        BlobError::InvalidPageRange => ErrorCode::InvalidPageRange.into(),
        BlobError::SequenceNumberDiffers => ErrorCode::SequenceNumberConditionNotMet.into(),
        BlobError::SequenceNumberTooLarge => ErrorCode::SequenceNumberIncrementTooLarge.into(),
        BlobError::PreviousSnapshotNotFound => ErrorCode::PreviousSnapshotNotFound.into(),
        BlobError::PreviousSnapshotNewer => ErrorCode::PreviousSnapshotCannotBeNewer.into(),
        BlobError::Overwritten => ErrorCode::BlobOverwritten.into(),
        BlobError::CustomerKeyNeeded => ErrorCode::BlobUsesCustomerSpecifiedEncryption.into(),
        BlobError::CustomerKeyDiffers => ErrorCode::BlobCustomerSpecifiedEncryptionMismatch.into(),
        BlobError::NoCustomerKey => ErrorCode::BlobDoesNotUseCustomerSpecifiedEncryption.into(),
        BlobError::Immutable => ErrorCode::BlobImmutableDueToPolicy.into(),
        BlobError::InvalidRange { length_bytes } => ProtocolError::from(ErrorCode::InvalidRange)
            .with_header("content-range", format!("bytes */{length_bytes}")),
        BlobError::SnapshotsPresent => ErrorCode::SnapshotsPresent.into(),
        BlobError::NotOnCurrent => ErrorCode::OperationNotAllowedOnRootBlob.into(),
        BlobError::PermanentDeleteNotAllowed => ProtocolError::saying(
            ErrorCode::InvalidQueryParameterValue,
            "The service properties do not allow that what is kept is deleted for good.",
        )
        .with_detail("QueryParameterName", "deletetype"),
        BlobError::InvalidMarker => ErrorCode::InvalidMarker.into(),
        BlobError::Copy(error) => copy(*error).into(),
        BlobError::Lease(error) => lease(*error).into(),
        BlobError::Engine(error) => engine(error),
    }
}

fn copy(error: CopyError) -> ErrorCode {
    match error {
        CopyError::Pending => ErrorCode::PendingCopyOperation,
        CopyError::NonePending => ErrorCode::NoPendingCopyOperation,
        CopyError::OtherPending => ErrorCode::CopyIdMismatch,
        CopyError::SourceNotSnapshot => ErrorCode::IncrementalCopySourceMustBeSnapshot,
        CopyError::OtherSource => ErrorCode::IncrementalCopyBlobMismatch,
        CopyError::EarlierSnapshot => ErrorCode::IncrementalCopyOfEralierVersionSnapshotNotAllowed,
        CopyError::IsIncremental => ErrorCode::OperationNotAllowedOnIncrementalCopyBlob,
    }
}

fn lease(error: LeaseError) -> ErrorCode {
    match error {
        LeaseError::AlreadyPresent => ErrorCode::LeaseAlreadyPresent,
        LeaseError::IdMismatch => ErrorCode::LeaseIdMismatchWithLeaseOperation,
        LeaseError::NotPresent => ErrorCode::LeaseNotPresentWithLeaseOperation,
        LeaseError::BreakingAndCannotBeAcquired => ErrorCode::LeaseIsBreakingAndCannotBeAcquired,
        LeaseError::BreakingAndCannotBeChanged => ErrorCode::LeaseIsBreakingAndCannotBeChanged,
        LeaseError::BrokenAndCannotBeRenewed => ErrorCode::LeaseIsBrokenAndCannotBeRenewed,
        LeaseError::IdMissing => ErrorCode::LeaseIdMissing,
        LeaseError::IdMismatchWith(LeaseOf::Blob) => ErrorCode::LeaseIdMismatchWithBlobOperation,
        LeaseError::IdMismatchWith(LeaseOf::Container) => ErrorCode::LeaseIdMismatchWithContainerOperation,
        LeaseError::NotPresentWith(LeaseOf::Blob) => ErrorCode::LeaseNotPresentWithBlobOperation,
        LeaseError::NotPresentWith(LeaseOf::Container) => ErrorCode::LeaseNotPresentWithContainerOperation,
        LeaseError::Lost => ErrorCode::LeaseLost,
    }
}
