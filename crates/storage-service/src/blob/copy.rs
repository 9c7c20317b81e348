//! Copies: Copy Blob, Copy Blob From URL, Abort Copy Blob, Incremental Copy Blob, and what is put from a URL.

mod pending;

use http::{Response, StatusCode};
use uuid::Uuid;
use welkin_storage::blob::Revision;
use welkin_storage::blob::copy::{CopyPiece, Layout, Pieces};
use welkin_storage::blob::state::{BlobRecord, BlobType, CopyState, CopyStatus, Encryption};
use welkin_storage::blob::write::NewBlob;
use welkin_storage_wire::blob::copy::SourceUrl;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};
use welkin_transport::Body;

use super::properties::{CONTENT_TYPE_DEFAULT, copy_status_text, of_set, set_state, set_version};
use super::source::{self, Described, Local, Read, Source};
use super::write::{checked_target, new_blob, put_content, without_body, written_blob};
use super::{Answer, Target, append, block_list, conditions, current_target, hash, page, told};
use crate::answer::{empty, set};
use crate::context::{Context, RequestBody};
use crate::copies::foreign;

use pending::Bytes;
pub(crate) use pending::resume;

/// The largest source of Copy Blob From URL (STORAGE, section 3).
const SYNCHRONOUS_BYTES_MAX: u64 = 256 << 20;
/// A copy of at most this much within the server is carried out before it is answered.
const AT_ONCE_BYTES_MAX: u64 = 4 << 20;

/// Put Blob From URL.
pub(super) async fn put_blob(context: &Context, body: &RequestBody) -> Answer {
    let put = put_from_url(context, body, false).await?;
    let mut response = written_blob(StatusCode::CREATED, &put.0);
    hash::tell(&mut response, &put.1);
    Ok(response)
}

/// Copy Blob From URL.
pub(super) async fn copy_from_url(context: &Context, body: &RequestBody) -> Answer {
    let (blob, hashes) = put_from_url(context, body, true).await?;
    let mut response = accepted(&blob);
    hash::tell(&mut response, &hashes);
    Ok(response)
}

/// Put Block From URL.
pub(super) async fn put_block(context: &Context, body: &RequestBody) -> Answer {
    block_list::put_block(context, &mut part(context, body).await?).await
}

/// Append Block From URL.
pub(super) async fn append(context: &Context, body: &RequestBody) -> Answer {
    append::append(context, &mut part(context, body).await?).await
}

/// Put Page From URL.
pub(super) async fn put_page(context: &Context, body: &RequestBody) -> Answer {
    page::put_page(context, &mut part(context, body).await?).await
}

/// The range of the source that the request names, in place of the body that it must not have.
async fn part(context: &Context, body: &RequestBody) -> Result<RequestBody, ProtocolError> {
    without_body(body)?;
    Ok(Source::read(context, source::asked_range(context)?).await?.body)
}

/// What is put from a URL as a whole; `copies` for Copy Blob From URL, which takes block blobs only.
async fn put_from_url(
    context: &Context,
    body: &RequestBody,
    copies: bool,
) -> Result<(BlobRecord, welkin_storage::blob::hash::Hashes), ProtocolError> {
    without_body(body)?;
    let target = checked_target(context)?;
    let mut new = new_blob(context, &target).await?;
    let url = SourceUrl::of(&context.head)?;
    let Read { described, blob_type, mut body } = Source::read(context, None).await?;
    if copies && blob_type != BlobType::Block {
        return Err(ErrorCode::InvalidSourceBlobType.into());
    }
    let md5 = described.properties.content_md5;
    let all = copies || flag(&context.head, "x-ms-copy-source-blob-properties")?.unwrap_or(true);
    describe(&context.head, &mut new, described, all)?;
    let bytes_max = match copies {
        true => SYNCHRONOUS_BYTES_MAX,
        false => super::limit::put_blob_bytes_max(&context.head.version),
    };
    if copies {
        let copy = begun(&url, body.length_bytes().unwrap_or(0));
        new.copy = Some(copy.ended(CopyStatus::Success, context.now));
    }
    // The source's MD5 is of the same bytes; where it is wrong there, it would be wrong here.
    if new.properties.content_md5 == md5 {
        new.properties.content_md5 = None;
    }
    put_content(context, &target, new, &mut body, bytes_max).await
}

/// Copy Blob.
pub(super) async fn copy(context: &Context, body: &RequestBody) -> Answer {
    without_body(body)?;
    let target = checked_target(context)?;
    let new = new_copy(context, &target).await?;
    let url = SourceUrl::of(&context.head)?;
    match Source::find(context, &url, None).await? {
        Source::Local(local) => copy_local(context, target, new, &url, &local).await,
        Source::Foreign(answer) => copy_foreign(context, target, new, &url, answer).await,
    }
}

async fn copy_local(
    context: &Context,
    target: Target,
    mut new: NewBlob,
    url: &SourceUrl,
    local: &Local,
) -> Answer {
    let source = local.open(context, new.tier).await?;
    let blob = &source.blob;
    check_tier(&new, blob)?;
    describe(&context.head, &mut new, local.describe(blob), true)?;
    let copy = begun(url, blob.length_bytes);
    if local.is_within(context, &target) {
        let copy = Some(copy.clone().ended(CopyStatus::Success, context.now));
        let (new, state) = (NewBlob { copy, ..new.clone() }, (local.revision(), blob.etag));
        let done = context.storage.copy_within(target.path(context), state, &new, context.now);
        if let Some(blob) = done.await.map_err(told)? {
            return Ok(accepted(&blob));
        }
    }
    new.copy = Some(copy);
    let named = Some(local.named(blob));
    let at_once = blob.length_bytes <= AT_ONCE_BYTES_MAX;
    let layout = sealed(&context.head, source.layout)?;
    let bytes = Bytes::All { layout, pieces: Pieces::of(source.reader), source: named };
    pending::start(context, target, new, bytes, at_once).await.map(|blob| accepted(&blob))
}

async fn copy_foreign(
    context: &Context,
    target: Target,
    mut new: NewBlob,
    url: &SourceUrl,
    answer: foreign::Answer,
) -> Answer {
    describe(&context.head, &mut new, source::describe(answer.headers())?, true)?;
    new.copy = Some(begun(url, answer.length_bytes().unwrap_or(0)));
    let layout = sealed(&context.head, layout_of(&answer)?)?;
    let bytes = Bytes::All { layout, pieces: pieces_of(answer), source: None };
    pending::start(context, target, new, bytes, false).await.map(|blob| accepted(&blob))
}

/// Incremental Copy Blob.
pub(super) async fn incremental(context: &Context, body: &RequestBody) -> Answer {
    without_body(body)?;
    let target = checked_target(context)?;
    let mut new = new_copy(context, &target).await?;
    let url = SourceUrl::of(&context.head)?;
    let Source::Local(local) = Source::find(context, &url, None).await? else {
        let why = "The source of an incremental copy must be a blob of this server.";
        return Err(ProtocolError::saying(ErrorCode::CannotVerifyCopySource, why));
    };
    let blob = local.open(context, None).await?.blob;
    if blob.blob_type() != BlobType::Page || local.revision() == Revision::Current {
        return Err(ErrorCode::IncrementalCopySourceMustBeSnapshot.into());
    }
    new.properties = blob.properties.clone();
    new.metadata.clone_from(&blob.metadata);
    new.copy = Some(begun(&url, blob.length_bytes));
    let bytes = Bytes::Changed { account: Box::new(local.account.clone()), source: local.named(&blob) };
    pending::start(context, target, new, bytes, false).await.map(|blob| accepted(&blob))
}

/// Abort Copy Blob.
pub(super) async fn abort(context: &Context, body: &RequestBody) -> Answer {
    without_body(body)?;
    const ACTION: &str = "x-ms-copy-action";
    match context.head.header(ACTION)? {
        Some(text) if text.eq_ignore_ascii_case("abort") => {}
        Some(other) => return Err(ProtocolError::header(ACTION, other)),
        None => return Err(ProtocolError::missing_header(ACTION)),
    }
    let missing = || ProtocolError::from(ErrorCode::MissingRequiredQueryParameter);
    let id = context.head.query.get_filled("copyid").ok_or_else(missing)?;
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    context.storage.abort_copy(target.path(context), id, &conditions, context.now).await.map_err(told)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What the blob is to have that is copied to, by the request's headers.
async fn new_copy(context: &Context, target: &Target) -> Result<NewBlob, ProtocolError> {
    let new = new_blob(context, target).await?;
    match new.encryption {
        // The copy goes on when the request, and the key with it, is gone.
        Encryption::CustomerKey(_) => Err(ProtocolError::from(ErrorCode::UnsupportedHeader)
            .with_detail("HeaderName", "x-ms-encryption-key")),
        Encryption::Account | Encryption::Scope(_) => Ok(new),
    }
}

fn begun(url: &SourceUrl, total_bytes: u64) -> CopyState {
    CopyState::begun(Uuid::new_v4().to_string(), url.public(), total_bytes)
}

/// Gives the new blob what the source has and the request does not say otherwise.
fn describe(
    head: &RequestHead,
    new: &mut NewBlob,
    source: Described,
    copies: bool,
) -> Result<(), ProtocolError> {
    let (own, theirs) = (of_set(head)?, if copies { source.properties } else { Default::default() });
    let properties = &mut new.properties;
    properties.content_type = own.content_type.or(theirs.content_type);
    properties.content_type.get_or_insert_with(|| CONTENT_TYPE_DEFAULT.to_owned());
    properties.content_encoding = own.content_encoding.or(theirs.content_encoding);
    properties.content_language = own.content_language.or(theirs.content_language);
    properties.content_disposition = own.content_disposition.or(theirs.content_disposition);
    properties.cache_control = own.cache_control.or(theirs.cache_control);
    properties.content_md5 = own.content_md5.or(theirs.content_md5);
    if new.metadata.is_empty() {
        new.metadata = source.metadata;
    }
    if new.tags.is_empty() {
        new.tags = source.tags;
    }
    Ok(())
}

/// A header that says `true` or `false`.
fn flag(head: &RequestHead, name: &'static str) -> Result<Option<bool>, ProtocolError> {
    match head.header(name)? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(other) => Err(ProtocolError::header(name, other)),
    }
}

/// An append blob is sealed where the source is, unless the request says otherwise.
fn sealed(head: &RequestHead, mut layout: Layout) -> Result<Layout, ProtocolError> {
    let Some(asked) = flag(head, "x-ms-seal-blob")? else { return Ok(layout) };
    match &mut layout {
        Layout::Appended { sealed, .. } => *sealed = asked,
        _ if asked => return Err(ErrorCode::InvalidBlobType.into()),
        _ => {}
    }
    Ok(layout)
}

/// A tier is one of the source's type.
fn check_tier(new: &NewBlob, source: &BlobRecord) -> Result<(), ProtocolError> {
    new.tier.map_or(Ok(()), |tier| tier.check(source.blob_type())).map_err(told)
}

/// How the bytes of a source on another server are parted.
fn layout_of(answer: &foreign::Answer) -> Result<Layout, ProtocolError> {
    let length_bytes = answer.length_bytes();
    Ok(match source::blob_type(answer.headers()) {
        BlobType::Block => Layout::Whole { length_bytes },
        BlobType::Append => Layout::Appended { blocks_bytes: Vec::new(), sealed: false },
        BlobType::Page => {
            let length_bytes = length_bytes.ok_or(ErrorCode::CannotVerifyCopySource)?;
            Layout::Pages { length_bytes, sequence_number: 0 }
        }
    })
}

fn pieces_of(answer: foreign::Answer) -> Pieces {
    let (sender, pieces) = Pieces::channel();
    let mut body = answer.body();
    tokio::spawn(async move {
        while let Some(piece) = body.recv().await {
            let piece = piece.map(CopyPiece::Bytes);
            let piece = piece.map_err(|error| format!("The source broke off: {error}."));
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    pieces
}

fn accepted(blob: &BlobRecord) -> Response<Body> {
    let mut response = empty(StatusCode::ACCEPTED);
    set_state(&mut response, blob.etag, blob.modified);
    set_version(&mut response, blob.version);
    if let Some(copy) = &blob.copy {
        set(&mut response, "x-ms-copy-id", &copy.id);
        set(&mut response, "x-ms-copy-status", copy_status_text(copy.status));
    }
    response
}
