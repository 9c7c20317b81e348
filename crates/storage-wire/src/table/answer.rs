//! Bodies of answers in OData JSON, in the three levels of metadata (STORAGE, section 7).

use http::HeaderMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;

use crate::error::{ErrorCode, ProtocolError};
use crate::query::Query as UrlQuery;
use crate::table::entity::Entity;
use crate::table::etag::etag;
use crate::table::value::{Json, Value};

/// How much an answer says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataLevel {
    /// Values only.
    None,
    /// Types where the value does not tell them, and ETags.
    Minimal,
    /// Links and ids, too.
    Full,
}

impl MetadataLevel {
    /// What `$format`, or else the `Accept` header, asks for: the media type of the highest quality that is JSON.
    ///
    /// # Errors
    /// When none is JSON in a form that there is.
    pub fn of(headers: &HeaderMap, query: &UrlQuery) -> Result<Self, ProtocolError> {
        let accept: Vec<&str> =
            headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let asked = match query.get_filled("$format") {
            Some(format) => format.to_owned(),
            None if accept.is_empty() => "*/*".to_owned(),
            None => accept.join(","),
        };
        let mut best: Option<(f32, Self)> = None;
        let mut refused = ErrorCode::MediaTypeNotSupported;
        for media in asked.split(',') {
            match Self::of_media_type(media) {
                Ok((quality, level)) if quality > best.map_or(0.0, |(quality, _)| quality) => {
                    best = Some((quality, level));
                }
                Ok(_) | Err(ErrorCode::MediaTypeNotSupported) => {}
                Err(code) => refused = code,
            }
        }
        best.map(|(_, level)| level).ok_or_else(|| refused.into())
    }

    /// The quality and the level of one media type with its parameters.
    fn of_media_type(media: &str) -> Result<(f32, Self), ErrorCode> {
        let media = media.to_ascii_lowercase();
        let mut parts = media.split(';').map(str::trim);
        match parts.next() {
            Some("application/json" | "json" | "*/*" | "application/*") => {}
            Some("application/atom+xml" | "application/xml" | "atom") => {
                return Err(ErrorCode::AtomFormatNotSupported);
            }
            _ => return Err(ErrorCode::MediaTypeNotSupported),
        }
        let (mut quality, mut level) = (1.0, Self::Minimal);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match (name.trim(), value.trim().trim_matches('"')) {
                ("odata", "nometadata") => level = Self::None,
                ("odata", "minimalmetadata") => level = Self::Minimal,
                ("odata", "fullmetadata") => level = Self::Full,
                // "verbose" is of the protocol's earlier versions.
                ("odata", _) => return Err(ErrorCode::JsonFormatNotSupported),
                ("charset", "utf-8") => {}
                ("charset", _) => return Err(ErrorCode::MediaTypeNotSupported),
                ("q", text) => quality = text.parse().map_err(|_| ErrorCode::MediaTypeNotSupported)?,
                // "streaming" and what else there may be changes nothing.
                _ => {}
            }
        }
        Ok((quality, level))
    }

    /// The content type of an answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::None => "application/json;odata=nometadata;streaming=true;charset=utf-8",
            Self::Minimal => "application/json;odata=minimalmetadata;streaming=true;charset=utf-8",
            Self::Full => "application/json;odata=fullmetadata;streaming=true;charset=utf-8",
        }
    }
}

/// Where answers say that things are.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The account's name.
    pub account: &'a str,
    /// The account's URL, without a final `/`.
    pub endpoint: &'a str,
    /// The table's name.
    pub table: &'a str,
}

impl Place<'_> {
    /// The URL of an entity.
    #[must_use]
    pub fn entity_url(&self, entity: &Entity) -> String {
        format!("{}/{}({})", self.endpoint, self.table, entity.key.to_url())
    }
}

/// The URL of a table as a member of the collection.
#[must_use]
pub fn table_url(endpoint: &str, table: &str) -> String {
    format!("{endpoint}/Tables('{table}')")
}

/// The body that holds one entity.
///
/// # Errors
/// Never: the values are all of JSON.
pub fn entity_body(
    entity: &Entity,
    select: Option<&[String]>,
    level: MetadataLevel,
    place: &Place<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    let metadata = format!("{}/$metadata#{}/@Element", place.endpoint, place.table);
    serde_json::to_vec(&Written { entity, select, level, place, metadata: Some(&metadata) })
}

/// The body that holds a page of entities.
///
/// # Errors
/// Never: the values are all of JSON.
pub fn entities_body(
    entities: &[Entity],
    select: Option<&[String]>,
    level: MetadataLevel,
    place: &Place<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    // As long as it becomes, about: growing copies a body of a megabyte again and again.
    let mut body =
        Vec::with_capacity(entities.iter().map(|entity| body_bytes(entity, level)).sum::<usize>() + 256);
    let mut serializer = serde_json::Serializer::new(&mut body);
    let mut map = serializer.serialize_map(None)?;
    if level != MetadataLevel::None {
        let metadata = format!("{}/$metadata#{}", place.endpoint, place.table);
        map.serialize_entry("odata.metadata", &metadata)?;
    }
    let written = |entity| Written { entity, select, level, place, metadata: None };
    map.serialize_entry("value", &entities.iter().map(written).collect::<Vec<_>>())?;
    SerializeMap::end(map)?;
    Ok(body)
}

/// About how long an entity is in JSON.
fn body_bytes(entity: &Entity, level: MetadataLevel) -> usize {
    /// The names of the keys and of the timestamp, the timestamp itself, and marks.
    const SYSTEM_BYTES: usize = 100;
    /// Quotes, colon and comma, a number, the type where one is said.
    const PROPERTY_BYTES: usize = 24;
    let keys = entity.key.partition.len() + entity.key.row.len();
    let metadata = match level {
        MetadataLevel::None => 0,
        MetadataLevel::Minimal => 80,
        MetadataLevel::Full => 400 + 2 * keys,
    };
    let property = |(name, value): &(String, Value)| name.len() + value.text_bytes() + PROPERTY_BYTES;
    SYSTEM_BYTES + keys + metadata + entity.properties.iter().map(property).sum::<usize>()
}

/// One entity as JSON.
struct Written<'a> {
    entity: &'a Entity,
    select: Option<&'a [String]>,
    level: MetadataLevel,
    place: &'a Place<'a>,
    metadata: Option<&'a str>,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let Entity { key, timestamp, properties } = self.entity;
        if self.level != MetadataLevel::None {
            if let Some(metadata) = self.metadata {
                map.serialize_entry("odata.metadata", metadata)?;
            }
            if self.level == MetadataLevel::Full {
                let Place { account, table, .. } = self.place;
                map.serialize_entry("odata.type", &format!("{account}.{table}"))?;
                map.serialize_entry("odata.id", &self.place.entity_url(self.entity))?;
                map.serialize_entry("odata.editLink", &format!("{table}({})", key.to_url()))?;
            }
            map.serialize_entry("odata.etag", &etag(*timestamp))?;
        }
        let selected = |name: &str| self.select.is_none_or(|names| names.iter().any(|n| n == name));
        if selected("PartitionKey") {
            map.serialize_entry("PartitionKey", &key.partition)?;
        }
        if selected("RowKey") {
            map.serialize_entry("RowKey", &key.row)?;
        }
        if selected("Timestamp") {
            if self.level == MetadataLevel::Full {
                map.serialize_entry("Timestamp@odata.type", "Edm.DateTime")?;
            }
            map.serialize_entry("Timestamp", timestamp.iso7().as_str())?;
        }
        for (name, value) in properties.iter().filter(|(name, _)| selected(name)) {
            write_property(&mut map, name, value, self.level)?;
        }
        for name in self.select.unwrap_or_default() {
            if self.entity.get(name).is_none() {
                map.serialize_entry(name, &())?;
            }
        }
        map.end()
    }
}

fn write_property<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: &Value,
    level: MetadataLevel,
) -> Result<(), M::Error> {
    if let Some(edm_type) = value.json_annotation().filter(|_| level != MetadataLevel::None) {
        map.serialize_entry(&format!("{name}@odata.type"), edm_type)?;
    }
    map.serialize_entry(name, &Json(value))
}

/// The body that holds one table.
#[must_use]
pub fn table_body(account: &str, endpoint: &str, table: &str, level: MetadataLevel) -> Vec<u8> {
    let mut body = table_member(account, endpoint, table, level);
    if level != MetadataLevel::None {
        body["odata.metadata"] = format!("{endpoint}/$metadata#Tables/@Element").into();
    }
    body.to_string().into_bytes()
}

/// The body that holds a page of tables.
#[must_use]
pub fn tables_body(account: &str, endpoint: &str, tables: &[String], level: MetadataLevel) -> Vec<u8> {
    let members: Vec<_> = tables.iter().map(|table| table_member(account, endpoint, table, level)).collect();
    let mut body = json!({ "value": members });
    if level != MetadataLevel::None {
        body["odata.metadata"] = format!("{endpoint}/$metadata#Tables").into();
    }
    body.to_string().into_bytes()
}

fn table_member(account: &str, endpoint: &str, table: &str, level: MetadataLevel) -> serde_json::Value {
    let mut member = json!({ "TableName": table });
    if level == MetadataLevel::Full {
        member["odata.type"] = format!("{account}.Tables").into();
        member["odata.id"] = table_url(endpoint, table).into();
        member["odata.editLink"] = format!("Tables('{table}')").into();
    }
    member
}

#[cfg(test)]
mod tests {
    use welkin_base::timestamp::Timestamp;

    use super::*;
    use crate::table::entity::EntityBody;
    use crate::table::key::EntityKey;

    fn entity() -> Entity {
        Entity {
            key: EntityKey::new("it's", "r").unwrap(),
            timestamp: Timestamp::from_ticks(10_000_000),
            properties: vec![
                ("n".into(), Value::Int64(5)),
                ("s".into(), Value::String("x".into())),
                ("d".into(), Value::Double(2.0)),
            ],
        }
    }

    fn written(level: MetadataLevel, select: Option<&[String]>) -> String {
        let place = Place { account: "acct", endpoint: "http://h/acct", table: "tbl" };
        String::from_utf8(entity_body(&entity(), select, level, &place).unwrap()).unwrap()
    }

    #[test]
    fn levels() {
        let keys = r#""PartitionKey":"it's","RowKey":"r""#;
        assert_eq!(
            written(MetadataLevel::None, None),
            format!(r#"{{{keys},"Timestamp":"1970-01-01T00:00:01.0000000Z","n":"5","s":"x","d":2.0}}"#)
        );
        let minimal = written(MetadataLevel::Minimal, None);
        assert!(minimal.contains(r#""n@odata.type":"Edm.Int64","n":"5""#), "{minimal}");
        assert!(
            minimal
                .starts_with(r#"{"odata.metadata":"http://h/acct/$metadata#tbl/@Element","odata.etag":"W/"#)
        );
        let full = written(MetadataLevel::Full, None);
        assert!(full.contains(r#""odata.editLink":"tbl(PartitionKey='it%27%27s',RowKey='r')""#), "{full}");
    }

    #[test]
    fn selected_and_missing() {
        let select = ["s".to_owned(), "zz".to_owned()];
        assert_eq!(written(MetadataLevel::None, Some(&select)), r#"{"s":"x","zz":null}"#);
    }

    #[test]
    fn read_back() {
        let body = EntityBody::parse(written(MetadataLevel::Full, None).as_bytes()).unwrap();
        assert_eq!(body.key().unwrap(), entity().key);
        assert_eq!(body.properties, entity().properties);
    }

    #[test]
    fn accepted() {
        use MetadataLevel::{Full, Minimal, None as Nothing};
        for (accept, expected) in [
            (None, Ok(Minimal)),
            (Some("application/json"), Ok(Minimal)),
            (Some("application/json;odata=nometadata"), Ok(Nothing)),
            (Some("Application/JSON; OData=NoMetadata; charset=utf-8; streaming=true"), Ok(Nothing)),
            (Some("application/atom+xml, application/json; odata=fullmetadata"), Ok(Full)),
            (
                Some("application/json;odata=fullmetadata;q=0.5, application/json;odata=nometadata"),
                Ok(Nothing),
            ),
            (Some("application/json;odata=fullmetadata, application/json;odata=nometadata"), Ok(Full)),
            (Some("*/*;q=0.1,application/json;odata=fullmetadata;q=0.2"), Ok(Full)),
            (Some("text/html, */*"), Ok(Minimal)),
            (Some("application/json;odata=verbose, application/json"), Ok(Minimal)),
            (Some("application/json;q=0"), Err(ErrorCode::MediaTypeNotSupported)),
            (Some("application/json;q=x"), Err(ErrorCode::MediaTypeNotSupported)),
            (Some("application/json;charset=utf-16"), Err(ErrorCode::MediaTypeNotSupported)),
            (Some("application/atom+xml"), Err(ErrorCode::AtomFormatNotSupported)),
            (Some("application/atom+xml,application/xml"), Err(ErrorCode::AtomFormatNotSupported)),
            (Some("application/json;odata=verbose"), Err(ErrorCode::JsonFormatNotSupported)),
            (Some("text/html"), Err(ErrorCode::MediaTypeNotSupported)),
            (Some(""), Err(ErrorCode::MediaTypeNotSupported)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert("accept", accept.parse().unwrap());
            }
            let found = MetadataLevel::of(&headers, &UrlQuery::default()).map_err(|error| error.code());
            assert_eq!(found, expected, "{accept:?}");
        }
    }

    #[test]
    fn format_replaces_accept() {
        let mut headers = HeaderMap::new();
        headers.insert("accept", "application/json;odata=fullmetadata".parse().unwrap());
        for (format, expected) in [
            ("", Some(MetadataLevel::Full)),
            ("json", Some(MetadataLevel::Minimal)),
            ("application/json;odata=nometadata", Some(MetadataLevel::None)),
            ("atom", None),
            ("application/atom%2Bxml", None),
        ] {
            let query = UrlQuery::parse(&format!("$format={format}")).unwrap();
            assert_eq!(MetadataLevel::of(&headers, &query).ok(), expected, "{format}");
        }
    }
}
