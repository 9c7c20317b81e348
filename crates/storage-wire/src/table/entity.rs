//! An entity, its limits and its JSON body.
//!
//! Limits are those of "Understanding the Table service data model" in the Azure documentation.

use std::collections::HashMap;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use welkin_base::timestamp::Timestamp;

use crate::error::{ErrorCode, ProtocolError};
use crate::table::key::EntityKey;
use crate::table::value::{Value, ValueRef};

/// Properties of its own that an entity has at most; three more are the system's.
pub const PROPERTIES_MAX: usize = 252;
/// An entity has at most this many bytes, counted by [`size_bytes`].
pub const ENTITY_BYTES_MAX: usize = 1 << 20;
/// A body of an entity in JSON is at most this long: base64 and escapes make it longer than what it holds.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// A property's value has at most this many bytes; text is counted in UTF-16.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// A property's name has at most this many characters.
pub const NAME_CHARS_MAX: usize = 255;

/// The first second of the year 1601, with which the range of dates begins.
const DATE_TIME_SECONDS_MIN: i64 = -11_644_473_600;

/// Properties in the order in which they were given.
pub type Properties = Vec<(String, Value)>;

/// An entity as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its keys.
    pub key: EntityKey,
    /// When it was last written; also its ETag.
    pub timestamp: Timestamp,
    /// Its own properties.
    pub properties: Properties,
}

impl Entity {
    /// A property, be it the system's or its own.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "PartitionKey" => Some(ValueRef::String(&self.key.partition)),
            "RowKey" => Some(ValueRef::String(&self.key.row)),
            "Timestamp" => Some(ValueRef::DateTime(self.timestamp)),
            _ => self.properties.iter().find(|(n, _)| n == name).map(|(_, value)| value.borrow()),
        }
    }
}

/// What a request's body says of an entity. Properties that are null are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EntityBody {
    /// The partition key, if the body has one.
    pub partition_key: Option<String>,
    /// The row key, if the body has one.
    pub row_key: Option<String>,
    /// Its own properties.
    pub properties: Properties,
}

impl EntityBody {
    /// Reads a JSON body.
    ///
    /// # Errors
    /// When it is not an object of simple values, or a property breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ProtocolError> {
        let Members(members) = serde_json::from_slice(body).map_err(|error| {
            ProtocolError::saying(
                ErrorCode::InvalidInput,
                format!("The body is not an entity in JSON: {error}"),
            )
        })?;
        let mut types = HashMap::new();
        let mut values = Vec::new();
        for (name, json) in members {
            match name.strip_suffix("@odata.type") {
                Some(of) => {
                    types.entry(of.to_owned()).or_insert(json);
                }
                None if name.starts_with("odata.") || name.contains("@odata.") => {}
                None => values.push((name, json)),
            }
        }
        let mut entity = Self::default();
        for (name, json) in values {
            let edm_type = types.get(&name);
            entity.take(name, edm_type, &json)?;
        }
        check(&entity.properties)?;
        Ok(entity)
    }

    /// The keys that the body has; both are needed.
    ///
    /// # Errors
    /// When one is missing or breaks the rules of keys.
    pub fn key(&self) -> Result<EntityKey, ProtocolError> {
        match (&self.partition_key, &self.row_key) {
            (Some(partition), Some(row)) => EntityKey::new(partition, row),
            _ => Err(ErrorCode::PropertiesNeedValue.into()),
        }
    }

    fn take(
        &mut self,
        name: String,
        edm_type: Option<&serde_json::Value>,
        json: &serde_json::Value,
    ) -> Result<(), ProtocolError> {
        let edm_type = match edm_type {
            Some(serde_json::Value::String(text)) => Some(text.as_str()),
            Some(_) => return Err(ErrorCode::InvalidValueType.into()),
            None => None,
        };
        if name == "Timestamp" {
            return Ok(());
        }
        match (name.as_str(), Value::from_json(edm_type, json)?) {
            ("PartitionKey", Some(Value::String(text))) if self.partition_key.is_none() => {
                self.partition_key = Some(text);
            }
            ("RowKey", Some(Value::String(text))) if self.row_key.is_none() => self.row_key = Some(text),
            ("PartitionKey" | "RowKey", Some(Value::String(_))) => {
                return Err(ErrorCode::DuplicatePropertiesSpecified.into());
            }
            ("PartitionKey" | "RowKey", _) => return Err(ErrorCode::PropertiesNeedValue.into()),
            (_, None) => check_name(&name)?,
            (_, Some(value)) => self.properties.push((name, value)),
        }
        Ok(())
    }
}

/// Checks every property, that no name comes twice, and their number.
///
/// # Errors
/// The rule that is broken.
pub fn check(properties: &Properties) -> Result<(), ProtocolError> {
    if properties.len() > PROPERTIES_MAX {
        return Err(ErrorCode::TooManyProperties.into());
    }
    let mut names = std::collections::HashSet::new();
    for (name, value) in properties {
        check_name(name)?;
        check_value(value)?;
        if !names.insert(name.as_str()) {
            return Err(ErrorCode::DuplicatePropertiesSpecified.into());
        }
    }
    Ok(())
}

/// Checks what an entity as a whole must keep, also after a merge.
///
/// # Errors
/// When it has too many properties or bytes.
pub fn check_whole(key: &EntityKey, properties: &Properties) -> Result<(), ProtocolError> {
    if properties.len() > PROPERTIES_MAX {
        return Err(ErrorCode::TooManyProperties.into());
    }
    if size_bytes(key, properties) > ENTITY_BYTES_MAX {
        return Err(ErrorCode::EntityTooLarge.into());
    }
    Ok(())
}

/// The size of an entity as the service counts it.
#[must_use]
pub fn size_bytes(key: &EntityKey, properties: &Properties) -> usize {
    let text_bytes = |text: &str| text.encode_utf16().count() * 2;
    let own: usize = properties.iter().map(|(name, value)| 8 + text_bytes(name) + value.size_bytes()).sum();
    4 + text_bytes(&key.partition) + text_bytes(&key.row) + own
}

/// Whether a property may have the name, but for its length: an identifier.
pub(crate) fn is_property_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn check_name(name: &str) -> Result<(), ProtocolError> {
    if !is_property_name(name) {
        return Err(ErrorCode::PropertyNameInvalid.into());
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(ErrorCode::PropertyNameTooLong.into());
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<(), ProtocolError> {
    let too_large = match value {
        Value::String(text) => text.encode_utf16().count() * 2 > VALUE_BYTES_MAX,
        Value::Binary(bytes) => bytes.len() > VALUE_BYTES_MAX,
        Value::DateTime(moment) if moment.unix_seconds() < DATE_TIME_SECONDS_MIN => {
            return Err(ErrorCode::OutOfRangeInput.into());
        }
        _ => false,
    };
    if too_large { Err(ErrorCode::PropertyValueTooLarge.into()) } else { Ok(()) }
}

/// An object's members in order, duplicates and all: a map would hide them.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Option<ErrorCode> {
        let parsed = EntityBody::parse(body.as_bytes()).and_then(|body| {
            let key = body.key()?;
            check_whole(&key, &body.properties)
        });
        parsed.err().map(|error| error.code())
    }

    #[test]
    fn bodies() {
        let large = format!(r#"{{"PartitionKey":"p","RowKey":"r","a":"{}"}}"#, "x".repeat(32 * 1024 + 1));
        let mut many = String::from(r#"{"PartitionKey":"p","RowKey":"r""#);
        let mut wide = many.clone();
        for n in 0..=PROPERTIES_MAX {
            many.push_str(&format!(r#","a{n}":1"#));
        }
        for n in 0..17 {
            wide.push_str(&format!(r#","a{n}":"{}""#, "x".repeat(32 * 1024)));
        }
        let long_name = format!(r#"{{"PartitionKey":"p","RowKey":"r","{}":1}}"#, "a".repeat(256));
        for (body, expected) in [
            (
                r#"{"PartitionKey":"p","RowKey":"r","a":1,"b@odata.type":"Edm.Int64","b":"2","odata.etag":"x"}"#,
                None,
            ),
            (r#"{"PartitionKey":"p","RowKey":"r","Timestamp":"ignored","a":null}"#, None),
            (r#"{"PartitionKey":"p"}"#, Some(ErrorCode::PropertiesNeedValue)),
            (r#"{"PartitionKey":1,"RowKey":"r"}"#, Some(ErrorCode::PropertiesNeedValue)),
            (
                r#"{"PartitionKey":"p","RowKey":"r","a":1,"a":2}"#,
                Some(ErrorCode::DuplicatePropertiesSpecified),
            ),
            (r#"{"PartitionKey":"p","RowKey":"r","a b":1}"#, Some(ErrorCode::PropertyNameInvalid)),
            (r#"{"PartitionKey":"p","RowKey":"r","1a":1}"#, Some(ErrorCode::PropertyNameInvalid)),
            (
                r#"{"PartitionKey":"p","RowKey":"r","a@odata.type":"Edm.Guid","a":"x"}"#,
                Some(ErrorCode::InvalidInput),
            ),
            (
                r#"{"PartitionKey":"p","RowKey":"r","a@odata.type":"Edm.X","a":"x"}"#,
                Some(ErrorCode::InvalidValueType),
            ),
            (r#"{"PartitionKey":"p/","RowKey":"r"}"#, Some(ErrorCode::OutOfRangeInput)),
            ("{", Some(ErrorCode::InvalidInput)),
            ("[]", Some(ErrorCode::InvalidInput)),
            (&(many + "}"), Some(ErrorCode::TooManyProperties)),
            (&(wide + "}"), Some(ErrorCode::EntityTooLarge)),
            (&large, Some(ErrorCode::PropertyValueTooLarge)),
            (&long_name, Some(ErrorCode::PropertyNameTooLong)),
        ] {
            assert_eq!(code(body), expected, "{}", body.chars().take(100).collect::<String>());
        }
    }

    /// One below, at and one above each limit.
    #[test]
    fn limits() {
        let entity = |members: &str| format!(r#"{{"PartitionKey":"p","RowKey":"r",{members}}}"#);
        let text = |units: usize| entity(&format!(r#""a":"{}""#, "x".repeat(units)));
        let binary = |bytes: usize| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
            entity(&format!(r#""a@odata.type":"Edm.Binary","a":"{text}""#))
        };
        let name = |chars: usize| entity(&format!(r#""{}":1"#, "é".repeat(chars)));
        let count =
            |count: usize| entity(&(0..count).map(|n| format!(r#""a{n}":1"#)).collect::<Vec<_>>().join(","));
        // The size of the whole: 4, two keys of one character, and 8, the name and 4 beside each text.
        let whole = |bytes: usize| {
            let full: Vec<_> =
                (10..26).map(|n| format!(r#""a{n}":"{}""#, "x".repeat((VALUE_BYTES_MAX - 32) / 2))).collect();
            let rest = bytes - 8 - 16 * (18 + VALUE_BYTES_MAX - 32);
            let last = format!(r#""b@odata.type":"Edm.Binary","b":"{}""#, {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(vec![0; rest - 14])
            });
            entity(&format!("{},{last}", full.join(",")))
        };
        let date = |text: &str| entity(&format!(r#""a@odata.type":"Edm.DateTime","a":"{text}""#));
        let number =
            |edm_type: &str, text: &str| entity(&format!(r#""a@odata.type":"{edm_type}","a":"{text}""#));
        for (body, expected) in [
            (text(VALUE_BYTES_MAX / 2 - 1), None),
            (text(VALUE_BYTES_MAX / 2), None),
            (text(VALUE_BYTES_MAX / 2 + 1), Some(ErrorCode::PropertyValueTooLarge)),
            (binary(VALUE_BYTES_MAX - 1), None),
            (binary(VALUE_BYTES_MAX), None),
            (binary(VALUE_BYTES_MAX + 1), Some(ErrorCode::PropertyValueTooLarge)),
            (name(NAME_CHARS_MAX - 1), None),
            (name(NAME_CHARS_MAX), None),
            (name(NAME_CHARS_MAX + 1), Some(ErrorCode::PropertyNameTooLong)),
            (count(PROPERTIES_MAX - 1), None),
            (count(PROPERTIES_MAX), None),
            (count(PROPERTIES_MAX + 1), Some(ErrorCode::TooManyProperties)),
            (whole(ENTITY_BYTES_MAX - 1), None),
            (whole(ENTITY_BYTES_MAX), None),
            (whole(ENTITY_BYTES_MAX + 1), Some(ErrorCode::EntityTooLarge)),
            (date("1600-12-31T23:59:59.9999999Z"), Some(ErrorCode::OutOfRangeInput)),
            (date("1601-01-01T00:00:00Z"), None),
            (date("1601-01-01T00:00:00.0000001Z"), None),
            (date("9999-12-31T23:59:59.9999999Z"), None),
            (date("10000-01-01T00:00:00Z"), Some(ErrorCode::InvalidInput)),
            (number("Edm.Int32", "2147483647"), None),
            (number("Edm.Int32", "2147483648"), Some(ErrorCode::InvalidInput)),
            (number("Edm.Int32", "-2147483648"), None),
            (number("Edm.Int32", "-2147483649"), Some(ErrorCode::InvalidInput)),
            (number("Edm.Int64", "9223372036854775807"), None),
            (number("Edm.Int64", "9223372036854775808"), Some(ErrorCode::InvalidInput)),
            (number("Edm.Int64", "-9223372036854775808"), None),
            (number("Edm.Int64", "-9223372036854775809"), Some(ErrorCode::InvalidInput)),
            (entity(r#""a":2147483648"#), Some(ErrorCode::InvalidInput)),
            (number("Edm.Double", "NaN"), None),
            (number("Edm.Double", "-Infinity"), None),
            (number("Edm.Double", "nan"), Some(ErrorCode::InvalidInput)),
            (number("Edm.Guid", "C9DA6455-213D-42C9-9A79-3E9149A57833"), None),
            (number("Edm.Guid", "c9da6455213d42c99a793e9149a57833"), None),
            (number("Edm.Guid", "{c9da6455-213d-42c9-9a79-3e9149a57833}"), None),
            (
                number("Edm.Guid", "urn:uuid:c9da6455-213d-42c9-9a79-3e9149a57833"),
                Some(ErrorCode::InvalidInput),
            ),
            (number("Edm.Guid", "c9da6455-213d-42c9-9a79-3e9149a5783"), Some(ErrorCode::InvalidInput)),
        ] {
            assert_eq!(code(&body), expected, "{}", body.chars().take(100).collect::<String>());
        }
    }
}
