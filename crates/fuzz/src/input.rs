//! From an input's bytes to what parsers take. Inputs are texts where they can be, so that people can read and write
//! the corpus.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use welkin_storage_wire::{ProtocolError, RequestHead, Service};

/// The domain under which hosts name accounts.
pub(crate) const HOST_SUFFIX: &str = "welkin.example";
/// Headers of a request; a server of HTTP takes as many.
const HEADERS_MAX: usize = 100;

/// The input as a text.
pub(crate) fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}

/// The first line of an input, and the rest.
pub(crate) fn line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or(b""))
}

/// The head of a request as an input has it: the name of a service, a space, and the request of HTTP/1.1.
pub(crate) struct Asked {
    pub service: Service,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl Asked {
    /// The request; `None` when a server of HTTP would refuse it.
    pub fn of(data: &[u8]) -> Option<Self> {
        Self::with_body(data).map(|(asked, _)| asked)
    }

    /// The request, and what follows its head.
    pub fn with_body(data: &[u8]) -> Option<(Self, &[u8])> {
        let mut names = [Service::Blob, Service::Queue, Service::Table].into_iter();
        let (service, request) = names.find_map(|service| {
            let rest = data.strip_prefix(service.as_str().as_bytes())?.strip_prefix(b" ")?;
            Some((service, rest))
        })?;
        let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut found);
        let httparse::Status::Complete(end) = head.parse(request).ok()? else { return None };
        let mut headers = HeaderMap::new();
        for header in head.headers.iter() {
            let name = header.name.parse::<HeaderName>().ok()?;
            headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
        }
        let (method, uri) = (head.method?.parse().ok()?, head.path?.parse().ok()?);
        Some((Self { service, method, uri, headers }, &request[end..]))
    }

    /// Its head, as the protocol reads it.
    pub fn head(&self) -> Result<RequestHead, ProtocolError> {
        let (method, headers) = (self.method.clone(), self.headers.clone());
        RequestHead::parse(self.service, method, &self.uri, headers, &[HOST_SUFFIX.to_owned()])
    }
}
