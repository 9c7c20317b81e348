//! The development account of a server: URLs and signed requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};

use crate::storage::connection::{Answer, Connection, Keep};
use crate::storage::error::StorageError;

/// The account that every client and emulator of the protocol knows.
const NAME: &str = "devstoreaccount1";
/// Its key, which is public.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Both servers know this version.
const API_VERSION: &str = "2021-10-04";

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
    /// The body.
    pub body: Bytes,
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

    /// Sends a signed request; the answer must have the status `wanted`.
    pub async fn call(
        &self,
        connection: &mut Connection,
        service: Service,
        call: Call<'_>,
        wanted: StatusCode,
        keep: Keep,
    ) -> Result<Answer, StorageError> {
        let request = self.sign(service, call)?;
        connection.send(request, wanted, keep).await
    }

    fn sign(&self, service: Service, call: Call<'_>) -> Result<Request<Full<Bytes>>, StorageError> {
        let target = format!("/{NAME}{}", call.target);
        let uri: Uri = target.parse().map_err(|error| unmade(&error))?;
        let mut request = Request::new(Full::new(call.body.clone()));
        let headers = request.headers_mut();
        headers.insert("x-ms-date", value(&httpdate::fmt_http_date(SystemTime::now()))?);
        headers.insert("x-ms-version", HeaderValue::from_static(API_VERSION));
        headers.insert(HOST, value(&self.address(service).to_string())?);
        for (name, text) in call.headers {
            headers.insert(HeaderName::from_static(name), value(text)?);
        }
        if !call.body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(call.body.len()));
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/octet-stream"));
        }
        let signature = shared_key::authorize(NAME, &self.key, service, &call.method, &uri, headers)
            .map_err(|error| unmade(&error))?;
        headers.insert(AUTHORIZATION, value(&signature)?);
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        Ok(request)
    }
}

fn value(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text).map_err(|error| unmade(&error))
}

fn unmade(error: &impl ToString) -> StorageError {
    StorageError::Http(error.to_string())
}
