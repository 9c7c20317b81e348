//! The head of a request: who is asked, for what, and in which version of the protocol.

use http::{HeaderMap, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{ErrorCode, ProtocolError};
use crate::operation::Service;
use crate::query::{Query, decode};

/// The oldest version of the protocol that is understood.
const VERSION_MIN: &str = "2009-04-14";
/// What a request without a version gets, as Azure does for signed ones.
const VERSION_DEFAULT: &str = "2009-09-19";
/// In the host of a website this stands where the service's name stands in the others.
const WEBSITE_LABEL: &str = "web";
/// What is encoded in the path of a resource: all but letters, digits and what parts it.
const PATH_ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');
/// A client's request id is echoed when it has at most this many characters (Azure: 1 KiB).
const CLIENT_REQUEST_ID_CHARS_MAX: usize = 1024;

/// A version of the protocol: a date, compared as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(String);

impl ApiVersion {
    /// Any well-formed date from 2009-04-14 on; later ones than are known, too.
    ///
    /// # Errors
    /// When the text is not such a date.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let shape = text.len() == 10
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        let in_range = |part: &str, max: u8| part.parse::<u8>().is_ok_and(|n| (1..=max).contains(&n));
        if shape && in_range(&text[5..7], 12) && in_range(&text[8..10], 31) && text >= VERSION_MIN {
            Ok(Self(text.to_owned()))
        } else {
            Err(ProtocolError::header("x-ms-version", text))
        }
    }

    /// As the wire spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self(VERSION_DEFAULT.to_owned())
    }
}

/// What a request's head says, before it is known who asks.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The service, known by the port or the host.
    pub service: Service,
    /// The method.
    pub method: Method,
    /// The account, without `-secondary`.
    pub account: String,
    /// Whether the secondary endpoint is asked.
    pub secondary: bool,
    /// The whole path as sent, still encoded: what signatures cover.
    pub path: String,
    /// Where in `path` the account's part ends: 0 for host style.
    account_end: usize,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The version of the protocol; what the answer echoes.
    pub version: ApiVersion,
    /// Whether the request names the version itself.
    pub names_version: bool,
    /// Whether the website of the account is asked: `{account}.web.{suffix}`.
    pub website: bool,
}

impl RequestHead {
    /// Reads the head. `host_suffixes` are the domains under which `{account}.{service}.{suffix}` names an
    /// account; any other host means path style.
    ///
    /// # Errors
    /// When the URL names no account or cannot be decoded, or the version is not a date.
    pub fn parse(
        service: Service,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        host_suffixes: &[String],
    ) -> Result<Self, ProtocolError> {
        let path = uri.path().to_owned();
        let query = Query::parse(uri.query().unwrap_or(""))?;
        let host = uri.host().or_else(|| headers.get(http::header::HOST).and_then(|h| h.to_str().ok()));
        let in_host = |label| account_in_host(label, host.unwrap_or(""), host_suffixes);
        let site = if service == Service::Blob { in_host(WEBSITE_LABEL) } else { None };
        let website = site.is_some();
        let (named, account_end) = match site.or_else(|| in_host(service.as_str())) {
            Some(account) => (account, 0),
            None => account_in_path(&path)?,
        };
        let (account, secondary) = match named.strip_suffix("-secondary") {
            Some(primary) => (primary.to_owned(), true),
            None => (named, false),
        };
        let given = version_of(&headers, &query)?;
        let names_version = given.is_some();
        let version = given.unwrap_or_default();
        Ok(Self {
            service,
            method,
            account,
            secondary,
            path,
            account_end,
            query,
            headers,
            version,
            names_version,
            website,
        })
    }

    /// The same request for another resource of the account, given decoded, and without a query.
    #[must_use]
    pub fn redirected(&self, resource_path: &str) -> Self {
        let account = self.path.get(..self.account_end).unwrap_or("");
        let path = format!("{account}{}", utf8_percent_encode(resource_path, PATH_ENCODED));
        Self { path, query: Query::default(), ..self.clone() }
    }

    /// The head of a request within this one, as a batch has them: it is for the same account, and has the same
    /// host.
    ///
    /// # Errors
    /// When its path lies outside of the account, or its query cannot be decoded.
    pub fn within(&self, method: Method, uri: &Uri, headers: HeaderMap) -> Result<Self, ProtocolError> {
        let account = self.path.get(..self.account_end).unwrap_or("");
        let rest = uri.path().strip_prefix(account);
        if !rest.is_some_and(|rest| rest.starts_with('/')) {
            return Err(ErrorCode::InvalidUri.into());
        }
        let mut headers = headers;
        if let Some(host) = self.headers.get(http::header::HOST) {
            headers.insert(http::header::HOST, host.clone());
        }
        let query = Query::parse(uri.query().unwrap_or(""))?;
        Ok(Self { method, path: uri.path().to_owned(), query, headers, ..self.clone() })
    }

    /// The head of a request within this one whose path leaves the account out, as in host style.
    ///
    /// # Errors
    /// When its query cannot be decoded.
    pub fn within_account(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
    ) -> Result<Self, ProtocolError> {
        Self { account_end: 0, ..self.clone() }.within(method, uri, headers)
    }

    /// The path of the resource within the account, decoded; begins with `/` unless empty.
    ///
    /// # Errors
    /// When it is not percent-encoded UTF-8, or holds a NUL.
    pub fn resource_path(&self) -> Result<String, ProtocolError> {
        let path = decode(self.path.get(self.account_end..).unwrap_or(""))?;
        if path.contains('\0') { Err(ErrorCode::InvalidUri.into()) } else { Ok(path) }
    }

    /// Whether the account is in the path.
    #[must_use]
    pub fn is_path_style(&self) -> bool {
        self.account_end > 0
    }

    /// A header's value as text.
    ///
    /// # Errors
    /// When it is not printable ASCII.
    pub fn header(&self, name: &'static str) -> Result<Option<&str>, ProtocolError> {
        let value = self.headers.get(name);
        value.map(|v| v.to_str().map_err(|_| ProtocolError::header(name, ""))).transpose()
    }

    /// The account's URL as the client spelled it, without a final `/`: what listings say as `ServiceEndpoint`.
    #[must_use]
    pub fn endpoint(&self, scheme: &str) -> String {
        let host = self.headers.get(http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        format!("{scheme}://{host}{}", self.path.get(..self.account_end).unwrap_or(""))
    }
}

/// What the client calls its request, if it can be echoed.
#[must_use]
pub fn client_request_id(headers: &HeaderMap) -> Option<&http::HeaderValue> {
    let value = headers.get("x-ms-client-request-id")?;
    (value.len() <= CLIENT_REQUEST_ID_CHARS_MAX && value.to_str().is_ok()).then_some(value)
}

fn version_of(headers: &HeaderMap, query: &Query) -> Result<Option<ApiVersion>, ProtocolError> {
    let header = match headers.get("x-ms-version") {
        Some(value) => Some(value.to_str().map_err(|_| ProtocolError::header("x-ms-version", ""))?),
        None => None,
    };
    let text = header.or_else(|| query.get("api-version")).or_else(|| query.get("sv"));
    text.map(ApiVersion::parse).transpose()
}

fn account_in_host(label: &str, host: &str, suffixes: &[String]) -> Option<String> {
    let host = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let host = host.to_ascii_lowercase();
    suffixes.iter().find_map(|suffix| {
        let labels = host.strip_suffix(&format!(".{label}.{suffix}"))?;
        (!labels.is_empty() && !labels.contains('.')).then(|| labels.to_owned())
    })
}

fn account_in_path(path: &str) -> Result<(String, usize), ProtocolError> {
    let rest = path.strip_prefix('/').ok_or(ErrorCode::InvalidUri)?;
    let end = rest.find('/').unwrap_or(rest.len());
    if end == 0 {
        let why = "The URL names no storage account: it has the form http://host:port/account/resource.";
        return Err(ProtocolError::saying(ErrorCode::InvalidUri, why));
    }
    Ok((decode(&rest[..end])?, 1 + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(host: &str, uri: &str) -> Result<RequestHead, ProtocolError> {
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        let suffixes = ["example.org".to_owned()];
        RequestHead::parse(Service::Blob, Method::GET, &uri.parse().unwrap(), headers, &suffixes)
    }

    #[test]
    fn accounts_and_paths() {
        for (host, uri, account, secondary, resource) in [
            ("127.0.0.1:10000", "/acct/c/b", "acct", false, "/c/b"),
            ("127.0.0.1:10000", "/acct", "acct", false, ""),
            ("localhost", "/acct-secondary/?comp=list", "acct", true, "/"),
            ("acct.blob.example.org", "/c/b%20c", "acct", false, "/c/b c"),
            ("acct-secondary.blob.example.org:443", "/c", "acct", true, "/c"),
            ("acct.queue.example.org", "/other/c", "other", false, "/c"),
        ] {
            let head = parse(host, uri).unwrap();
            assert_eq!((head.account.as_str(), head.secondary), (account, secondary), "{host}{uri}");
            assert_eq!(head.resource_path().unwrap(), resource, "{host}{uri}");
        }
        let site = parse("acct.web.example.org", "/a/b").unwrap();
        assert!(site.website && site.account == "acct" && !parse("localhost", "/acct/a").unwrap().website);
        for host in ["acct.web.example.org", "localhost"] {
            let head = parse(host, "/acct/a?x=y").unwrap().redirected("/$web/ü a%/i.html");
            assert_eq!(head.resource_path().unwrap(), "/$web/ü a%/i.html", "{host}");
            assert_eq!((head.account.as_str(), head.query.get("x")), ("acct", None));
        }
        assert!(parse("localhost", "/").is_err());
        assert!(parse("localhost", "/a?x=%ff").is_err());
    }

    #[test]
    fn requests_within() {
        for (outer, inner, expected) in [
            ("/acct/$batch", "http://other/acct/t(1)?a=b", Some("/t(1)")),
            ("/acct/$batch", "/acct/t", Some("/t")),
            ("/acct/$batch", "/acct2/t", None),
            ("/acct/$batch", "/other/t", None),
            ("/acct/$batch", "/acct/t?x=%ff", None),
        ] {
            let outer = parse("127.0.0.1:10002", outer).unwrap();
            let inner = outer.within(Method::GET, &inner.parse().unwrap(), HeaderMap::new());
            assert_eq!(inner.as_ref().ok().map(|h| h.resource_path().unwrap()).as_deref(), expected);
            assert!(inner.is_ok_and(|head| head.headers["host"] == "127.0.0.1:10002") == expected.is_some());
        }
    }

    #[test]
    fn versions() {
        for (text, valid) in [
            ("2009-04-14", true),
            ("2031-12-31", true),
            ("2009-04-13", false),
            ("2021-13-01", false),
            ("2021-1-01", false),
            ("latest", false),
            ("2021-01-0é", false),
        ] {
            assert_eq!(ApiVersion::parse(text).is_ok(), valid, "{text}");
        }
    }
}
