//! Fetching service packages from blob storage.
//!
//! Only the cloud's own blob endpoints are fetched from, so that nobody can have management reach an address of their
//! choice. A URL may be of a public blob, carry a shared access signature (SAS), or name a blob of an account of
//! the same subscription, which management then reads with the account's key.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, Uri};
use sha2::Digest as _;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use ureq::Agent;
use welkin_base::{AccountName, Digest, SubscriptionId};
use welkin_fabric_wire::PACKAGE_BYTES_MAX;
use welkin_management_wire::ApiError;
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};
use welkin_transport::CallError;

use crate::config::StorageConfig;
use crate::failure::Failure;
use crate::management::Management;
use crate::storage_account;

/// The whole fetch may take this long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);
/// A connection must be made within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Version of the storage protocol that requests are signed for.
const STORAGE_VERSION: &str = "2021-10-04";
/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A package on disk; the file goes when this does.
#[derive(Debug)]
pub struct Package {
    /// Of its bytes as fetched.
    pub digest: Digest,
    /// Its length.
    pub length_bytes: u64,
    file: NamedTempFile,
}

impl Package {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

/// The folder of packages on their way to the FC.
pub fn folder(data: &Path) -> PathBuf {
    data.join("packages")
}

/// A blob of this cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobUrl {
    /// Its account.
    pub account: AccountName,
    /// Whether the URL carries its own permission.
    pub signed: bool,
}

/// Checks that a URL is one that packages are fetched from.
pub fn check_url(config: &StorageConfig, url: &str) -> Result<(), ApiError> {
    parse_url(config, url).map(drop)
}

/// Takes a URL apart that is of a blob in this cloud's storage.
pub fn parse_url(config: &StorageConfig, url: &str) -> Result<BlobUrl, ApiError> {
    let bad = |why: &str| ApiError::bad_request(format!("PackageUrl {why}"));
    let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("must begin with http:// or https://"));
    }
    let ours = std::iter::once(&config.blob_endpoint).chain(&config.other_blob_endpoints);
    let ours: Vec<(Uri, &String)> = ours.filter_map(|e| e.parse().ok().map(|uri: Uri| (uri, e))).collect();
    let same = |(endpoint, _): &&(Uri, &String)| {
        endpoint.scheme() == uri.scheme() && endpoint.authority() == uri.authority()
    };
    if ours.iter().find(same).is_none() {
        let endpoints: Vec<&str> = ours.iter().map(|(_, text)| text.as_str()).collect();
        return Err(bad(&format!(
            "must be of a blob in this cloud's storage ({}): upload the package there first",
            endpoints.join(", ")
        )));
    }
    let mut path = uri.path().trim_start_matches('/').splitn(3, '/');
    let account = AccountName::new(path.next().unwrap_or(""));
    let (Ok(account), Some(_), Some(_)) = (account, path.next(), path.next().filter(|blob| !blob.is_empty()))
    else {
        return Err(bad("must name a blob: <endpoint>/<account>/<container>/<blob>"));
    };
    let signed = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("sig=")));
    Ok(BlobUrl { account, signed })
}

/// Fetches the package into a file. `url` may carry a SAS: neither it nor a part of it is logged.
pub async fn fetch(
    management: &Management,
    subscription: &SubscriptionId,
    url: &str,
) -> Result<Package, Failure> {
    let blob = parse_url(&management.config.storage, url)?;
    let mut headers = HeaderMap::new();
    if !blob.signed
        && storage_account::find(management, subscription, &blob.account).await.is_ok()
        && let Some(keys) = management.storage.keys(&blob.account).await?
    {
        headers = sign(&blob.account, &keys.primary, url)?;
    }
    let (url, stop) = (url.to_owned(), management.jobs.stopping());
    let folder = folder(&management.config.data);
    let download = move || download(&url, &headers, &folder, &stop);
    tokio::task::spawn_blocking(download)
        .await
        .map_err(|error| Failure::File { doing: "fetch a package", source: std::io::Error::other(error) })?
}

/// The headers that let an account's owner read the blob.
fn sign(account: &AccountName, key: &str, url: &str) -> Result<HeaderMap, Failure> {
    let unusable = |why: String| Failure::Storage(CallError::Malformed(why));
    let key = AccountKey::from_base64(key).map_err(|error| unusable(error.to_string()))?;
    let url: Uri = url.parse().map_err(|_| ApiError::bad_request("PackageUrl is not a URL"))?;
    let mut headers = HeaderMap::new();
    let date = httpdate::fmt_http_date(SystemTime::now());
    for (name, value) in [("x-ms-date", date.as_str()), ("x-ms-version", STORAGE_VERSION)] {
        let value = HeaderValue::from_str(value).map_err(|error| unusable(error.to_string()))?;
        headers.insert(name, value);
    }
    let account = account.as_str();
    let value = shared_key::authorize(account, &key, Service::Blob, &Method::GET, &url, &headers)
        .map_err(|_| ApiError::bad_request("PackageUrl has a query that cannot be read"))?;
    let value = HeaderValue::from_str(&value).map_err(|error| unusable(error.to_string()))?;
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

fn download(
    url: &str,
    headers: &HeaderMap,
    folder: &Path,
    stop: &CancellationToken,
) -> Result<Package, Failure> {
    let refused = |why: String| ApiError::bad_request(format!("the package cannot be fetched: {why}"));
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(FETCH_TIMEOUT))
        .build()
        .into();
    let request =
        headers.iter().fold(agent.get(url), |request, (name, value)| request.header(name, value.clone()));
    let mut response = request.call().map_err(|error| refused(error.to_string()))?;
    if response.status() != http::StatusCode::OK {
        let status = response.status();
        return Err(refused(format!(
            "blob storage answers {status}; check the URL, and that the account is of this subscription, \
             the blob is public, or the URL carries a shared access signature"
        ))
        .into());
    }
    let failed = |source| Failure::File { doing: "keep a package", source };
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
    let (mut hash, mut length_bytes) = (sha2::Sha256::new(), 0u64);
    let mut body = response.body_mut().as_reader();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if stop.is_cancelled() {
            return Err(refused("the service is stopping".to_owned()).into());
        }
        let read = body.read(&mut piece).map_err(|error| refused(error.to_string()))?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        length_bytes += read as u64;
        if length_bytes > PACKAGE_BYTES_MAX {
            let limit = PACKAGE_BYTES_MAX >> 20;
            return Err(ApiError::bad_request(format!("the package is larger than {limit} MiB")).into());
        }
        hash.update(bytes);
        file.write_all(bytes).map_err(failed)?;
    }
    Ok(Package { digest: Digest::from_bytes(hash.finalize().into()), length_bytes, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_are_fetched() {
        let thumbprint = "0".repeat(64).parse().unwrap();
        let config = StorageConfig {
            address: "127.0.0.1:10010".parse().unwrap(),
            thumbprint,
            blob_endpoint: "http://127.0.0.1:10000".to_owned(),
            queue_endpoint: "http://127.0.0.1:10001".to_owned(),
            table_endpoint: "http://127.0.0.1:10002".to_owned(),
            other_blob_endpoints: vec!["http://10.177.0.1:10000/".to_owned()],
        };
        let account = || AccountName::new("abc").unwrap();
        for (url, expected) in [
            ("http://127.0.0.1:10000/abc/c/p.cspkg", Ok(false)),
            ("http://10.177.0.1:10000/abc/c/d/p.cspkg?sv=1&sig=x", Ok(true)),
            ("http://127.0.0.1:10010/v1/accounts/abc", Err("must be of a blob in this cloud's storage")),
            (
                "http://127.0.0.1:10000@169.254.169.254/abc/c/p",
                Err("must be of a blob in this cloud's storage"),
            ),
            ("http://user@127.0.0.1:10000/abc/c/p", Err("must be of a blob in this cloud's storage")),
            ("https://127.0.0.1:10000/abc/c/p", Err("must be of a blob in this cloud's storage")),
            ("http://localhost:10000/abc/c/p", Err("must be of a blob in this cloud's storage")),
            ("file:///etc/shadow", Err("is not a URL")),
            ("/abc/c/p", Err("must begin with http")),
            ("nonsense url", Err("is not a URL")),
            ("http://127.0.0.1:10000/abc/c", Err("must name a blob")),
            ("http://127.0.0.1:10000/abc/c/", Err("must name a blob")),
            ("http://127.0.0.1:10000/A-B/c/p", Err("must name a blob")),
        ] {
            match (parse_url(&config, url), expected) {
                (Ok(got), Ok(signed)) => assert_eq!(got, BlobUrl { account: account(), signed }, "{url}"),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{url}: {error}"),
                (got, _) => panic!("{url}: {got:?}"),
            }
        }
    }
}
