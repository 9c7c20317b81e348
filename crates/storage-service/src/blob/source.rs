//! The source of a copy: a blob of this server, or something on another one.

mod local;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use welkin_storage::blob::read::ByteRange;
use welkin_storage::blob::state::{BlobType, Properties};
use welkin_storage_wire::blob::copy::{self, SourceUrl};
use welkin_storage_wire::{ErrorCode, ProtocolError, metadata};

use super::properties;
use super::read::read_ahead;
use crate::context::{Context, RequestBody};
use crate::copies::foreign;

pub(super) use local::Local;

/// The header that says whether the source's tags are copied.
const TAG_OPTION: &str = "x-ms-copy-source-tag-option";

/// A source that the client may read.
#[derive(Debug)]
pub(super) enum Source {
    /// A blob of this server.
    Local(Box<Local>),
    /// What another server answers.
    Foreign(foreign::Answer),
}

/// What is known of a source beside its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    pub properties: Properties,
    pub metadata: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
}

/// Bytes of a source that are read at once, and what is known of it.
#[derive(Debug)]
pub(super) struct Read {
    pub described: Described,
    pub blob_type: BlobType,
    pub body: RequestBody,
}

impl Source {
    /// Finds the source, and sees that the client may read it. Of a source on another server, the range is asked
    /// for.
    ///
    /// # Errors
    /// With the source's own status when it cannot be read, or when other servers are not asked.
    pub(super) async fn find(
        context: &Context,
        url: &SourceUrl,
        range: Option<ByteRange>,
    ) -> Result<Self, ProtocolError> {
        if context.copies.is_own(&context.head, url) {
            return Ok(Self::Local(Box::new(Local::find(context, url, copies_tags(context)?).await?)));
        }
        let Some(client) = &context.copies.client else {
            let why = "The source is on another server, and the configuration does not permit to ask it \
                       (copy.foreign_sources).";
            return Err(ProtocolError::saying(ErrorCode::CannotVerifyCopySource, why));
        };
        if copies_tags(context)? {
            return Err(ProtocolError::header(TAG_OPTION, "COPY"));
        }
        client.get(url, foreign_headers(context)?, range).await.map(Self::Foreign)
    }

    /// The bytes of the source, or a range of them.
    ///
    /// # Errors
    /// When a condition on the source does not hold, or the range is outside.
    pub(super) async fn read(context: &Context, range: Option<ByteRange>) -> Result<Read, ProtocolError> {
        let url = SourceUrl::of(&context.head)?;
        match Self::find(context, &url, range).await? {
            Self::Local(local) => {
                let (blob, range, reader) = local.read(context, range).await?;
                let body = RequestBody::of_source(read_ahead(context, reader), Some(range.end - range.start));
                Ok(Read { blob_type: blob.blob_type(), described: local.describe(&blob), body })
            }
            Self::Foreign(answer) => {
                let (described, blob_type) = (describe(answer.headers())?, blob_type(answer.headers()));
                let length_bytes = answer.length_bytes();
                Ok(Read { described, blob_type, body: RequestBody::of_source(answer.body(), length_bytes) })
            }
        }
    }
}

/// The range that the request names: `x-ms-source-range`.
pub(super) fn asked_range(context: &Context) -> Result<Option<ByteRange>, ProtocolError> {
    let range = copy::source_range(&context.head)?;
    Ok(range.map(|(first, last)| ByteRange { first, last }))
}

/// Whether the source's tags are copied.
pub(super) fn copies_tags(context: &Context) -> Result<bool, ProtocolError> {
    match context.head.header(TAG_OPTION)? {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("REPLACE") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("COPY") => Ok(true),
        Some(other) => Err(ProtocolError::header(TAG_OPTION, other)),
    }
}

/// What another server is sent.
fn foreign_headers(context: &Context) -> Result<HeaderMap, ProtocolError> {
    let mut headers = copy::condition_headers(&context.head.headers);
    if let Some(token) = context.head.headers.get(copy::AUTHORIZATION) {
        headers.insert(AUTHORIZATION, token.clone());
        headers.insert(
            "x-ms-version",
            context.head.version.as_str().parse().map_err(|_| ErrorCode::InvalidInput)?,
        );
    }
    Ok(headers)
}

/// What the headers of another server say of a source.
pub(super) fn describe(headers: &HeaderMap) -> Result<Described, ProtocolError> {
    Ok(Described {
        properties: properties::of_answer(headers),
        metadata: metadata::of(headers).map_err(unreadable)?,
        tags: Vec::new(),
    })
}

/// The type of a blob on another server; all but blobs count as block blobs.
pub(super) fn blob_type(headers: &HeaderMap) -> BlobType {
    match headers.get("x-ms-blob-type").and_then(|text| text.to_str().ok()) {
        Some("AppendBlob") => BlobType::Append,
        Some("PageBlob") => BlobType::Page,
        _ => BlobType::Block,
    }
}

/// What the client is told of a source that cannot be read.
fn unreadable(error: ProtocolError) -> ProtocolError {
    let code = error.code();
    match code {
        ErrorCode::ConditionNotMet | ErrorCode::NotModified => ErrorCode::SourceConditionNotMet.into(),
        // They say more than that the source cannot be read.
        ErrorCode::InvalidRange | ErrorCode::PendingCopyOperation | ErrorCode::BlobArchived => error,
        _ if error.status().is_server_error() => error,
        _ => {
            let message = format!("The source of the copy cannot be read: {}", error.message());
            let told = ProtocolError::saying(ErrorCode::CannotVerifyCopySource, message);
            copy::of_source(told, error.status(), Some(error.code_text()))
        }
    }
}
