//! Listing containers and blobs.

use http::StatusCode;
use welkin_base::Timestamp;
use welkin_storage::blob::Revision;
use welkin_storage::blob::condition::etag_text;
use welkin_storage::blob::container::{ListContainers, ListedContainer};
use welkin_storage::blob::lease::Lease;
use welkin_storage::blob::list::{ListBlobs, Listed, ListedBlob, Show};
use welkin_storage::blob::state::{AccessTier, BlobRecord, BlobType, CopyState, Encryption, SoftDeleted};
use welkin_storage_wire::ProtocolError;
use welkin_storage_wire::blob::list::{Line, ListQuery, write};

use super::container::{access_text, container_name, deletion_text, scope_text};
use super::lease::texts;
use super::properties::{copy_status_text, md5_text, type_text};
use super::{Answer, told};
use crate::answer::{http_date, xml};
use crate::context::Context;

/// Seconds of a day.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Elements of a line.
type Elements = Vec<(&'static str, String)>;

pub(super) async fn containers(context: &Context) -> Answer {
    let ask = ListQuery::of(&context.head.query)?;
    let list = ListContainers {
        prefix: ask.prefix.clone(),
        marker: ask.marker.clone(),
        items_max: ask.results_max,
        deleted: ask.includes("deleted"),
        system: ask.includes("system"),
    };
    let page = context.storage.list_containers(context.account.uid, &list, context.now);
    let page = page.await.map_err(told)?;
    let line = |item| container_line(item, ask.includes("metadata"), context.now);
    let lines: Vec<Line> = page.items.into_iter().map(line).collect();
    let endpoint = format!("{}/", context.head.endpoint(context.scheme()));
    Ok(xml(StatusCode::OK, write(&endpoint, None, &ask, &lines, page.next.as_deref())))
}

pub(super) async fn blobs(context: &Context) -> Answer {
    let (name, ask) = (container_name(context)?, ListQuery::of(&context.head.query)?);
    let list = ListBlobs {
        prefix: ask.prefix.clone(),
        delimiter: ask.delimiter.clone(),
        marker: ask.marker.clone(),
        items_max: ask.results_max,
        start_from: ask.start_from.clone(),
        end_before: ask.end_before.clone(),
        uncommitted: ask.includes("uncommittedblobs"),
        snapshots: ask.includes("snapshots"),
        versions: ask.includes("versions"),
        deleted: ask.includes("deleted"),
        only_versions: ask.includes("deletedwithversions"),
        show: show(&ask)?,
    };
    let page = context.storage.list_blobs(context.account.uid, &name, &list, context.now);
    let page = page.await.map_err(told)?;
    let lines: Vec<Line> = page.items.into_iter().map(|item| line(item, &ask, context.now)).collect();
    let endpoint = format!("{}/", context.head.endpoint(context.scheme()));
    Ok(xml(StatusCode::OK, write(&endpoint, Some(&name), &ask, &lines, page.next.as_deref())))
}

fn show(ask: &ListQuery) -> Result<Show, ProtocolError> {
    match ask.show_only.as_deref() {
        None => Ok(Show::All),
        Some("deleted") => Ok(Show::Deleted),
        Some("files") => Ok(Show::Files),
        Some("directories") => Ok(Show::Directories),
        Some(other) => Err(ProtocolError::query("showonly", other)),
    }
}

fn container_line(item: ListedContainer, with_metadata: bool, now: Timestamp) -> Line {
    let ListedContainer { name, deletion, record } = item;
    let mut marks = Vec::new();
    if let Some(deletion) = deletion {
        marks.extend([("Deleted", "true".to_owned()), ("Version", deletion_text(deletion))]);
    }
    let mut properties =
        vec![("Last-Modified", http_date(record.modified)), ("Etag", etag_text(record.etag))];
    properties.extend(lease_elements(record.lease.as_ref(), now));
    properties.extend(access_text(record.public_access).map(|text| ("PublicAccess", text.to_owned())));
    properties.extend([
        ("HasImmutabilityPolicy", "false".to_owned()),
        ("HasLegalHold", "false".to_owned()),
        ("DefaultEncryptionScope", scope_text(&record).to_owned()),
        ("DenyEncryptionScopeOverride", record.denies_other_scopes.to_string()),
    ]);
    properties.extend(record.deleted.into_iter().flat_map(|deleted| deleted_elements(deleted, now)));
    let metadata = with_metadata.then_some(record.metadata);
    Line { element: "Container", name, marks, properties, metadata, ..Line::default() }
}

fn line(item: Listed, ask: &ListQuery, now: Timestamp) -> Line {
    match item {
        Listed::Prefix(name) => Line { element: "BlobPrefix", name, ..Line::default() },
        Listed::Uncommitted(name) => Line {
            element: "Blob",
            name,
            properties: vec![("Content-Length", "0".to_owned()), ("BlobType", "BlockBlob".to_owned())],
            metadata: ask.includes("metadata").then(Vec::new),
            ..Line::default()
        },
        Listed::Blob(blob) => blob_line(*blob, ask, now),
    }
}

fn blob_line(blob: ListedBlob, ask: &ListQuery, now: Timestamp) -> Line {
    let ListedBlob { name, revision, record, only_versions } = blob;
    let mut marks = Vec::new();
    if let Revision::Snapshot(at) = revision {
        marks.push(("Snapshot", at.to_iso7()));
    }
    if let Some(version) = record.version {
        marks.push(("VersionId", version.to_iso7()));
        if revision == Revision::Current {
            marks.push(("IsCurrentVersion", "true".to_owned()));
        }
    }
    if record.deleted.is_some() {
        marks.push(("Deleted", "true".to_owned()));
    }
    Line {
        element: "Blob",
        name,
        marks,
        properties: blob_properties(&record, revision, ask, now),
        tags: ask.includes("tags").then(|| record.tags.clone()),
        metadata: ask.includes("metadata").then_some(record.metadata),
        only_versions,
    }
}

fn blob_properties(blob: &BlobRecord, revision: Revision, ask: &ListQuery, now: Timestamp) -> Elements {
    let own = &blob.properties;
    let filled = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut all = vec![
        ("Creation-Time", http_date(blob.created)),
        ("Last-Modified", http_date(blob.modified)),
        // Lists show blobs' ETags without quotes.
        ("Etag", etag_text(blob.etag).trim_matches('"').to_owned()),
        ("Content-Length", blob.length_bytes.to_string()),
        ("Content-Type", filled(&own.content_type)),
        ("Content-Encoding", filled(&own.content_encoding)),
        ("Content-Language", filled(&own.content_language)),
        ("Content-MD5", own.content_md5.as_ref().map(md5_text).unwrap_or_default()),
        ("Content-Disposition", filled(&own.content_disposition)),
        ("Cache-Control", filled(&own.cache_control)),
    ];
    all.extend(blob.sequence_number().map(|number| ("x-ms-blob-sequence-number", number.to_string())));
    all.push(("BlobType", type_text(blob.blob_type()).to_owned()));
    all.extend(tier_elements(blob));
    if revision == Revision::Current && blob.deleted.is_none() {
        all.extend(lease_elements(blob.lease.as_ref(), now));
    }
    if let Some((_, true)) = blob.appended() {
        all.push(("Sealed", "true".to_owned()));
    }
    if let Some(copy) = blob.copy.as_ref().filter(|_| ask.includes("copy")) {
        all.extend(copy_elements(copy));
    }
    all.push(("ServerEncrypted", (blob.encryption != Encryption::Account).to_string()));
    match &blob.encryption {
        Encryption::Account => {}
        Encryption::CustomerKey(sha256) => all.push(("CustomerProvidedKeySha256", base64_text(sha256))),
        Encryption::Scope(scope) => all.push(("EncryptionScope", scope.clone())),
    }
    if let Some(policy) = blob.immutability.filter(|_| ask.includes("immutabilitypolicy")) {
        let mode = if policy.locked { "locked" } else { "unlocked" };
        all.push(("ImmutabilityPolicyUntilDate", http_date(policy.until)));
        all.push(("ImmutabilityPolicyMode", mode.to_owned()));
    }
    if ask.includes("legalhold") {
        all.push(("LegalHold", blob.legal_hold.to_string()));
    }
    all.extend(blob.expires.map(|at| ("Expiry-Time", http_date(at))));
    all.extend(Some(blob.tags.len()).filter(|n| *n > 0).map(|n| ("TagCount", n.to_string())));
    all.extend(blob.deleted.into_iter().flat_map(|deleted| deleted_elements(deleted, now)));
    all
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn tier_elements(blob: &BlobRecord) -> Elements {
    let mut elements = match (blob.tier.access, blob.blob_type()) {
        (Some(tier), _) => vec![("AccessTier", tier.to_string())],
        (None, BlobType::Block) => {
            vec![("AccessTier", AccessTier::Hot.to_string()), ("AccessTierInferred", "true".to_owned())]
        }
        (None, _) => Vec::new(),
    };
    elements.extend(blob.tier.changed.map(|at| ("AccessTierChangeTime", http_date(at))));
    elements
}

fn lease_elements(lease: Option<&Lease>, now: Timestamp) -> Elements {
    let (status, state, duration) = texts(lease, now);
    let mut elements = vec![("LeaseStatus", status.to_owned()), ("LeaseState", state.to_owned())];
    elements.extend(duration.map(|text| ("LeaseDuration", text.to_owned())));
    elements
}

fn copy_elements(copy: &CopyState) -> Elements {
    let mut elements = vec![
        ("CopyId", copy.id.clone()),
        ("CopyStatus", copy_status_text(copy.status).to_owned()),
        ("CopySource", copy.source.clone()),
        ("CopyProgress", format!("{}/{}", copy.copied_bytes, copy.total_bytes)),
    ];
    elements.extend(copy.completed.map(|at| ("CopyCompletionTime", http_date(at))));
    elements.extend(copy.description.clone().map(|text| ("CopyStatusDescription", text)));
    if let Some(incremental) = copy.incremental {
        elements.push(("IncrementalCopy", "true".to_owned()));
        elements.extend(incremental.snapshot.map(|at| ("CopyDestinationSnapshot", at.to_iso7())));
    }
    elements
}

/// What is said of something deleted that is kept. The last, begun day counts.
fn deleted_elements(deleted: SoftDeleted, now: Timestamp) -> Elements {
    let days = deleted.until.since(now).as_secs().div_ceil(DAY_SECONDS);
    vec![("DeletedTime", http_date(deleted.at)), ("RemainingRetentionDays", days.to_string())]
}
