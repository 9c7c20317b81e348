//! The query of a request: names and decoded values, in the order sent.

use percent_encoding::percent_decode_str;

use crate::error::{ErrorCode, ProtocolError};

/// A query takes at most this many parameters; no operation has more than thirty.
const PARAMETERS_MAX: usize = 100;

/// The query's parameters, decoded. Names are as sent; the lookup ignores case, as Azure does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the text after `?`.
    ///
    /// # Errors
    /// When it is not percent-encoded UTF-8, or has too many parameters.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let mut pairs = Vec::new();
        for piece in text.split('&').filter(|p| !p.is_empty()) {
            if pairs.len() == PARAMETERS_MAX {
                return Err(ErrorCode::RequestUrlFailedToParse.into());
            }
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            // A plus sign is a space, as in a form: clients written in Go send it so, and sign the space.
            pairs.push((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?));
        }
        Ok(Self(pairs))
    }

    /// The first value of the parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The value of the parameter, where it has one that is not empty.
    #[must_use]
    pub fn get_filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// The value as a number.
    ///
    /// # Errors
    /// When it is not one.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ProtocolError> {
        let parse = |value: &str| value.parse().map_err(|_| ProtocolError::query(name, value));
        self.get(name).map(parse).transpose()
    }

    /// Adds parameters after those that it has.
    pub fn add_all<'a>(&mut self, more: impl Iterator<Item = (&'a str, &'a str)>) {
        self.0.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

/// Decodes percent-encoding; `+` stays what it is, as in a path.
pub(crate) fn decode(text: &str) -> Result<String, ProtocolError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| ErrorCode::InvalidUri.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn values_are_decoded() {
        for (text, expected) in [
            ("prefix=a%20b", "a b"),
            ("prefix=a+b", "a b"),
            ("prefix=a%2Bb", "a+b"),
            ("prefix=100%25+%26+more%2F", "100% & more/"),
            ("prefix=", ""),
        ] {
            assert_eq!(Query::parse(text).unwrap().get("prefix"), Some(expected), "{text}");
        }
        assert!(Query::parse("prefix=%FF").is_err());
    }
}
