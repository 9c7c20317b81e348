//! Entities: bodies, keys, ETags, filters.

use percent_encoding::percent_decode_str;
use welkin_base::Timestamp;
use welkin_storage_wire::table::answer::{Place, entity_body};
use welkin_storage_wire::table::entity::{self, EntityBody};
use welkin_storage_wire::table::etag::{Condition, etag};
use welkin_storage_wire::table::{Entity, EntityKey, Filter, KeyRange, MetadataLevel, Value};

use crate::input::{line, text};
use crate::outcome::{accepted, same};

/// Written out, a filter has more parentheses than it may have had; beyond so many bytes it might have too many.
const FILTER_BYTES_WRITTEN_AGAIN: usize = 60;

/// The body of an entity.
pub(crate) fn entities(data: &[u8]) {
    let Some(body) = accepted(EntityBody::parse(data)) else { return };
    assert!(body.properties.len() <= entity::PROPERTIES_MAX);
    let Some(key) = accepted(body.key()) else { return };
    let _ = accepted(entity::check_whole(&key, &body.properties));
    let entity =
        Entity { key: key.clone(), timestamp: Timestamp::from_ticks(0), properties: body.properties };
    let place = Place { account: "account", endpoint: "http://host/account", table: "table" };
    for level in [MetadataLevel::Minimal, MetadataLevel::Full] {
        let written = entity_body(&entity, None, level, &place).expect("values are all of JSON");
        let again = accepted(EntityBody::parse(&written));
        let again = again.unwrap_or_else(|| panic!("cannot be read: {}", text(&written)));
        assert_eq!(again.key().ok().as_ref(), Some(&key));
        assert!(alike(&again.properties, &entity.properties), "{}", text(&written));
    }
}

/// Equal, and no number is another for being none.
fn alike(a: &[(String, Value)], b: &[(String, Value)]) -> bool {
    let one = |((name, a), (other, b)): (&(String, Value), &(String, Value))| {
        let both_nan = matches!((a, b), (Value::Double(a), Value::Double(b)) if a.is_nan() && b.is_nan());
        name == other && (a == b || both_nan)
    };
    a.len() == b.len() && a.iter().zip(b).all(one)
}

/// The keys of an entity in a URL, decoded.
pub(crate) fn keys(data: &[u8]) {
    let Some(key) = accepted(EntityKey::parse(&text(data))) else { return };
    same(EntityKey::new(&key.partition, &key.row), &key, "the keys themselves");
    let written = percent_decode_str(&key.to_url()).decode_utf8_lossy().into_owned();
    same(EntityKey::parse(&written), &key, &written);
}

/// An ETag.
pub(crate) fn etags(data: &[u8]) {
    let Some(condition) = accepted(Condition::parse(&text(data))) else { return };
    if let Condition::Is(timestamp) = condition {
        assert!(condition.holds(timestamp));
        same(Condition::parse(&etag(timestamp)), &condition, &etag(timestamp));
    }
}

/// A filter, and after it, in a line of its own, the body of an entity that it is asked about.
pub(crate) fn filters(data: &[u8]) {
    let (filter, body) = line(data);
    let written = text(filter);
    let Some(filter) = accepted(Filter::parse(&written)) else { return };
    let again = filter.to_string();
    if written.len() < FILTER_BYTES_WRITTEN_AGAIN {
        let parsed = accepted(Filter::parse(&again));
        let parsed = parsed.unwrap_or_else(|| panic!("cannot be read: {again}")).to_string();
        assert_eq!(parsed, again, "written again: {written}");
    }
    let range = KeyRange::of(&filter);
    let Ok(body) = EntityBody::parse(body) else {
        let _ = filter.matches(&|_| None);
        return;
    };
    let Ok(key) = body.key() else { return };
    let entity = Entity { key, timestamp: Timestamp::from_ticks(0), properties: body.properties };
    if filter.matches(&|name| entity.get(name)) {
        let within = range.partition.contains(&entity.key.partition) && range.row.contains(&entity.key.row);
        assert!(within, "a query would not find what its filter matches: {written}");
    }
}
