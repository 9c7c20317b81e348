//! Batches: bodies of many parts, and the requests in them.

use welkin_storage_wire::multipart::{self, Writer};
use welkin_storage_wire::table::batch::{Batch, OPERATIONS_MAX};

use crate::input::{line, text};
use crate::outcome::accepted;

/// A batch of blobs: the content type, and in the next lines the body.
pub(crate) fn parts(data: &[u8]) {
    let (content_type, body) = line(data);
    let content_type = text(content_type);
    let Some(boundary) = accepted(multipart::boundary(&content_type)) else { return };
    let Some(parts) = accepted(multipart::parse(body, boundary)) else { return };
    let mut writer = Writer::new(boundary.to_owned());
    for part in &parts {
        let _ = accepted(multipart::request(part));
        writer.part(&[], part.body);
    }
    let (kind, written) = (writer.content_type(), writer.finish());
    // A quote within a boundary ends it where it is written without quotes.
    if multipart::boundary(&kind).ok() == Some(boundary) {
        let again = accepted(multipart::parse(&written, boundary));
        let again = again.unwrap_or_else(|| panic!("cannot be read: {}", text(&written)));
        let bodies =
            |parts: &[multipart::Part<'_>]| parts.iter().map(|p| p.body.to_vec()).collect::<Vec<_>>();
        assert_eq!(bodies(&again), bodies(&parts));
    }
}

/// An entity group transaction: the content type, and in the next lines the body.
pub(crate) fn transaction(data: &[u8]) {
    let (content_type, body) = line(data);
    if let Some(Batch::Changes(changes)) = accepted(Batch::parse(&text(content_type), body)) {
        assert!((1..=OPERATIONS_MAX).contains(&changes.len()));
    }
}
