//! Page blobs.

use std::ops::Range;

use http::StatusCode;
use welkin_base::Timestamp;
use welkin_storage::blob::page::range::AskRanges;
use welkin_storage::blob::page::{
    PAGE_BLOB_BYTES_MAX, PAGE_BYTES, PageProperties, PageWrite, SEQUENCE_NUMBER_MAX, SequenceAction,
    SequenceConditions, UPDATE_BYTES_MAX,
};
use welkin_storage::blob::state::BlobRecord;
use welkin_storage_wire::blob::page_list;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};

use super::append::number;
use super::properties::{of_put, of_set, refuse_unbuilt, set_state};
use super::read::asked_range;
use super::write::{checked_target, new_blob, without_body, written, written_blob};
use super::{Answer, conditions, current_target, encryption, hash, target, told};
use crate::answer::{empty, set, xml};
use crate::context::{Context, RequestBody};

/// Ranges of one answer, where they can be had in parts (STORAGE, section 3: Get Page Ranges).
const RANGES_MAX: usize = 10_000;
/// Since this version they can.
const PARTS_SINCE: &str = "2020-10-02";
/// Headers that ask Set Blob Properties to replace all properties.
const PROPERTY_HEADERS: [&str; 6] = [
    "x-ms-blob-content-type",
    "x-ms-blob-content-encoding",
    "x-ms-blob-content-language",
    "x-ms-blob-content-disposition",
    "x-ms-blob-cache-control",
    "x-ms-blob-content-md5",
];

pub(super) async fn put(context: &Context, body: &RequestBody) -> Answer {
    without_body(body)?;
    let target = checked_target(context)?;
    let head = &context.head;
    let length_bytes = length(head)?.ok_or_else(|| ProtocolError::missing_header(LENGTH))?;
    let sequence_number = sequence_number(head)?.unwrap_or(0);
    let mut new = new_blob(context, &target).await?;
    new.properties = of_put(head)?;
    let path = target.path(context);
    let blob = context.storage.put_page_blob(path, length_bytes, sequence_number, &new, context.now);
    let blob = blob.await.map_err(told)?;
    Ok(written_blob(StatusCode::CREATED, &blob))
}

pub(super) async fn put_page(context: &Context, body: &mut RequestBody) -> Answer {
    refuse_unbuilt(&context.head)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let head = &context.head;
    let sequence = SequenceConditions {
        at_most: number(head, "x-ms-if-sequence-number-le")?,
        less_than: number(head, "x-ms-if-sequence-number-lt")?,
        equal: number(head, "x-ms-if-sequence-number-eq")?,
    };
    let range = page_range(context)?;
    let (write, hashes) = match head.header("x-ms-page-write")? {
        Some(text) if text.eq_ignore_ascii_case("update") => {
            let length_bytes = range.end - range.start;
            let most = usize::try_from(UPDATE_BYTES_MAX).unwrap_or(usize::MAX);
            if length_bytes > UPDATE_BYTES_MAX {
                return Err(ErrorCode::RequestBodyTooLarge.into());
            }
            let bytes = body.whole(most).await?;
            if bytes.len() as u64 != length_bytes {
                return Err(ProtocolError::header("Content-Length", &bytes.len().to_string()));
            }
            let hashes = hash::of_body(head, &bytes)?;
            (PageWrite::Update(bytes), hashes)
        }
        Some(text) if text.eq_ignore_ascii_case("clear") => {
            without_body(body)?;
            (PageWrite::Clear, Default::default())
        }
        Some(other) => return Err(ProtocolError::header("x-ms-page-write", other)),
        None => return Err(ProtocolError::missing_header("x-ms-page-write")),
    };
    let path = target.path(context);
    let blob = context.storage.put_pages(path, range, &write, &sequence, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = written(StatusCode::CREATED);
    set_state(&mut response, blob.etag, blob.modified);
    set_sequence_number(&mut response, &blob);
    hash::tell(&mut response, &hashes);
    encryption::tell_written(&mut response, &blob.encryption);
    Ok(response)
}

/// Set Blob Properties, where it changes the length or the sequence number.
pub(super) async fn set_properties(context: &Context) -> Answer {
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let head = &context.head;
    let all = PROPERTY_HEADERS.iter().any(|name| head.headers.contains_key(*name));
    let change = PageProperties {
        properties: if all { Some(of_set(head)?) } else { None },
        length_bytes: length(head)?,
        sequence: sequence_action(head)?,
    };
    let blob = context.storage.set_page_properties(target.path(context), &change, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    set_sequence_number(&mut response, &blob);
    Ok(response)
}

pub(super) async fn ranges(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let query = &context.head.query;
    let paged = context.head.version.as_str() >= PARTS_SINCE;
    let from = match query.get_filled("marker") {
        Some(text) => text.parse().map_err(|_| ProtocolError::query("marker", text))?,
        None => 0,
    };
    let ranges_max = match query.number("maxresults")? {
        None if paged => RANGES_MAX,
        None => usize::MAX,
        Some(number) => match usize::try_from(number) {
            Ok(number @ 1..) => number.min(RANGES_MAX),
            _ => return Err(ErrorCode::OutOfRangeQueryParameterValue.into()),
        },
    };
    let ask = AskRanges { range: asked_range(context)?, from, ranges_max, previous: previous(context)? };
    let path = target.path(context);
    let found = context.storage.page_ranges(path, target.revision, &ask, &conditions, context.now);
    let found = found.await.map_err(told)?;
    let ranges = found.ranges.iter().map(|range| page_list::Line {
        first: range.bytes.start,
        last: range.bytes.end - 1,
        cleared: range.cleared,
    });
    let mut response = xml(StatusCode::OK, page_list::write(ranges, found.next));
    set_state(&mut response, found.blob.etag, found.blob.modified);
    set(&mut response, LENGTH, &found.blob.length_bytes.to_string());
    Ok(response)
}

/// The snapshot that `prevsnapshot` names, or the URL in `x-ms-previous-snapshot-url`.
fn previous(context: &Context) -> Result<Option<Timestamp>, ProtocolError> {
    const URL: &str = "x-ms-previous-snapshot-url";
    let moment = |text: &str| Timestamp::parse_rfc3339(text).ok();
    if let Some(text) = context.head.query.get_filled("prevsnapshot") {
        return moment(text).map(Some).ok_or_else(|| ProtocolError::query("prevsnapshot", text));
    }
    let Some(url) = context.head.header(URL)? else { return Ok(None) };
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = welkin_storage_wire::query::Query::parse(query)?;
    let snapshot = query.get_filled("snapshot").and_then(moment);
    snapshot.map(Some).ok_or_else(|| ProtocolError::header(URL, url))
}

const LENGTH: &str = "x-ms-blob-content-length";
const SEQUENCE_NUMBER: &str = "x-ms-blob-sequence-number";
const SEQUENCE_ACTION: &str = "x-ms-sequence-number-action";

/// Whether Set Blob Properties asks for something that only page blobs have.
pub(super) fn is_asked(head: &RequestHead) -> bool {
    head.headers.contains_key(LENGTH) || head.headers.contains_key(SEQUENCE_ACTION)
}

fn length(head: &RequestHead) -> Result<Option<u64>, ProtocolError> {
    match number(head, LENGTH)? {
        Some(bytes) if bytes > PAGE_BLOB_BYTES_MAX || !bytes.is_multiple_of(PAGE_BYTES) => {
            Err(ProtocolError::header(LENGTH, &bytes.to_string()))
        }
        length => Ok(length),
    }
}

fn sequence_number(head: &RequestHead) -> Result<Option<u64>, ProtocolError> {
    match number(head, SEQUENCE_NUMBER)? {
        Some(number) if number > SEQUENCE_NUMBER_MAX => {
            Err(ProtocolError::header(SEQUENCE_NUMBER, &number.to_string()))
        }
        number => Ok(number),
    }
}

fn sequence_action(head: &RequestHead) -> Result<Option<SequenceAction>, ProtocolError> {
    let number = sequence_number(head)?;
    let needed = || number.ok_or_else(|| ProtocolError::missing_header(SEQUENCE_NUMBER));
    match head.header(SEQUENCE_ACTION)? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("max") => needed().map(|n| Some(SequenceAction::Max(n))),
        Some(text) if text.eq_ignore_ascii_case("update") => {
            needed().map(|n| Some(SequenceAction::Update(n)))
        }
        Some(text) if text.eq_ignore_ascii_case("increment") => match number {
            None => Ok(Some(SequenceAction::Increment)),
            Some(number) => Err(ProtocolError::header(SEQUENCE_NUMBER, &number.to_string())),
        },
        Some(other) => Err(ProtocolError::header(SEQUENCE_ACTION, other)),
    }
}

fn page_range(context: &Context) -> Result<Range<u64>, ProtocolError> {
    match asked_range(context)? {
        Some(range) => {
            let last = range.last.ok_or(ErrorCode::InvalidPageRange)?;
            let end = last.checked_add(1).ok_or(ErrorCode::InvalidPageRange)?;
            Ok(range.first..end)
        }
        None if context.head.headers.contains_key("range")
            || context.head.headers.contains_key("x-ms-range") =>
        {
            Err(ErrorCode::InvalidPageRange.into())
        }
        None => Err(ProtocolError::missing_header("Range")),
    }
}

fn set_sequence_number(response: &mut http::Response<welkin_transport::Body>, blob: &BlobRecord) {
    if let Some(number) = blob.sequence_number() {
        set(response, SEQUENCE_NUMBER, &number.to_string());
    }
}
