//! A storage account: its endpoints, its key, and one signed request.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};

use crate::error::StorageError;
use crate::{Container, Queue, Table};

/// The protocol version that this client speaks.
const VERSION: &str = "2021-10-04";
/// Connecting, and a whole call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer that is held whole; a role that reads more reads ranges.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// `UseDevelopmentStorage=true` stands for this, in every client of the protocol
/// (<https://learn.microsoft.com/azure/storage/common/storage-use-azurite>).
const DEVELOPMENT: &str = "AccountName=devstoreaccount1;\
    AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;\
    BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;\
    TableEndpoint=http://127.0.0.1:10002/devstoreaccount1";

/// A storage account. Clones share connections.
#[derive(Clone)]
pub struct StorageAccount(Arc<Inner>);

struct Inner {
    name: String,
    key: AccountKey,
    blob: String,
    queue: String,
    table: String,
    agent: ureq::Agent,
}

impl fmt::Debug for StorageAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageAccount").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// One request before it is signed.
pub(crate) struct Call<'a> {
    pub service: Service,
    pub method: Method,
    /// Below the account's endpoint, with the query, percent-encoded.
    pub path: String,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Option<&'a [u8]>,
}

impl StorageAccount {
    /// Reads a connection string: `AccountName`, `AccountKey` and `BlobEndpoint`, `QueueEndpoint` and
    /// `TableEndpoint`; or `UseDevelopmentStorage=true`.
    ///
    /// # Errors
    /// When a part is missing or cannot be used; the error does not repeat the key.
    pub fn from_connection_string(text: &str) -> Result<Self, StorageError> {
        let parts = parts(text)?;
        if find(&parts, "UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::from_connection_string(DEVELOPMENT);
        }
        let name = need(&parts, "AccountName")?;
        let key = AccountKey::from_base64(need(&parts, "AccountKey")?);
        let key = key.map_err(|_| wrong("has an AccountKey that is not base64"))?;
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            key,
            blob: endpoint(&parts, "BlobEndpoint")?,
            queue: endpoint(&parts, "QueueEndpoint")?,
            table: endpoint(&parts, "TableEndpoint")?,
            agent: config.into(),
        })))
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A container of blobs; nothing is asked yet.
    #[must_use]
    pub fn container(&self, name: &str) -> Container {
        Container::new(self.clone(), name)
    }

    /// A queue of messages; nothing is asked yet.
    #[must_use]
    pub fn queue(&self, name: &str) -> Queue {
        Queue::new(self.clone(), name)
    }

    /// A table of entities; nothing is asked yet.
    #[must_use]
    pub fn table(&self, name: &str) -> Table {
        Table::new(self.clone(), name)
    }

    /// Signs and sends; any status but 2xx is an error.
    pub(crate) fn send(&self, call: Call<'_>) -> Result<Response<Vec<u8>>, StorageError> {
        let inner = &*self.0;
        let endpoint = match call.service {
            Service::Blob => &inner.blob,
            Service::Queue => &inner.queue,
            Service::Table => &inner.table,
        };
        let request = |reason: String| StorageError::Request(reason);
        let url: Uri = format!("{endpoint}/{}", call.path)
            .parse()
            .map_err(|e| request(format!("{}: {e}", call.path)))?;
        let mut headers = headers_of(&call)?;
        let signed =
            shared_key::authorize(&inner.name, &inner.key, call.service, &call.method, &url, &headers);
        let signed = signed.map_err(|e| request(e.to_string()))?;
        headers.insert(AUTHORIZATION, header_value(&signed)?);
        let answer = match call.body {
            Some(body) => inner.agent.run(head(call.method, url, headers, body)?),
            None => inner.agent.run(head(call.method, url, headers, ())?),
        };
        read_answer(answer.map_err(|e| unreachable(endpoint, &e))?, endpoint)
    }
}

fn head<B>(method: Method, url: Uri, headers: HeaderMap, body: B) -> Result<Request<B>, StorageError> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .body(body)
        .map_err(|e| StorageError::Request(e.to_string()))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn headers_of(call: &Call<'_>) -> Result<HeaderMap, StorageError> {
    let mut headers = HeaderMap::new();
    let date = httpdate::fmt_http_date(SystemTime::now());
    headers.insert("x-ms-date", header_value(&date)?);
    headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
    for (name, value) in &call.headers {
        headers.insert(name, header_value(value)?);
    }
    if let Some(body) = call.body {
        headers.insert(CONTENT_LENGTH, body.len().into());
    }
    Ok(headers)
}

fn header_value(text: &str) -> Result<HeaderValue, StorageError> {
    HeaderValue::from_str(text)
        .map_err(|_| StorageError::Request("a header holds a control character".to_owned()))
}

fn read_answer(answer: Response<ureq::Body>, endpoint: &str) -> Result<Response<Vec<u8>>, StorageError> {
    let (parts, mut body) = answer.into_parts();
    let bytes =
        body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(|e| unreachable(endpoint, &e))?;
    if parts.status.is_success() {
        return Ok(Response::from_parts(parts, bytes));
    }
    let code = parts.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let code = code.map_or_else(|| code_in(&bytes), str::to_owned);
    let message = parts.status.canonical_reason().unwrap_or_default().to_owned();
    Err(StorageError::Refused { status: parts.status.as_u16(), code, message })
}

/// The table service says its code only in the body.
fn code_in(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    value["odata.error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn unreachable(endpoint: &str, error: &ureq::Error) -> StorageError {
    StorageError::Unreachable { address: endpoint.to_owned(), reason: error.to_string() }
}

fn wrong(what: &str) -> StorageError {
    StorageError::ConnectionString(what.to_owned())
}

type Parts<'a> = Vec<(&'a str, &'a str)>;

fn parts(text: &str) -> Result<Parts<'_>, StorageError> {
    let fields = text.split(';').map(str::trim).filter(|field| !field.is_empty());
    fields
        .map(|field| field.split_once('=').ok_or_else(|| wrong("has a part that is not Name=value")))
        .collect()
}

fn find<'a>(parts: &Parts<'a>, name: &str) -> Option<&'a str> {
    parts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn need<'a>(parts: &Parts<'a>, name: &str) -> Result<&'a str, StorageError> {
    find(parts, name).filter(|value| !value.is_empty()).ok_or_else(|| wrong(&format!("has no {name}")))
}

fn endpoint(parts: &Parts<'_>, name: &str) -> Result<String, StorageError> {
    let url = need(parts, name)?.trim_end_matches('/');
    if url.starts_with("http://") && url.parse::<Uri>().is_ok() {
        return Ok(url.to_owned());
    }
    Err(wrong(&format!("has a {name} that is not an http:// URL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings() {
        let endpoints = "BlobEndpoint=http://h:1/a;QueueEndpoint=http://h:2/a;TableEndpoint=http://h:3/a/";
        let check = |text: &str, expected: Result<&str, &str>| {
            let account = StorageAccount::from_connection_string(text).map_err(|error| error.to_string());
            let expected = expected.map_err(|what| format!("the storage connection string {what}"));
            assert_eq!(account.as_ref().map(StorageAccount::name), expected.as_ref().map(|name| *name));
        };
        check("UseDevelopmentStorage=true", Ok("devstoreaccount1"));
        check(&format!("AccountName=acc;AccountKey=c2VjcmV0;{endpoints}"), Ok("acc"));
        check(&format!("accountname=acc; AccountKey=c2VjcmV0;;{endpoints};"), Ok("acc"));
        check("", Err("has no AccountName"));
        check("AccountName", Err("has a part that is not Name=value"));
        check(
            &format!("AccountName=acc;AccountKey=!;{endpoints}"),
            Err("has an AccountKey that is not base64"),
        );
        check("AccountName=acc;AccountKey=c2VjcmV0", Err("has no BlobEndpoint"));
        check(
            &format!("AccountName=acc;AccountKey=c2VjcmV0;BlobEndpoint=ftp://h;{endpoints}"),
            Err("has a BlobEndpoint that is not an http:// URL"),
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let account = StorageAccount::from_connection_string("UseDevelopmentStorage=true").unwrap();
        assert_eq!(format!("{account:?}"), "StorageAccount { name: \"devstoreaccount1\", .. }");
    }
}
