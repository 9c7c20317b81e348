//! `multipart/mixed` bodies: batches of requests and of their answers (RFC 2046, section 5.1).
//!
//! [`parse`] splits a body into parts; [`request`] reads the HTTP request that a part holds; [`Writer`] writes
//! parts, and [`response`] the HTTP answer that a part holds. Heads are parsed by `httparse`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};

use crate::error::{ErrorCode, ProtocolError};

/// A boundary's length (RFC 2046, section 5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;
/// Headers of a part, or of the request in it; the most that an operation has are some forty.
const HEADERS_MAX: usize = 100;
/// Parts of the largest batch: 256 of blobs; an entity group transaction has 100.
const PARTS_MAX: usize = 1000;

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its headers.
    pub headers: HeaderMap,
    /// What it holds.
    pub body: &'a [u8],
}

impl Part<'_> {
    /// A header's value as text, where it is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A request within a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerRequest<'a> {
    /// Its method.
    pub method: Method,
    /// Its target, whole or without scheme and host.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

/// The boundary that a `Content-Type` names.
///
/// # Errors
/// When it is no `multipart/mixed`, or names none.
pub fn boundary(content_type: &str) -> Result<&str, ProtocolError> {
    let bad = || ProtocolError::header("Content-Type", content_type);
    let mut pieces = content_type.split(';').map(str::trim);
    let is_mixed = pieces.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/mixed"));
    let named = pieces.find_map(|piece| {
        let (name, value) = piece.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    let boundary = named.filter(|_| is_mixed).ok_or_else(bad)?;
    let fits =
        (1..=BOUNDARY_CHARS_MAX).contains(&boundary.len()) && boundary.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(boundary) } else { Err(bad()) }
}

/// Splits a body into its parts.
///
/// # Errors
/// When it does not begin and end with the boundary, or a part's headers cannot be parsed.
pub fn parse<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, ProtocolError> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    // Where the part began that the next delimiter ends.
    let mut begun = None;
    let mut at = 0;
    while at < body.len() {
        let end = body[at..].iter().position(|b| *b == b'\n').map_or(body.len(), |length| at + length + 1);
        let line = body[at..end].trim_ascii_end();
        let rest = line.strip_prefix(delimiter.as_bytes());
        if let Some(tail @ (b"" | b"--")) = rest {
            if let Some(from) = begun {
                parts.push(part(without_line_end(&body[from..at]))?);
            }
            if parts.len() > PARTS_MAX {
                return Err(malformed("the batch has too many parts"));
            }
            if tail == b"--" {
                return Ok(parts);
            }
            begun = Some(end);
        }
        at = end;
    }
    Err(malformed("the batch does not end with its boundary"))
}

/// The line break before a delimiter belongs to the delimiter.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn part(bytes: &[u8]) -> Result<Part<'_>, ProtocolError> {
    // A part may have no headers at all: then it begins with the empty line.
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    match httparse::parse_headers(bytes, &mut found) {
        Ok(httparse::Status::Complete((end, headers))) => {
            Ok(Part { headers: headers_of(headers)?, body: &bytes[end..] })
        }
        Ok(httparse::Status::Partial) => Err(malformed("the headers of a part do not end")),
        Err(error) => Err(malformed(&format!("the headers of a part: {error}"))),
    }
}

/// Reads the request that a part holds.
///
/// # Errors
/// When its head cannot be parsed.
pub fn request<'a>(part: &Part<'a>) -> Result<InnerRequest<'a>, ProtocolError> {
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut found);
    let whole;
    let (bytes, ended) = match head.parse(part.body) {
        Ok(httparse::Status::Complete(end)) => (part.body, Some(end)),
        // Without a body, clients may leave out the empty line that ends the headers.
        Ok(httparse::Status::Partial) => {
            whole = [part.body, b"\r\n\r\n"].concat();
            (whole.as_slice(), None)
        }
        Err(error) => return Err(malformed(&format!("the request in a part: {error}"))),
    };
    if ended.is_none() {
        found = [httparse::EMPTY_HEADER; HEADERS_MAX];
        head = httparse::Request::new(&mut found);
        if !head.parse(bytes).is_ok_and(|status| status.is_complete()) {
            return Err(malformed("the request in a part does not end"));
        }
    }
    let bad = || malformed("the request line in a part");
    Ok(InnerRequest {
        method: head.method.unwrap_or("").parse().map_err(|_| bad())?,
        uri: head.path.unwrap_or("").parse().map_err(|_| bad())?,
        headers: headers_of(head.headers)?,
        body: ended.map_or(b"", |end| &part.body[end..]),
    })
}

fn headers_of(found: &[httparse::Header<'_>]) -> Result<HeaderMap, ProtocolError> {
    let mut headers = HeaderMap::new();
    for header in found {
        let name = header.name.parse::<HeaderName>();
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(malformed("a header in a part"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

fn malformed(why: &str) -> ProtocolError {
    ProtocolError::from(ErrorCode::InvalidInput).with_detail("Reason", why)
}

/// Writes a `multipart/mixed` body.
#[derive(Debug)]
pub struct Writer {
    boundary: String,
    bytes: Vec<u8>,
}

impl Writer {
    /// A body without parts yet. No part may hold the boundary: make it of a random id.
    #[must_use]
    pub fn new(boundary: String) -> Self {
        Self { boundary, bytes: Vec::new() }
    }

    /// What the `Content-Type` of the body says.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/mixed; boundary={}", self.boundary)
    }

    /// Adds a part.
    pub fn part(&mut self, headers: &[(&str, &str)], body: &[u8]) {
        self.bytes.extend_from_slice(format!("--{}\r\n", self.boundary).as_bytes());
        for (name, value) in headers {
            self.bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The body.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        self.bytes
    }
}

/// An answer as a part holds it.
#[must_use]
pub fn response(answer: &Response<impl AsRef<[u8]>>) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or("");
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(answer.body().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries() {
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        for (text, expected) in [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("Multipart/Mixed;charset=utf-8; Boundary=\"a-b\"", Some("a-b")),
            ("multipart/mixed", None),
            ("multipart/mixed; boundary=", None),
            ("multipart/form-data; boundary=a", None),
            (&long, None),
            ("", None),
        ] {
            assert_eq!(boundary(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn requests_of_parts() {
        let body =
            b"preamble\r\n--b\r\nContent-ID: 0\r\n\r\nDELETE /c/x?a=1 HTTP/1.1\r\nx-ms-date: now\r\n\r\n\r\n\
            --b\r\n\r\nPUT /t HTTP/1.1\nA: 1\n\n{\"a\":\r\n2}\r\n--b--\r\nepilogue";
        let parts = parse(body, "b").unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].header("content-id"), Some("0"));
        let first = request(&parts[0]).unwrap();
        assert_eq!((first.method.as_str(), first.uri.path()), ("DELETE", "/c/x"));
        assert_eq!(first.headers["x-ms-date"], "now");
        assert!(first.body.trim_ascii().is_empty());
        let second = request(&parts[1]).unwrap();
        assert_eq!(second.body, b"{\"a\":\r\n2}");
    }

    #[test]
    fn a_request_may_end_with_its_last_header() {
        let parts = parse(b"--b\r\n\r\nGET /x HTTP/1.1\r\nA: 1\r\n--b--", "b").unwrap();
        assert_eq!(request(&parts[0]).unwrap().headers["a"], "1");
    }

    #[test]
    fn malformed_bodies() {
        for body in ["", "--b", "--b\r\n", "--b\r\nno header\r\n\r\n--b--", "--b\r\nA: 1\r\n--b\r\n", "--c--"]
        {
            assert!(parse(body.as_bytes(), "b").is_err(), "{body:?}");
        }
        for inner in ["", "nonsense", "GET\r\n", "GET /x HTTP/9.9\r\n\r\n", "G T /x HTTP/1.1\r\n\r\n"] {
            let part = Part { headers: HeaderMap::new(), body: inner.as_bytes() };
            assert!(request(&part).is_err(), "{inner:?}");
        }
    }

    #[test]
    fn written_is_parsed() {
        let mut writer = Writer::new("x1".to_owned());
        let answer = Response::builder().status(202).header("a", "b").body("hello").unwrap();
        writer.part(&[("Content-ID", "7")], &response(&answer));
        assert_eq!(boundary(&writer.content_type()).unwrap(), "x1");
        let bytes = writer.finish();
        let parts = parse(&bytes, "x1").unwrap();
        assert_eq!(parts[0].header("content-id"), Some("7"));
        assert_eq!(parts[0].body, b"HTTP/1.1 202 Accepted\r\na: b\r\n\r\nhello");
    }
}
