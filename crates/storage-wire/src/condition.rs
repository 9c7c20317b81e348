//! Conditional headers, as values (STORAGE, section 4).

use std::time::SystemTime;

use http::HeaderMap;
use welkin_base::Timestamp;

use crate::blob::tag_filter::{Place, TagFilter};
use crate::error::{ErrorCode, ProtocolError};

/// A request may have at most this many conditions.
const CONDITIONS_MAX: usize = 2;

/// What a request's conditional headers say. ETags are texts as sent, or `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConditionHeaders {
    /// `If-Match`.
    pub if_match: Option<Vec<String>>,
    /// `If-None-Match`.
    pub if_none_match: Option<Vec<String>>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<Timestamp>,
    /// `x-ms-if-tags`.
    pub if_tags: Option<TagFilter>,
}

impl ConditionHeaders {
    /// Reads them.
    ///
    /// # Errors
    /// When a date or an expression over tags cannot be understood, or there are more than two conditions.
    pub fn of(headers: &HeaderMap) -> Result<Self, ProtocolError> {
        let if_tags = text(headers, "x-ms-if-tags")?;
        let found = Self {
            if_match: tags(headers, "if-match")?,
            if_none_match: tags(headers, "if-none-match")?,
            if_modified_since: date(headers, "if-modified-since")?,
            if_unmodified_since: date(headers, "if-unmodified-since")?,
            if_tags: if_tags.map(|text| TagFilter::parse(text, Place::Condition)).transpose()?,
        };
        let given = [
            found.if_match.is_some(),
            found.if_none_match.is_some(),
            found.if_modified_since.is_some(),
            found.if_unmodified_since.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > CONDITIONS_MAX {
            return Err(ErrorCode::MultipleConditionHeadersNotSupported.into());
        }
        Ok(found)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ProtocolError> {
    let value = headers.get(name).map(|v| v.to_str().map_err(|_| ProtocolError::header(name, "")));
    Ok(value.transpose()?.map(str::trim).filter(|v| !v.is_empty()))
}

fn tags(headers: &HeaderMap, name: &'static str) -> Result<Option<Vec<String>>, ProtocolError> {
    let split = |value: &str| value.split(',').map(|tag| tag.trim().to_owned()).collect();
    Ok(text(headers, name)?.map(split))
}

fn date(headers: &HeaderMap, name: &'static str) -> Result<Option<Timestamp>, ProtocolError> {
    let Some(value) = text(headers, name)? else {
        return Ok(None);
    };
    let moment: SystemTime =
        httpdate::parse_http_date(value).map_err(|_| ProtocolError::header(name, value))?;
    Ok(Some(Timestamp::from(moment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let date = "Tue, 24 Nov 2026 11:00:00 GMT";
        type Headers = [(&'static str, &'static str)];
        let rows: &[(&Headers, Option<usize>)] = &[
            (&[], Some(0)),
            (&[("if-match", "*")], Some(1)),
            (&[("if-none-match", "\"a\", \"b\"")], Some(2)),
            (&[("if-match", "x"), ("if-unmodified-since", date)], Some(1)),
            (&[("if-match", "x"), ("if-none-match", "y"), ("if-modified-since", date)], None),
            (&[("if-modified-since", "yesterday")], None),
            (&[("x-ms-if-tags", "a = 'b'")], Some(0)),
            (&[("x-ms-if-tags", "a = b")], None),
        ];
        for (headers, expected) in rows {
            let map: HeaderMap =
                headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
            let found = ConditionHeaders::of(&map).ok();
            let count = found.map(|c| c.if_match.iter().chain(&c.if_none_match).map(Vec::len).sum::<usize>());
            assert_eq!(count, *expected, "{headers:?}");
        }
    }
}
