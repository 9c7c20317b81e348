//! Reading blobs.

use std::io;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::Instrument as _;
use welkin_storage::blob::hash::{Hasher, Wanted};
use welkin_storage::blob::read::{BlobReader, ByteRange};
use welkin_storage::blob::state::BlobRecord;
use welkin_storage_wire::{ErrorCode, ProtocolError, range};
use welkin_transport::Body;

use super::properties::{refuse_unbuilt, set_all, set_metadata, set_state};
use super::{Answer, conditions, hash, target, told};
use crate::answer::{empty, set};
use crate::context::{Authorization, Context};

/// A range's hash is computed for ranges of up to this length (STORAGE, section 3: Get Blob).
const RANGE_HASH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Pieces that are read ahead of the client.
const READ_AHEAD: usize = 4;
/// How large these are: what the engine reads at once.
const PIECE_BYTES: usize = 256 * 1024;
/// How large they are when there is no room to read ahead: 10,000 clients that are read for in this way have less than
/// 1 GiB on their way.
const SMALL_PIECE_BYTES: usize = 64 * 1024;
/// Query parameters of a SAS that replace headers of the answer.
const OVERRIDES: [(&str, &str); 5] = [
    ("rscc", "cache-control"),
    ("rscd", "content-disposition"),
    ("rsce", "content-encoding"),
    ("rscl", "content-language"),
    ("rsct", "content-type"),
];

pub(super) async fn get(context: &Context) -> Answer {
    refuse_unbuilt(&context.head)?;
    let (target, conditions) = (target(context)?, conditions(context)?);
    let asked = asked_range(context)?;
    let wanted = wanted_hashes(context, asked)?;
    let path = target.path(context);
    let read = context.storage.read_blob(path, target.revision, asked, &conditions, context.now);
    let (blob, range, mut reader) = read.await.map_err(told)?;
    let length_bytes = range.end - range.start;
    let (body, hashes) = match wanted != Wanted::default() {
        true => {
            let bytes = read_whole(&mut reader).await?;
            let hashes = Hasher::of(wanted, &bytes);
            (welkin_transport::full(bytes), hashes)
        }
        false => (channel_body(read_ahead(context, reader)), Default::default()),
    };
    let mut response = Response::new(body);
    set_all(&mut response, &blob, asked.is_none(), context.now);
    if asked.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{}", range.start, blob.length_bytes);
        set(&mut response, "content-range", &text);
    }
    hash::tell(&mut response, &hashes);
    set(&mut response, "content-length", &length_bytes.to_string());
    override_headers(context, &mut response);
    Ok(response)
}

pub(super) async fn properties(context: &Context) -> Answer {
    let blob = find(context).await?;
    let mut response = empty(StatusCode::OK);
    set_all(&mut response, &blob, true, context.now);
    set(&mut response, "content-length", &blob.length_bytes.to_string());
    override_headers(context, &mut response);
    Ok(response)
}

pub(super) async fn metadata(context: &Context) -> Answer {
    let blob = find(context).await?;
    let mut response = empty(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    set_metadata(&mut response, &blob.metadata);
    Ok(response)
}

async fn find(context: &Context) -> Result<BlobRecord, ProtocolError> {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let path = target.path(context);
    context.storage.blob(path, target.revision, &conditions, context.now).await.map_err(told)
}

/// `x-ms-range`, or else `Range`. A malformed one counts as none.
pub(super) fn asked_range(context: &Context) -> Result<Option<ByteRange>, ProtocolError> {
    let text = match context.head.header("x-ms-range")? {
        Some(text) => Some(text),
        None => context.head.header("range")?,
    };
    Ok(text.and_then(range::parse).map(|(first, last)| ByteRange { first, last }))
}

/// The hash of the range that the client asks for.
fn wanted_hashes(context: &Context, asked: Option<ByteRange>) -> Result<Wanted, ProtocolError> {
    const MD5: &str = "x-ms-range-get-content-md5";
    const CRC64: &str = "x-ms-range-get-content-crc64";
    let asks = |name| {
        let value = context.head.header(name)?;
        Ok::<_, ProtocolError>(value.is_some_and(|value| value.eq_ignore_ascii_case("true")))
    };
    let wanted = Wanted { md5: asks(MD5)?, crc64: asks(CRC64)? };
    let name = match (wanted.md5, wanted.crc64) {
        (false, false) => return Ok(wanted),
        (true, false) => MD5,
        (false, true) => CRC64,
        (true, true) => {
            let why = "Only one hash of a range can be had at a time.";
            return Err(ProtocolError::saying(ErrorCode::InvalidInput, why));
        }
    };
    let length = asked.and_then(|range| range.last.map(|last| last.saturating_sub(range.first)));
    match length {
        Some(length) if length < RANGE_HASH_BYTES_MAX => Ok(wanted),
        _ => Err(ProtocolError::header(name, "true")),
    }
}

async fn read_whole(reader: &mut BlobReader) -> Result<Vec<u8>, ProtocolError> {
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await.map_err(told)? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

/// The bytes, read a little ahead of the client while there is room for that, and else when the client took what was
/// read before. An error breaks the connection: the client sees fewer bytes than were announced, never wrong ones.
pub(super) fn read_ahead(context: &Context, mut reader: BlobReader) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let admission = context.admission.clone();
    let read = async move {
        loop {
            let room = admission.room(PIECE_BYTES);
            if room.is_none() && sender.reserve_many(READ_AHEAD).await.is_err() {
                return;
            }
            let bytes_max = if room.is_some() { PIECE_BYTES } else { SMALL_PIECE_BYTES };
            let piece = match reader.next_of(bytes_max as u64).await {
                Ok(Some(bytes)) => Ok(Bytes::from_owner(Roomed { bytes, _room: room })),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read a blob");
                    Err(io::Error::other("the blob cannot be read"))
                }
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                // The client went away, or will.
                return;
            }
        }
    };
    tokio::spawn(read.in_current_span());
    receiver
}

/// Bytes, and their part of the room for reading ahead, until they are sent.
struct Roomed {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body of what comes through the channel.
pub(super) fn channel_body(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    let next = |mut receiver: mpsc::Receiver<_>| async move { Some((receiver.recv().await?, receiver)) };
    welkin_transport::stream(futures_util::stream::unfold(receiver, next))
}

fn override_headers(context: &Context, response: &mut Response<Body>) {
    if !matches!(context.authorization, Authorization::Sas { .. }) {
        return;
    }
    for (parameter, header) in OVERRIDES {
        if let Some(value) = context.head.query.get_filled(parameter) {
            set(response, header, value);
        }
    }
}
