//! A blob's properties between headers and values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response};
use welkin_base::Timestamp;
use welkin_storage::blob::condition::{ETag, etag_text};
use welkin_storage::blob::state::{AccessTier, BlobRecord, BlobType, CopyStatus, Properties};
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead, metadata};
use welkin_transport::Body;

use super::immutability;
use crate::answer::{http_date, set, set_named};

/// What a blob has whose client said nothing.
pub(super) const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";
/// Characters of one property.
const PROPERTY_CHARS_MAX: usize = 1024;
/// Headers that ask for something that is not built. They are refused, since to ignore them would be to lie.
const REFUSED: [&str; 1] = ["x-ms-structured-body"];

/// Refuses what cannot be kept.
pub(super) fn refuse_unbuilt(head: &RequestHead) -> Result<(), ProtocolError> {
    match REFUSED.iter().find(|name| head.headers.contains_key(**name)) {
        Some(name) => {
            let why = format!("The header {name} asks for something that is not built in this server.");
            Err(ProtocolError::saying(ErrorCode::UnsupportedHeader, why).with_detail("HeaderName", name))
        }
        None => Ok(()),
    }
}

/// The properties of a blob that is put: `x-ms-blob-*`, or else the plain headers.
pub(super) fn of_put(head: &RequestHead) -> Result<Properties, ProtocolError> {
    let either = |own: &'static str, plain: &'static str| match field(head, own)? {
        Some(value) => Ok(Some(value)),
        None => field(head, plain),
    };
    Ok(Properties {
        content_type: Some(
            either("x-ms-blob-content-type", "content-type")?.unwrap_or(CONTENT_TYPE_DEFAULT.to_owned()),
        ),
        content_encoding: either("x-ms-blob-content-encoding", "content-encoding")?,
        content_language: either("x-ms-blob-content-language", "content-language")?,
        content_disposition: field(head, "x-ms-blob-content-disposition")?,
        cache_control: either("x-ms-blob-cache-control", "cache-control")?,
        content_md5: md5(head, "x-ms-blob-content-md5")?,
    })
}

/// The properties that Set Blob Properties and Put Block List give: only `x-ms-blob-*`.
pub(super) fn of_set(head: &RequestHead) -> Result<Properties, ProtocolError> {
    Ok(Properties {
        content_type: field(head, "x-ms-blob-content-type")?,
        content_encoding: field(head, "x-ms-blob-content-encoding")?,
        content_language: field(head, "x-ms-blob-content-language")?,
        content_disposition: field(head, "x-ms-blob-content-disposition")?,
        cache_control: field(head, "x-ms-blob-cache-control")?,
        content_md5: md5(head, "x-ms-blob-content-md5")?,
    })
}

/// What another server's answer says of what it sends. What cannot be understood there counts as not said.
pub(super) fn of_answer(headers: &HeaderMap) -> Properties {
    let field = |name: &str| {
        let text = std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?.trim();
        (1..=PROPERTY_CHARS_MAX).contains(&text.chars().count()).then(|| text.to_owned())
    };
    let md5 = field("content-md5").and_then(|text| STANDARD.decode(text).ok());
    Properties {
        content_type: field("content-type"),
        content_encoding: field("content-encoding"),
        content_language: field("content-language"),
        content_disposition: field("content-disposition"),
        cache_control: field("cache-control"),
        content_md5: md5.and_then(|bytes| bytes.try_into().ok()),
    }
}

fn field(head: &RequestHead, name: &'static str) -> Result<Option<String>, ProtocolError> {
    let Some(value) = head.headers.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| ProtocolError::header(name, ""))?.trim();
    match text.chars().count() {
        0 => Ok(None),
        1..=PROPERTY_CHARS_MAX => Ok(Some(text.to_owned())),
        _ => Err(ProtocolError::header(name, text)),
    }
}

/// An MD5 in a header, in base64.
pub(super) fn md5(head: &RequestHead, name: &'static str) -> Result<Option<[u8; 16]>, ProtocolError> {
    let Some(text) = head.header(name)?.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    bytes.map(Some).ok_or_else(|| ProtocolError::from(ErrorCode::InvalidMd5).with_detail("HeaderName", name))
}

/// An MD5 as headers have it.
pub(super) fn md5_text(md5: &[u8; 16]) -> String {
    STANDARD.encode(md5)
}

/// Sets `ETag` and `Last-Modified`.
pub(super) fn set_state(response: &mut Response<Body>, etag: ETag, modified: Timestamp) {
    set(response, "etag", &etag_text(etag));
    set(response, "last-modified", &http_date(modified));
}

/// Sets the version id of a blob that has one.
pub(super) fn set_version(response: &mut Response<Body>, version: Option<Timestamp>) {
    if let Some(version) = version {
        set(response, "x-ms-version-id", &version.to_iso7());
    }
}

/// Sets metadata headers.
pub(super) fn set_metadata(response: &mut Response<Body>, pairs: &[(String, String)]) {
    for (name, value) in pairs {
        set_named(response, &format!("{}{name}", metadata::PREFIX), value);
    }
}

/// Sets everything that Get Blob and Get Blob Properties say of a blob. `whole` is false for a part of it: the
/// MD5 is then that of the whole blob, under another name.
pub(super) fn set_all(response: &mut Response<Body>, blob: &BlobRecord, whole: bool, now: Timestamp) {
    set_state(response, blob.etag, blob.modified);
    set_metadata(response, &blob.metadata);
    let properties = &blob.properties;
    let md5 = properties.content_md5.as_ref().map(md5_text);
    let md5_name = if whole { "content-md5" } else { "x-ms-blob-content-md5" };
    for (name, value) in [
        ("content-type", &properties.content_type),
        ("content-encoding", &properties.content_encoding),
        ("content-language", &properties.content_language),
        ("content-disposition", &properties.content_disposition),
        ("cache-control", &properties.cache_control),
        (md5_name, &md5),
    ] {
        if let Some(value) = value {
            set(response, name, value);
        }
    }
    set(response, "accept-ranges", "bytes");
    set(response, "x-ms-creation-time", &http_date(blob.created));
    set(response, "x-ms-blob-type", type_text(blob.blob_type()));
    super::lease::set_lease(response, blob.lease.as_ref(), now);
    set_version(response, blob.version);
    if blob.version.is_some() && !blob.superseded {
        set(response, "x-ms-is-current-version", "true");
    }
    super::encryption::tell_blob(response, &blob.encryption);
    set_kind(response, blob);
    set_tier(response, blob);
    set_copy(response, blob);
    immutability::set_protection(response, blob);
    if let Some(expires) = blob.expires {
        set(response, "x-ms-expiry-time", &http_date(expires));
    }
    if !blob.tags.is_empty() {
        set(response, "x-ms-tag-count", &blob.tags.len().to_string());
    }
}

/// The type of a blob as the wire spells it.
pub(super) fn type_text(blob_type: BlobType) -> &'static str {
    match blob_type {
        BlobType::Block => "BlockBlob",
        BlobType::Append => "AppendBlob",
        BlobType::Page => "PageBlob",
    }
}

/// Sets what only append blobs, or only page blobs, have.
fn set_kind(response: &mut Response<Body>, blob: &BlobRecord) {
    if let Some((blocks, sealed)) = blob.appended() {
        set(response, "x-ms-blob-committed-block-count", &blocks.to_string());
        if sealed {
            set(response, "x-ms-blob-sealed", "true");
        }
    }
    if let Some(number) = blob.sequence_number() {
        set(response, "x-ms-blob-sequence-number", &number.to_string());
    }
}

fn set_tier(response: &mut Response<Body>, blob: &BlobRecord) {
    match (blob.tier.access, blob.blob_type()) {
        (Some(tier), _) => set(response, "x-ms-access-tier", &tier.to_string()),
        (None, BlobType::Block) => {
            set(response, "x-ms-access-tier", &AccessTier::Hot.to_string());
            set(response, "x-ms-access-tier-inferred", "true");
        }
        (None, _) => {}
    }
    if let Some(changed) = blob.tier.changed {
        set(response, "x-ms-access-tier-change-time", &http_date(changed));
    }
}

/// Sets what the last copy to the blob came to.
fn set_copy(response: &mut Response<Body>, blob: &BlobRecord) {
    let Some(copy) = &blob.copy else { return };
    set(response, "x-ms-copy-id", &copy.id);
    set(response, "x-ms-copy-source", &copy.source);
    set(response, "x-ms-copy-status", copy_status_text(copy.status));
    set(response, "x-ms-copy-progress", &format!("{}/{}", copy.copied_bytes, copy.total_bytes));
    if let Some(completed) = copy.completed {
        set(response, "x-ms-copy-completion-time", &http_date(completed));
    }
    if let Some(description) = &copy.description {
        set(response, "x-ms-copy-status-description", description);
    }
    if let Some(incremental) = copy.incremental {
        set(response, "x-ms-incremental-copy", "true");
        if let Some(snapshot) = incremental.snapshot {
            set(response, "x-ms-copy-destination-snapshot", &snapshot.to_iso7());
        }
    }
}

/// How far a copy is, as the wire spells it.
pub(super) fn copy_status_text(status: CopyStatus) -> &'static str {
    match status {
        CopyStatus::Pending => "pending",
        CopyStatus::Success => "success",
        CopyStatus::Aborted => "aborted",
        CopyStatus::Failed => "failed",
    }
}
