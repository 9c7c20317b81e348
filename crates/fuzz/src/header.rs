//! Headers of requests: conditions, ranges, metadata, leases, CORS.

use http::HeaderMap;
use welkin_storage_wire::blob::copy::{self, SourceUrl};
use welkin_storage_wire::blob::lease::{LeaseRequest, id_text, lease_id, source_lease_id};
use welkin_storage_wire::condition::ConditionHeaders;
use welkin_storage_wire::service::CorsRule;
use welkin_storage_wire::service::cors::{Headers, actual, preflight};
use welkin_storage_wire::table::MetadataLevel;
use welkin_storage_wire::{metadata, range};

use crate::input::{Asked, text};
use crate::outcome::{accepted, same};

/// The source of a copy, with its conditions and range.
pub(crate) fn copy_source(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let _ = accepted(copy::conditions(&asked.headers));
    let Some(head) = accepted(asked.head()) else { return };
    let _ = accepted(copy::source_range(&head));
    let Some(source) = accepted(SourceUrl::of(&head)) else { return };
    let public = source.public();
    for told in [&public, &format!("{source:?}")] {
        let query = told.split_once('?').map_or("", |(_, query)| query);
        assert!(!query.split('&').any(|pair| pair.starts_with("sig=")), "a signature is a secret: {told}");
    }
    assert!(http::HeaderValue::from_str(&public).is_ok(), "{public:?}");
    same(SourceUrl::parse(&public).map(|again| again.public()), &public, &public);
    let _ = (source.is_https(), source.authority(), accepted(source.query()));
}

/// Metadata has at most this many bytes (STORAGE, section 3: Set Blob Metadata).
const METADATA_BYTES_MAX: usize = 8 * 1024;

/// All headers that more than one operation has.
pub(crate) fn headers(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let _ = accepted(ConditionHeaders::of(&asked.headers));
    if let Some(pairs) = accepted(metadata::of(&asked.headers)) {
        check_metadata(&pairs);
    }
    let Some(head) = accepted(asked.head()) else { return };
    let _ = accepted(LeaseRequest::of(&head));
    let _ = accepted(source_lease_id(&head));
    if let Some(Some(id)) = accepted(lease_id(&head)) {
        let mut again = head.clone();
        if let Ok(value) = id_text(id).parse() {
            again.headers.insert("x-ms-lease-id", value);
        }
        same(lease_id(&again), &Some(id), &id_text(id));
    }
    let _ = accepted(MetadataLevel::of(&head.headers, &head.query)).map(MetadataLevel::content_type);
}

fn check_metadata(pairs: &Vec<(String, String)>) {
    assert!(pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= METADATA_BYTES_MAX);
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = format!("{}{name}", metadata::PREFIX).parse::<http::HeaderName>();
        let value = http::HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else { panic!("metadata that cannot be sent: {pairs:?}") };
        headers.append(name, value);
    }
    same(metadata::of(&headers), pairs, &format!("{headers:?}"));
}

/// A range of bytes.
pub(crate) fn ranges(data: &[u8]) {
    let Some((first, last)) = range::parse(&text(data)) else { return };
    assert!(last.is_none_or(|last| last >= first));
    let written = format!("bytes={first}-{}", last.map(|last| last.to_string()).unwrap_or_default());
    assert_eq!(range::parse(&written), Some((first, last)));
}

/// A request from another origin.
pub(crate) fn cors(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rule = |origins: &str, methods: &str, headers: &str| CorsRule {
        allowed_origins: list(origins),
        allowed_methods: list(methods),
        allowed_headers: list(headers),
        exposed_headers: list("x-ms-meta-* etag"),
        max_age_seconds: 5,
    };
    let rules = [rule("http://a http://b", "GET PUT", "x-ms-meta-* content-type"), rule("*", "HEAD", "*")];
    let can_be_sent = |headers: Headers| {
        for (name, value) in headers {
            assert!(http::HeaderValue::from_str(&value).is_ok(), "{name}: {value:?}");
        }
    };
    let _ = accepted(preflight(&rules, &asked.headers)).map(can_be_sent);
    let origin = asked.headers.get("origin").and_then(|value| value.to_str().ok());
    can_be_sent(actual(&rules, &asked.method, origin, &asked.headers));
}
