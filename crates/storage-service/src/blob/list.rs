//! Listing containers and blobs.

use http::StatusCode;
use welkin_storage::blob::condition::etag_text;
use welkin_storage::blob::container::ContainerRecord;
use welkin_storage::blob::list::{ListBlobs, Listed};
use welkin_storage::blob::state::{AccessTier, BlobRecord};
use welkin_storage_wire::blob::list::{Line, ListQuery, write};

use super::container::{access_text, container_name};
use super::properties::{md5_text, type_text};
use super::{Answer, told};
use crate::answer::{http_date, xml};
use crate::context::Context;

/// The scheme of the endpoint that a listing repeats.
const SCHEME: &str = "http";

pub(super) async fn containers(context: &Context) -> Answer {
    let ask = ListQuery::of(&context.head.query)?;
    let page = context
        .storage
        .list_containers(context.account.uid, &ask.prefix, ask.marker.as_deref(), ask.results_max)
        .await
        .map_err(told)?;
    let with_metadata = ask.includes("metadata");
    let lines: Vec<Line> =
        page.items.into_iter().map(|(name, record)| container_line(name, record, with_metadata)).collect();
    let endpoint = format!("{}/", context.head.endpoint(SCHEME));
    Ok(xml(StatusCode::OK, write(&endpoint, None, &ask, &lines, page.next.as_deref())))
}

pub(super) async fn blobs(context: &Context) -> Answer {
    let (name, ask) = (container_name(context)?, ListQuery::of(&context.head.query)?);
    let list = ListBlobs {
        prefix: ask.prefix.clone(),
        delimiter: ask.delimiter.clone(),
        marker: ask.marker.clone(),
        items_max: ask.results_max,
        uncommitted: ask.includes("uncommittedblobs"),
    };
    let page = context.storage.list_blobs(context.account.uid, &name, &list).await.map_err(told)?;
    let with_metadata = ask.includes("metadata");
    let lines: Vec<Line> = page.items.into_iter().map(|item| line(item, with_metadata)).collect();
    let endpoint = format!("{}/", context.head.endpoint(SCHEME));
    Ok(xml(StatusCode::OK, write(&endpoint, Some(&name), &ask, &lines, page.next.as_deref())))
}

fn container_line(name: String, record: ContainerRecord, with_metadata: bool) -> Line {
    let mut properties = vec![
        ("Last-Modified", http_date(record.modified)),
        ("Etag", etag_text(record.etag)),
        ("LeaseStatus", "unlocked".to_owned()),
        ("LeaseState", "available".to_owned()),
    ];
    properties.extend(access_text(record.public_access).map(|text| ("PublicAccess", text.to_owned())));
    properties.extend([("HasImmutabilityPolicy", "false".to_owned()), ("HasLegalHold", "false".to_owned())]);
    Line { element: "Container", name, properties, metadata: with_metadata.then_some(record.metadata) }
}

fn line(item: Listed, with_metadata: bool) -> Line {
    match item {
        Listed::Prefix(name) => Line { element: "BlobPrefix", name, properties: Vec::new(), metadata: None },
        Listed::Uncommitted(name) => Line {
            element: "Blob",
            name,
            properties: vec![("Content-Length", "0".to_owned()), ("BlobType", "BlockBlob".to_owned())],
            metadata: None,
        },
        Listed::Blob(name, blob) => {
            let properties = blob_properties(&blob);
            Line { element: "Blob", name, properties, metadata: with_metadata.then_some(blob.metadata) }
        }
    }
}

fn blob_properties(blob: &BlobRecord) -> Vec<(&'static str, String)> {
    let own = &blob.properties;
    let filled = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
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
        ("BlobType", type_text(blob.blob_type()).to_owned()),
        ("AccessTier", blob.tier.access.unwrap_or(AccessTier::Hot).to_string()),
        ("AccessTierInferred", blob.tier.access.is_none().to_string()),
        ("LeaseStatus", "unlocked".to_owned()),
        ("LeaseState", "available".to_owned()),
        ("ServerEncrypted", "false".to_owned()),
    ]
}
