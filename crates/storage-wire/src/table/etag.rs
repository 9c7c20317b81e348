//! An entity's ETag is its timestamp: `W/"datetime'2026-11-24T00%3A12%3A20.7699770Z'"`.

use welkin_base::timestamp::Timestamp;

use crate::error::{ErrorCode, ProtocolError};

/// The ETag of an entity that was written at `timestamp`.
#[must_use]
pub fn etag(timestamp: Timestamp) -> String {
    let mut text = String::with_capacity(48);
    text.push_str("W/\"datetime'");
    for (at, part) in timestamp.iso7().as_str().split(':').enumerate() {
        text.push_str(if at == 0 { "" } else { "%3A" });
        text.push_str(part);
    }
    text.push_str("'\"");
    text
}

/// What a write asks of the entity that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `If-Match: *`: there must be one.
    Exists,
    /// `If-Match: <etag>`: it must be this one.
    Is(Timestamp),
    /// An ETag that no entity of this server has.
    Never,
}

impl Condition {
    /// Reads the value of `If-Match`.
    ///
    /// # Errors
    /// When it is empty or has no form of an ETag.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Exists);
        }
        let strong = text.strip_prefix("W/").unwrap_or(text);
        let inner = strong.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        // More than one ETag has quotes within.
        let inner = inner.filter(|inner| !inner.contains('"')).ok_or_else(|| {
            let why = "The etag value specified in one of the request headers is not valid. Please make sure only \
                       one etag value is specified and is valid.";
            ProtocolError::saying(ErrorCode::InvalidInput, why)
        })?;
        let moment = inner.strip_prefix("datetime'").and_then(|t| t.strip_suffix('\''));
        let moment = moment.and_then(|m| crate::query::decode(m).ok());
        let moment = moment.and_then(|m| Timestamp::parse_rfc3339(&m).ok());
        Ok(moment.map_or(Self::Never, Self::Is))
    }

    /// Whether an entity that was written at `timestamp` satisfies it.
    #[must_use]
    pub fn holds(self, timestamp: Timestamp) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(expected) => expected == timestamp,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_others() {
        let moment = Timestamp::from_ticks(17_000_000_000_000_001);
        assert_eq!(Condition::parse(&etag(moment)).unwrap(), Condition::Is(moment));
        assert_eq!(Condition::parse("*").unwrap(), Condition::Exists);
        assert_eq!(Condition::parse("\"0x8D\"").unwrap(), Condition::Never);
        for bad in ["abc", "", "\"", "W/abc", "W/\"a\", W/\"b\"", "W/*"] {
            assert_eq!(Condition::parse(bad).unwrap_err().code(), ErrorCode::InvalidInput, "{bad}");
        }
        assert!(!Condition::Never.holds(moment));
    }
}
