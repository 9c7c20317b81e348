//! What a copy says of its source: `x-ms-copy-source` and the `x-ms-source-*` headers (STORAGE, section 3).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::condition::ConditionHeaders;
use crate::error::{ErrorCode, ProtocolError};
use crate::query::Query;
use crate::range;
use crate::request::RequestHead;

/// The header that names the source.
pub const SOURCE: &str = "x-ms-copy-source";
/// The header with the bearer token for the source.
pub const AUTHORIZATION: &str = "x-ms-copy-source-authorization";
/// Characters of a source's URL (the documentation of Copy Blob: 2 KiB).
const URL_CHARS_MAX: usize = 2048;
/// Parameters of the query that say which state of a blob is meant. Others may hold secrets.
const PUBLIC_PARAMETERS: [&str; 2] = ["snapshot", "versionid"];
/// Conditions on the source, and what they are called where it is read.
const CONDITIONS: [(&str, &str); 5] = [
    ("x-ms-source-if-match", "if-match"),
    ("x-ms-source-if-none-match", "if-none-match"),
    ("x-ms-source-if-modified-since", "if-modified-since"),
    ("x-ms-source-if-unmodified-since", "if-unmodified-since"),
    ("x-ms-source-if-tags", "x-ms-if-tags"),
];

/// The URL of a source. Its query may hold a signature: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    uri: Uri,
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceUrl").field(&self.public()).finish()
    }
}

impl SourceUrl {
    /// Reads an absolute URL of HTTP or HTTPS, or `/account/container/blob`, as older versions have it.
    ///
    /// # Errors
    /// When it is neither, is too long, or holds a user's name.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let wrong = || ProtocolError::from(ErrorCode::InvalidHeaderValue).with_detail("HeaderName", SOURCE);
        if text.chars().count() > URL_CHARS_MAX {
            return Err(wrong());
        }
        let uri: Uri = text.trim().parse().map_err(|_| wrong())?;
        let known = match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) => !authority.as_str().contains('@'),
            (None, None) => uri.path().starts_with('/'),
            _ => false,
        };
        match known && uri.path().len() > 1 {
            true => Ok(Self { uri }),
            false => Err(wrong()),
        }
    }

    /// The URL that a request names.
    ///
    /// # Errors
    /// When there is none, or it is no URL.
    pub fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        Self::parse(head.header(SOURCE)?.ok_or_else(|| ProtocolError::missing_header(SOURCE))?)
    }

    /// The URL, with all that is secret in it.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether it is of HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Host and port, in lower case; `None` for a path alone.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        self.uri.authority().map(|authority| authority.as_str().to_ascii_lowercase())
    }

    /// The URL without what is secret in it: as the copy's properties tell it.
    #[must_use]
    pub fn public(&self) -> String {
        let mut text = String::new();
        if let (Some(scheme), Some(authority)) = (self.uri.scheme_str(), self.uri.authority()) {
            text = format!("{scheme}://{authority}");
        }
        text.push_str(self.uri.path());
        let query = self.uri.query().unwrap_or("").split('&');
        let public = |pair: &&str| PUBLIC_PARAMETERS.contains(&pair.split('=').next().unwrap_or(""));
        for (index, pair) in query.filter(public).enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(pair);
        }
        text
    }

    /// Its query.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn query(&self) -> Result<Query, ProtocolError> {
        Query::parse(self.uri.query().unwrap_or(""))
    }
}

/// An error of a source: it has the status of the source's own answer, and tells status and code of it.
#[must_use]
pub fn of_source(error: ProtocolError, status: StatusCode, code: Option<&str>) -> ProtocolError {
    let error = match status.is_client_error() {
        true => error.with_status(status),
        false => error,
    };
    let number = status.as_u16().to_string();
    let error = error.with_detail("CopySourceStatusCode", &number);
    let error = error.with_header("x-ms-copy-source-status-code", number);
    match code {
        None => error,
        Some(code) => {
            error.with_detail("CopySourceErrorCode", code).with_header("x-ms-copy-source-error-code", code)
        }
    }
}

/// The conditions that a request sets on its source.
///
/// # Errors
/// When one cannot be understood.
pub fn conditions(headers: &HeaderMap) -> Result<ConditionHeaders, ProtocolError> {
    ConditionHeaders::of(&condition_headers(headers))
}

/// The same as headers, as the source's server understands them.
#[must_use]
pub fn condition_headers(headers: &HeaderMap) -> HeaderMap {
    let named = |(ours, theirs): &(&'static str, &'static str)| {
        Some((HeaderName::from_static(theirs), HeaderValue::clone(headers.get(*ours)?)))
    };
    CONDITIONS.iter().filter_map(named).collect()
}

/// The bytes of the source that a request names: `x-ms-source-range`.
///
/// # Errors
/// When it is no range.
pub fn source_range(head: &RequestHead) -> Result<Option<(u64, Option<u64>)>, ProtocolError> {
    const NAME: &str = "x-ms-source-range";
    let parse = |text| range::parse(text).ok_or_else(|| ProtocolError::header(NAME, text));
    head.header(NAME)?.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let long = |length: usize| format!("http://h/{}", "x".repeat(length - 9));
        for (text, expected) in [
            ("http://h:1/a/c/b", Some("http://h:1/a/c/b")),
            (
                "https://a.blob.example.org/c/b%20c?snapshot=2026-11-24T10:00:00.0000000Z&sig=abc&sv=1",
                Some("https://a.blob.example.org/c/b%20c?snapshot=2026-11-24T10:00:00.0000000Z"),
            ),
            ("https://h/c/b?sig=abc", Some("https://h/c/b")),
            (
                "https://h/c/b?token=secret&versionid=v&snapshot=s",
                Some("https://h/c/b?versionid=v&snapshot=s"),
            ),
            ("/a/c/b?sig=x", Some("/a/c/b")),
            ("https://user:password@h/c/b", None),
            ("ftp://h/c/b", None),
            ("https://h", None),
            ("https://h/", None),
            ("h/c/b", None),
            ("//h/c", Some("//h/c")),
            ("", None),
            ("http://h/a b", None),
        ] {
            let url = SourceUrl::parse(text).ok();
            assert_eq!(url.as_ref().map(SourceUrl::public).as_deref(), expected, "{text}");
            assert!(!format!("{url:?}").contains("abc"), "{text}");
        }
        assert!(SourceUrl::parse(&long(URL_CHARS_MAX)).is_ok());
        assert!(SourceUrl::parse(&long(URL_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn conditions_on_sources() {
        let headers: HeaderMap = [("x-ms-source-if-match", "\"1\""), ("if-match", "\"2\"")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let found = conditions(&headers).unwrap();
        assert_eq!(found.if_match, Some(vec!["\"1\"".to_owned()]));
        let bad = [("x-ms-source-if-modified-since", "yesterday")];
        let bad = bad.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert!(conditions(&bad.into_iter().collect()).is_err());
    }
}
