//! The development account of a server: URLs and signed requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};

use crate::storage::connection::Connection;
use crate::storage::error::StorageError;

/// The account that every client and emulator of the protocol knows.
pub const NAME: &str = "devstoreaccount1";
/// Its key, which is public.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Both servers know this version.
const API_VERSION: &str = "2021-10-04";

/// Room for the headers of a request.
const HEADERS: usize = 12;
/// Room for the head of a request.
const HEAD_BYTES: usize = 512;

/// The account on one server.
#[derive(Debug, Clone)]
pub struct Account {
    key: AccountKey,
    first_port: u16,
}

/// One request beside its signature.
#[derive(Debug, Default)]
pub struct Call<'a> {
    /// The method; GET unless said otherwise.
    pub method: Method,
    /// Path and query after the account's name, encoded.
    pub target: &'a str,
    /// More headers.
    pub headers: &'a [(&'static str, &'a str)],
    /// How long the body is.
    pub body_bytes: usize,
}

impl Account {
    /// The account on the server whose blob port is `first_port`, with queues and tables on the next two.
    pub fn new(first_port: u16) -> Result<Self, StorageError> {
        let key = AccountKey::from_base64(KEY).map_err(|error| StorageError::Http(error.to_string()))?;
        Ok(Self { key, first_port })
    }

    /// Connects to a service.
    pub async fn connect(&self, service: Service) -> Result<Connection, StorageError> {
        Connection::open(self.address(service)).await
    }

    fn address(&self, service: Service) -> SocketAddr {
        let port = match service {
            Service::Blob => 0,
            Service::Queue => 1,
            Service::Table => 2,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first_port + port))
    }

    /// Signs a request: its head as bytes, good for a quarter of an hour.
    pub fn sign(&self, service: Service, call: &Call<'_>) -> Result<Bytes, StorageError> {
        let target = format!("/{NAME}{}", call.target);
        let uri: Uri = target.parse().map_err(|error| unmade(&error))?;
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert("x-ms-date", value(&httpdate::fmt_http_date(SystemTime::now()))?);
        headers.insert("x-ms-version", HeaderValue::from_static(API_VERSION));
        headers.insert(HOST, value(&self.address(service).to_string())?);
        for (name, text) in call.headers {
            headers.insert(HeaderName::from_static(name), value(text)?);
        }
        if call.body_bytes > 0 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body_bytes));
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
        }
        let signature = shared_key::authorize(NAME, &self.key, service, &call.method, &uri, &headers)
            .map_err(|error| unmade(&error))?;
        headers.insert(AUTHORIZATION, value(&signature)?);
        // An empty body is signed as if it had no length.
        headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        Ok(head(&call.method, &target, &headers))
    }
}

/// The bytes of a request's head.
pub fn head(method: &Method, target: &str, headers: &HeaderMap) -> Bytes {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.freeze()
}

fn value(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text).map_err(|error| unmade(&error))
}

fn unmade(error: &impl ToString) -> StorageError {
    StorageError::Http(error.to_string())
}
