//! A property's value with its EDM type (STORAGE, section 7): what JSON says of it, and how two compare.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;
use welkin_base::timestamp::{TICKS_PER_SECOND, Timestamp};

use crate::error::{ErrorCode, ProtocolError};

/// A value of one of the eight EDM types. The engine stores it as it is here: the order of variants never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// `Edm.String`.
    String(String),
    /// `Edm.Boolean`.
    Boolean(bool),
    /// `Edm.Int32`.
    Int32(i32),
    /// `Edm.Int64`.
    Int64(i64),
    /// `Edm.Double`.
    Double(f64),
    /// `Edm.DateTime`.
    DateTime(Timestamp),
    /// `Edm.Guid`.
    Guid(Uuid),
    /// `Edm.Binary`.
    Binary(Vec<u8>),
}

/// A value that lives elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is that of Value")]
pub enum ValueRef<'a> {
    String(&'a str),
    Boolean(bool),
    Int32(i32),
    Int64(i64),
    Double(f64),
    DateTime(Timestamp),
    Guid(Uuid),
    Binary(&'a [u8]),
}

impl Value {
    /// Reads a JSON value. `edm_type` is what `name@odata.type` says. `None` is a null.
    ///
    /// # Errors
    /// When the type is unknown or the value is not a literal of its type.
    pub fn from_json(
        edm_type: Option<&str>,
        json: &serde_json::Value,
    ) -> Result<Option<Self>, ProtocolError> {
        use serde_json::Value as Json;
        let value = match (edm_type, json) {
            (_, Json::Null) => return Ok(None),
            (None | Some("Edm.String"), Json::String(text)) => Self::String(text.clone()),
            (None | Some("Edm.Boolean"), Json::Bool(truth)) => Self::Boolean(*truth),
            (Some("Edm.Boolean"), Json::String(text)) => {
                Self::Boolean(text.parse().map_err(|_| bad_literal("Edm.Boolean"))?)
            }
            (None, Json::Number(number)) if number.is_f64() => Self::Double(double(number)?),
            (None | Some("Edm.Int32"), Json::Number(number)) => Self::Int32(int32(number.as_i64())?),
            (Some("Edm.Int32"), Json::String(text)) => Self::Int32(int32(text.parse().ok())?),
            (Some("Edm.Int64"), Json::String(text)) => {
                Self::Int64(text.parse().map_err(|_| bad_literal("Edm.Int64"))?)
            }
            (Some("Edm.Int64"), Json::Number(number)) => {
                Self::Int64(number.as_i64().ok_or_else(|| bad_literal("Edm.Int64"))?)
            }
            (Some("Edm.Double"), Json::Number(number)) => Self::Double(double(number)?),
            (Some("Edm.Double"), Json::String(text)) => Self::Double(parse_double(text)?),
            (Some("Edm.DateTime"), Json::String(text)) => Self::DateTime(parse_date_time(text)?),
            (Some("Edm.Guid"), Json::String(text)) => Self::Guid(parse_guid(text)?),
            (Some("Edm.Binary"), Json::String(text)) => {
                Self::Binary(STANDARD.decode(text).map_err(|_| bad_literal("Edm.Binary"))?)
            }
            (
                Some(
                    known @ ("Edm.String" | "Edm.Boolean" | "Edm.Int32" | "Edm.Int64" | "Edm.Double"
                    | "Edm.DateTime" | "Edm.Guid" | "Edm.Binary"),
                ),
                _,
            ) => return Err(bad_literal(known)),
            (Some(_), _) => return Err(ErrorCode::InvalidValueType.into()),
            (None, _) => return Err(bad_literal("a simple type")),
        };
        Ok(Some(value))
    }

    /// What `name@odata.type` must say, where the JSON value alone does not tell the type.
    #[must_use]
    pub fn json_annotation(&self) -> Option<&'static str> {
        match self {
            Self::String(_) | Self::Boolean(_) | Self::Int32(_) => None,
            Self::Double(number) if number.is_finite() => None,
            Self::Double(_) => Some("Edm.Double"),
            Self::Int64(_) => Some("Edm.Int64"),
            Self::DateTime(_) => Some("Edm.DateTime"),
            Self::Guid(_) => Some("Edm.Guid"),
            Self::Binary(_) => Some("Edm.Binary"),
        }
    }

    /// Bytes that the value counts towards the entity's size: text in UTF-16.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::String(text) => 4 + text.encode_utf16().count() * 2,
            Self::Binary(bytes) => 4 + bytes.len(),
            Self::Boolean(_) => 1,
            Self::Int32(_) => 4,
            Self::Int64(_) | Self::Double(_) | Self::DateTime(_) => 8,
            Self::Guid(_) => 16,
        }
    }

    /// About how long the value is in JSON, beyond what is the same for all.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Binary(bytes) => bytes.len().div_ceil(3) * 4,
            _ => 0,
        }
    }

    /// The value, borrowed.
    #[must_use]
    pub fn borrow(&self) -> ValueRef<'_> {
        match self {
            Self::String(text) => ValueRef::String(text),
            Self::Boolean(truth) => ValueRef::Boolean(*truth),
            Self::Int32(number) => ValueRef::Int32(*number),
            Self::Int64(number) => ValueRef::Int64(*number),
            Self::Double(number) => ValueRef::Double(*number),
            Self::DateTime(moment) => ValueRef::DateTime(*moment),
            Self::Guid(guid) => ValueRef::Guid(*guid),
            Self::Binary(bytes) => ValueRef::Binary(bytes),
        }
    }
}

/// A value as `name` has it in JSON.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => serializer.serialize_str(text),
            Value::Boolean(truth) => serializer.serialize_bool(*truth),
            Value::Int32(number) => serializer.serialize_i32(*number),
            Value::Int64(number) => serializer.collect_str(number),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Double(number) => serializer.serialize_str(non_finite(*number)),
            Value::DateTime(moment) => serializer.serialize_str(&date_time(*moment)),
            Value::Guid(guid) => {
                serializer.serialize_str(guid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
            Value::Binary(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}

impl ValueRef<'_> {
    /// How the two compare; `None` when their types do not. The numeric types compare with each other;
    /// text compares by UTF-16 code units.
    #[must_use]
    pub fn compare(self, other: ValueRef<'_>) -> Option<Ordering> {
        match (self, other) {
            (ValueRef::String(a), ValueRef::String(b)) => Some(compare_ordinal(a, b)),
            (ValueRef::Boolean(a), ValueRef::Boolean(b)) => Some(a.cmp(&b)),
            (ValueRef::DateTime(a), ValueRef::DateTime(b)) => Some(a.cmp(&b)),
            (ValueRef::Guid(a), ValueRef::Guid(b)) => Some(a.cmp(&b)),
            (ValueRef::Binary(a), ValueRef::Binary(b)) => Some(a.cmp(b)),
            (ValueRef::Double(a), ValueRef::Double(b)) => a.partial_cmp(&b),
            (ValueRef::Double(a), b) => compare_integer(b.integer()?, a).map(Ordering::reverse),
            (a, ValueRef::Double(b)) => compare_integer(a.integer()?, b),
            (a, b) => Some(a.integer()?.cmp(&b.integer()?)),
        }
    }

    fn integer(self) -> Option<i64> {
        match self {
            ValueRef::Int32(number) => Some(number.into()),
            ValueRef::Int64(number) => Some(number),
            _ => None,
        }
    }
}

/// Order of texts by UTF-16 code units: the ordinal order of the service.
#[must_use]
pub fn compare_ordinal(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Compares without the loss of a conversion: a double beyond 2^63 is beyond every integer.
#[allow(clippy::cast_possible_truncation, reason = "the double was floored and is within the range of i64")]
fn compare_integer(integer: i64, double: f64) -> Option<Ordering> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        None
    } else if double >= TWO_TO_63 {
        Some(Ordering::Less)
    } else if double < -TWO_TO_63 {
        Some(Ordering::Greater)
    } else {
        let floor = double.floor();
        let whole = integer.cmp(&(floor as i64));
        Some(if whole == Ordering::Equal && double > floor { Ordering::Less } else { whole })
    }
}

/// A date and time as the service writes it: seven fraction digits, or none when all are zero.
#[must_use]
pub fn date_time(moment: Timestamp) -> String {
    if moment.ticks().rem_euclid(TICKS_PER_SECOND) == 0 { moment.to_iso_seconds() } else { moment.to_iso7() }
}

/// Reads a date and time: RFC 3339, or without the offset, which then is UTC.
pub(crate) fn parse_date_time(text: &str) -> Result<Timestamp, ProtocolError> {
    let parsed = Timestamp::parse_rfc3339(text)
        .or_else(|_| Timestamp::parse_rfc3339(&format!("{text}Z")))
        .or_else(|_| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")));
    parsed.map_err(|_| bad_literal("Edm.DateTime"))
}

pub(crate) fn parse_guid(text: &str) -> Result<Uuid, ProtocolError> {
    // A URN is a form of UUIDs, not of the data model.
    let uuid = Uuid::parse_str(text).ok().filter(|_| !text.starts_with("urn:"));
    uuid.ok_or_else(|| bad_literal("Edm.Guid"))
}

pub(crate) fn bad_literal(edm_type: &str) -> ProtocolError {
    let why = format!("One of the request inputs is not valid: a value is not a literal of {edm_type}.");
    ProtocolError::saying(ErrorCode::InvalidInput, why)
}

fn int32(number: Option<i64>) -> Result<i32, ProtocolError> {
    number.and_then(|n| n.try_into().ok()).ok_or_else(|| bad_literal("Edm.Int32"))
}

fn double(number: &serde_json::Number) -> Result<f64, ProtocolError> {
    number.as_f64().ok_or_else(|| bad_literal("Edm.Double"))
}

fn parse_double(text: &str) -> Result<f64, ProtocolError> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" | "INF" => Ok(f64::INFINITY),
        "-Infinity" | "-INF" => Ok(f64::NEG_INFINITY),
        text if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            text.parse().map_err(|_| bad_literal("Edm.Double"))
        }
        _ => Err(bad_literal("Edm.Double")),
    }
}

fn non_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any value; a double is never NaN, which is equal to nothing.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "\\PC{0,12}".prop_map(Value::String),
            any::<bool>().prop_map(Value::Boolean),
            any::<i32>().prop_map(Value::Int32),
            any::<i64>().prop_map(Value::Int64),
            (proptest::num::f64::NORMAL | proptest::num::f64::INFINITE | proptest::num::f64::ZERO)
                .prop_map(Value::Double),
            (0i64..100_000_000_000_000_000).prop_map(|t| Value::DateTime(Timestamp::from_ticks(t))),
            any::<u128>().prop_map(|n| Value::Guid(Uuid::from_u128(n))),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Binary),
        ]
    }

    proptest! {
        #[test]
        fn json_round_trips(value in any_value()) {
            let json = serde_json::to_string(&Json(&value)).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            let back = Value::from_json(value.json_annotation(), &json).unwrap().unwrap();
            match (&value, &back) {
                // JSON of serde_json may miss the last bit of a double's text.
                (Value::Double(a), Value::Double(b)) => prop_assert!(a == b || (a - b).abs() <= a.abs() * 1e-15),
                _ => prop_assert_eq!(&value, &back),
            }
        }
    }

    #[test]
    fn literals() {
        for (edm_type, json, expected) in [
            (None, "1", Some(Value::Int32(1))),
            (None, "1.0", Some(Value::Double(1.0))),
            (None, "2147483648", None),
            (Some("Edm.Int64"), "\"9223372036854775807\"", Some(Value::Int64(i64::MAX))),
            (Some("Edm.Int64"), "\"9223372036854775808\"", None),
            (Some("Edm.Int64"), "\"x\"", None),
            (Some("Edm.Double"), "3", Some(Value::Double(3.0))),
            (Some("Edm.Double"), "\"-Infinity\"", Some(Value::Double(f64::NEG_INFINITY))),
            (Some("Edm.Double"), "\"inf\"", None),
            (Some("Edm.Binary"), "\"AQI=\"", Some(Value::Binary(vec![1, 2]))),
            (Some("Edm.Binary"), "\"A\"", None),
            (Some("Edm.Guid"), "\"nope\"", None),
            (
                Some("Edm.DateTime"),
                "\"1970-01-01T00:00:01\"",
                Some(Value::DateTime(Timestamp::from_ticks(10_000_000))),
            ),
            (Some("Edm.DateTime"), "\"now\"", None),
            (Some("Edm.Boolean"), "\"true\"", Some(Value::Boolean(true))),
            (Some("Edm.String"), "1", None),
            (Some("Edm.Decimal"), "\"1\"", None),
            (None, "[1]", None),
        ] {
            let json: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(Value::from_json(edm_type, &json).ok().flatten(), expected, "{edm_type:?} {json}");
        }
    }

    #[test]
    fn order() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            (Value::Int32(1), Value::Int64(1), Some(Equal)),
            (Value::Int32(1), Value::Double(1.5), Some(Less)),
            (Value::Double(1.5), Value::Int32(1), Some(Greater)),
            (Value::Int64(i64::MAX), Value::Double(9.3e18), Some(Less)),
            (Value::Int64(i64::MAX - 1), Value::Int64(i64::MAX), Some(Less)),
            (Value::Int32(0), Value::Double(f64::NAN), None),
            (Value::Int32(1), Value::String("1".into()), None),
            (Value::String("a".into()), Value::String("B".into()), Some(Greater)),
            (Value::String("\u{ffff}".into()), Value::String("\u{10000}".into()), Some(Greater)),
            (Value::Boolean(false), Value::Boolean(true), Some(Less)),
        ] {
            assert_eq!(a.borrow().compare(b.borrow()), expected, "{a:?} {b:?}");
        }
    }
}
