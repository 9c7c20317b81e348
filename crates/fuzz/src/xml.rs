//! XML: what is written can be read, whatever the texts in it.

use welkin_storage_wire::blob::{block_list, query};
use welkin_storage_wire::queue::message;
use welkin_storage_wire::service::{self, ServiceProperties};
use welkin_storage_wire::xml::{self, Xml};
use welkin_storage_wire::{ApiVersion, Service, access};

use crate::input::{line, text};
use crate::outcome::{accepted, same};

/// A document with these texts in every place that takes any.
pub(crate) fn written(data: &[u8]) {
    let (first, second) = line(data);
    let (first, second) = (text(first), text(second));
    let mut document = Xml::new();
    document.element_with("Root", &[("attribute", &first)], |xml| {
        xml.text("Text", &second);
        xml.name("Name", &first);
        xml.optional("Optional", Some(&second));
    });
    let document = document.finish();
    let read = xml::read(document.as_bytes(), "Root", |root| {
        let name = root.children().find(|node| node.has_tag_name("Name"));
        Ok(name.and_then(|name| name.attribute("Encoded").map_or(name.text(), |_| None)).map(str::to_owned))
    });
    let name = accepted(read).unwrap_or_else(|| panic!("cannot be read: {document}"));
    if let Some(name) = name {
        assert_eq!(name, first, "a name is whole, or encoded: {document}");
    }
}

/// Stored access policies.
pub(crate) fn access_policies(data: &[u8]) {
    let Some(policies) = accepted(access::parse(data)) else { return };
    assert!(policies.len() <= access::POLICIES_MAX);
    let written = access::write(&policies);
    same(access::parse(written.as_bytes()), &policies, &written);
}

/// The list of blocks of Put Block List, and the id of a block.
pub(crate) fn blocks(data: &[u8]) {
    if let Some(id) = accepted(block_list::parse_block_id(&text(data))) {
        assert!((1..=block_list::BLOCK_ID_BYTES_MAX).contains(&id.len()));
    }
    let Some(blocks) = accepted(block_list::parse(data)) else { return };
    assert!(blocks.len() <= block_list::BLOCKS_MAX);
    let lines = || blocks.iter().map(|(_, id)| (id.as_slice(), 1_u64));
    let written = block_list::write(Some(lines()), Some(lines()));
    assert_eq!(roxmltree::Document::parse(&written).map(|_| ()), Ok(()), "{written}");
}

/// Service properties: the first line names the service.
pub(crate) fn service_properties(data: &[u8]) {
    let (name, body) = line(data);
    let service = match name {
        b"queue" => Service::Queue,
        b"table" => Service::Table,
        _ => Service::Blob,
    };
    let Some(change) = accepted(service::read::parse(body, service)) else { return };
    let mut properties = ServiceProperties::default();
    change.apply(&mut properties);
    assert!(properties.cors.len() <= service::read::CORS_RULES_MAX);
    let days = properties.delete_retention.as_ref().map(|retention| retention.days);
    assert!(days.is_none_or(|days| (1..=service::read::RETENTION_DAYS_MAX).contains(&days)));
    let Ok(version) = ApiVersion::parse("2026-01-01") else { return };
    let written = service::write::body(&properties, service, &version);
    let mut again = ServiceProperties::default();
    let read = accepted(service::read::parse(written.as_bytes(), service));
    read.unwrap_or_else(|| panic!("cannot be read: {written}")).apply(&mut again);
    // What was never set is written as what it is by default.
    again.logging = again.logging.filter(|_| properties.logging.is_some());
    again.hour_metrics = again.hour_metrics.filter(|_| properties.hour_metrics.is_some());
    again.minute_metrics = again.minute_metrics.filter(|_| properties.minute_metrics.is_some());
    assert_eq!(again, properties, "{written}");
}

/// The body of a query.
pub(crate) fn query_request(data: &[u8]) {
    let _ = accepted(query::parse(data));
}

/// The body of a message.
pub(crate) fn message(data: &[u8]) {
    for (version, bytes_max) in
        [("2009-09-19", message::OLD_TEXT_BYTES_MAX), ("2021-10-04", message::TEXT_BYTES_MAX)]
    {
        let Ok(version) = ApiVersion::parse(version) else { continue };
        let Some(text) = accepted(message::parse_body(data, &version)) else { continue };
        assert!(text.len() <= bytes_max);
        let mut xml = Xml::new();
        xml.element("QueueMessage", |xml| xml.text("MessageText", &text));
        let written = xml.finish();
        // A carriage return would come back as a line feed, and is left out.
        if !text.contains('\r') {
            same(message::parse_body(written.as_bytes(), &version), &text, &written);
        }
    }
}
