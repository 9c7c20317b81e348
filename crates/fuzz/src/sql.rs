//! Queries of blobs: SQL, and the records that it is asked of.

use welkin_storage_service::blob::query::Query;
use welkin_storage_wire::xml::Xml;

use crate::input::{line, text};
use crate::outcome::accepted;

/// A statement, and in the next line the form of the records, `json` or `csv`; then the records.
pub(crate) fn query(data: &[u8]) {
    let (statement, rest) = line(data);
    let (form, records) = line(rest);
    let kind = if form == b"json" { "json" } else { "delimited" };
    let headers = if form == b"csv with headers" { "true" } else { "false" };
    let mut xml = Xml::new();
    xml.element("QueryRequest", |xml| {
        xml.text("QueryType", "SQL");
        xml.text("Expression", &text(statement));
        xml.element("InputSerialization", |xml| {
            xml.element("Format", |xml| {
                xml.text("Type", kind);
                xml.element("DelimitedTextConfiguration", |xml| xml.text("HasHeaders", headers));
            });
        });
    });
    let Some(query) = accepted(Query::parse(xml.finish().as_bytes())) else { return };
    let mut answer = Vec::new();
    let ended = query.answer(records.len() as u64, records, &mut answer);
    assert!(ended.is_ok(), "what is wrong with the records is told in the answer: {ended:?}");
    assert!(answer.starts_with(b"Obj\x01"), "an answer is a container of Avro");
}
