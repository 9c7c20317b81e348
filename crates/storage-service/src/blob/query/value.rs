//! Values of a query: of fields, constants and expressions.

use std::cmp::Ordering;

/// A value. `Null` is also what is not known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A list or an object of a document.
    Document(serde_json::Value),
}

/// What a value is cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Float,
    Text,
}

impl Value {
    /// What a document holds.
    pub(super) fn of_json(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => number.as_f64().map_or(Self::Null, Self::Float),
            },
            other => Self::Document(other.clone()),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => text.clone().into(),
            Self::Document(value) => value.clone(),
        }
    }

    /// As a field of delimited text.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Document(value) => value.to_string(),
        }
    }

    /// The number that it is, or that its text says.
    pub(super) fn number(&self) -> Option<Self> {
        match self {
            Self::Int(_) | Self::Float(_) => Some(self.clone()),
            Self::Text(text) => {
                let text = text.trim();
                let whole = text.parse().ok().map(Self::Int);
                whole.or_else(|| text.parse().ok().map(Self::Float))
            }
            Self::Null | Self::Bool(_) | Self::Document(_) => None,
        }
    }

    pub(super) fn float(&self) -> Option<f64> {
        match self.number()? {
            Self::Int(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    /// Which is greater; `None` where that is not known. A text is compared with a number by the number that it
    /// says, and with a text by bytes.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(right)),
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Bool(left), Self::Text(right)) => {
                Some(left.cmp(&right.trim().to_lowercase().parse().ok()?))
            }
            (Self::Text(_), Self::Bool(_)) => other.compare(self).map(Ordering::reverse),
            _ => self.float()?.partial_cmp(&other.float()?),
        }
    }

    /// The value as another type; `Null` where it cannot be one.
    pub(super) fn cast(&self, to: Type) -> Self {
        match (to, self) {
            (_, Self::Null) => Self::Null,
            (Type::Text, value) => Self::Text(value.to_text()),
            (Type::Bool, Self::Bool(value)) => Self::Bool(*value),
            (Type::Bool, Self::Text(text)) => match text.trim().to_lowercase().as_str() {
                "true" | "1" => Self::Bool(true),
                "false" | "0" => Self::Bool(false),
                _ => Self::Null,
            },
            (Type::Bool, value) => value.float().map_or(Self::Null, |number| Self::Bool(number != 0.0)),
            (Type::Int, Self::Bool(value)) => Self::Int(i64::from(*value)),
            (Type::Int, value) => match value.number() {
                Some(Self::Float(number)) => Self::Int(number as i64),
                Some(number) => number,
                None => Self::Null,
            },
            (Type::Float, value) => value.float().map_or(Self::Null, Self::Float),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (left, right, expected) in [
            (Value::Int(1), Value::Int(2), Some(Ordering::Less)),
            (Value::Int(1), Value::Float(1.0), Some(Ordering::Equal)),
            (text("10"), Value::Int(9), Some(Ordering::Greater)),
            (text("10"), text("9"), Some(Ordering::Less)),
            (text("x"), Value::Int(9), None),
            (text("True"), Value::Bool(true), Some(Ordering::Equal)),
            (Value::Null, Value::Null, None),
        ] {
            assert_eq!(left.compare(&right), expected, "{left:?} {right:?}");
        }
    }

    #[test]
    fn casts() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (value, to, expected) in [
            (text(" 7 "), Type::Int, Value::Int(7)),
            (text("7.9"), Type::Int, Value::Int(7)),
            (text("x"), Type::Int, Value::Null),
            (Value::Int(7), Type::Text, text("7")),
            (Value::Int(0), Type::Bool, Value::Bool(false)),
            (text("1e3"), Type::Float, Value::Float(1000.0)),
            (Value::Null, Type::Text, Value::Null),
        ] {
            assert_eq!(value.cast(to), expected, "{value:?}");
        }
    }
}
