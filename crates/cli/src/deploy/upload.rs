//! Putting a package into blob storage: blocks, then their list, so that progress is known and memory bounded.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use ureq::http::{Method, Request, Uri};
use ureq::tls::TlsConfig;
use welkin_base::AccountName;
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};

use super::show::{Show, Unit};
use super::{At as _, DeployError, file_error};
use crate::client::{ClientError, agent, refused};

/// A block. Of 50,000 that a blob may have, the largest package needs 75.
const BLOCK_BYTES: usize = 8 << 20;
/// Version of the storage protocol.
const STORAGE_VERSION: &str = "2021-10-04";
/// Bytes of an answer that are read, at most.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const STORAGE: &str = "blob storage";

/// Where a package goes. No `Debug`: it has the account's key.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Where blobs are, without the account's name and a slash at the end.
    pub endpoint: &'a str,
    /// The account.
    pub account: &'a AccountName,
    /// One of its keys.
    pub key: &'a str,
    /// The container, made when it does not exist.
    pub container: &'a str,
    /// The blob.
    pub blob: &'a str,
}

/// Uploads the package and gives the blob's URL.
///
/// # Errors
/// When the package cannot be read or storage refuses it; then no blob is left.
pub fn upload(target: &Target<'_>, package: &Path, show: &Show) -> Result<String, DeployError> {
    let step = "uploading the package";
    let storage = Storage::new(target).at(step)?;
    storage.make_container().at(step)?;
    let mut file = File::open(package).map_err(|source| file_error(package, source))?;
    let length = file.metadata().map_err(|source| file_error(package, source))?.len();
    show.measure(step, length, Unit::Bytes);
    let (mut list, mut sent) = (String::new(), 0u64);
    loop {
        let mut block = Vec::new();
        let mut piece = file.by_ref().take(BLOCK_BYTES as u64);
        piece.read_to_end(&mut block).map_err(|source| file_error(package, source))?;
        if block.is_empty() {
            break;
        }
        sent += block.len() as u64;
        // Ids of one length, in base64: 12 digits are 16 characters without padding, and safe in a URL.
        let id = welkin_management_wire::xml::encode_text(&format!("{sent:012}"));
        storage
            .call(&Method::PUT, &storage.blob_url(&format!("?comp=block&blockid={id}")), block)
            .at(step)?;
        list.push_str(&format!("<Latest>{id}</Latest>"));
        show.position(sent);
    }
    let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>");
    storage.call(&Method::PUT, &storage.blob_url("?comp=blocklist"), list.into_bytes()).at(step)?;
    Ok(storage.blob_url(""))
}

/// Removes the blob.
///
/// # Errors
/// When storage refuses.
pub fn remove(target: &Target<'_>) -> Result<(), ClientError> {
    let storage = Storage::new(target)?;
    storage.call(&Method::DELETE, &storage.blob_url(""), Vec::new())
}

struct Storage<'a> {
    agent: Agent,
    target: Target<'a>,
    key: AccountKey,
}

impl<'a> Storage<'a> {
    fn new(target: &Target<'a>) -> Result<Self, ClientError> {
        let key = AccountKey::from_base64(target.key).map_err(|error| malformed(&error))?;
        Ok(Self { agent: agent(TlsConfig::default()), target: *target, key })
    }

    fn container_url(&self, query: &str) -> String {
        format!("{}/{}/{}{query}", self.target.endpoint, self.target.account, self.target.container)
    }

    fn blob_url(&self, query: &str) -> String {
        format!("{}/{}{query}", self.container_url(""), self.target.blob)
    }

    fn make_container(&self) -> Result<(), ClientError> {
        match self.call(&Method::PUT, &self.container_url("?restype=container"), Vec::new()) {
            Err(ClientError::Refused { code, .. }) if code == "ContainerAlreadyExists" => Ok(()),
            other => other,
        }
    }

    fn call(&self, method: &Method, url: &str, body: Vec<u8>) -> Result<(), ClientError> {
        let unreachable =
            |error: ureq::Error| ClientError::Unreachable { what: STORAGE, why: error.to_string() };
        let uri: Uri = url.parse().map_err(|error| malformed(&error))?;
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut request = Request::builder()
            .method(method)
            .uri(uri.clone())
            .header("x-ms-date", date)
            .header("x-ms-version", STORAGE_VERSION)
            .header(CONTENT_LENGTH, body.len())
            .body(body)
            .map_err(|error| malformed(&error))?;
        let account = self.target.account.as_str();
        let value = shared_key::authorize(account, &self.key, Service::Blob, method, &uri, request.headers())
            .map_err(|error| malformed(&error))?;
        let value = HeaderValue::from_str(&value).map_err(|error| malformed(&error))?;
        request.headers_mut().insert(AUTHORIZATION, value);
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(unreachable)?;
        if status.is_success() { Ok(()) } else { Err(refused(STORAGE, status, &text)) }
    }
}

fn malformed(error: &dyn std::error::Error) -> ClientError {
    ClientError::Malformed { what: STORAGE, why: error.to_string() }
}
