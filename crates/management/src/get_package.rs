//! "Get Package": a deployment's package and configuration are written into a container of the customer's.
//!
//! The package is as it was sent, encrypted to the FC: it can be deployed again, and says nothing to others. Only this
//! cloud's own storage is written to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use ureq::Agent;
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};
use welkin_transport::CallError;

use crate::deploy::{Held, patiently};
use crate::deployment::{Change, begin, find, free, held, slot_key};
use crate::failure::Failure;
use crate::management::Management;
use crate::package::{self, BlobUrl};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{SERVICES, State, encode};
use crate::storage_account;

/// One upload may take this long.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Version of the storage protocol that requests are signed for.
const STORAGE_VERSION: &str = "2021-10-04";

/// Where the files go. `Debug` does not show the URL: it may carry a shared access signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The container.
    pub container: String,
    /// Take the place of blobs that are there.
    pub overwrite: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("overwrite", &self.overwrite).finish_non_exhaustive()
    }
}

/// 202, and the files are written.
pub async fn get(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let missing = |what: &str| ApiError::new(ErrorCode::MissingOrInvalidRequiredQueryParameter, what);
    // The client for JavaScript has a blank and a plus behind it.
    let container = request.parameters.query("containeruri").map(|text| text.trim_end_matches([' ', '+']));
    let container = container.filter(|text| !text.is_empty());
    let container = container.ok_or_else(|| missing("containerUri must name a container"))?.to_owned();
    let overwrite = match request.parameters.query("overwriteexisting").unwrap_or("false") {
        text if text.eq_ignore_ascii_case("true") => true,
        text if text.eq_ignore_ascii_case("false") => false,
        _ => return Err(missing("overwriteExisting must be true or false").into()),
    };
    package::check_url(&management.config.storage, &blob_url(&container, "x"))?;
    let (service, slot, read) = find(management, request).await?;
    free(&read.record)?;
    let record = held(read.record, &request.id, Change::GetPackage(Target { container, overwrite }));
    let change = State::change(SERVICES, service.name.as_str())
        .check_version(slot_key(slot), read.version)
        .put(slot_key(slot), encode(&record)?);
    begin(management, request, service.name.as_str(), slot, change).await
}

/// Reads the package from the FC and writes both files.
pub async fn work(deployment: Held<'_>, target: &Target) -> Result<(), Failure> {
    let result = write(&deployment, target).await.map_err(Failure::told);
    deployment.end(result).await
}

async fn write(deployment: &Held<'_>, target: &Target) -> Result<(), Failure> {
    let (management, record) = (deployment.management, &deployment.read.record);
    let digest = record.package.ok_or_else(|| ApiError::not_found("the deployment has no package"))?;
    let failed = |source| Failure::File { doing: "keep a package", source };
    let folder = package::folder(&management.config.data);
    let kept = NamedTempFile::new_in(&folder).map_err(failed)?;
    patiently(|| async {
        let mut file = tokio::fs::File::create(kept.path()).await.map_err(failed)?;
        management.fabric.get_package(digest, &mut file).await
    })
    .await?;
    let configuration = NamedTempFile::new_in(&folder).map_err(failed)?;
    tokio::fs::write(configuration.path(), &record.configuration).await.map_err(failed)?;
    for (file, ending) in [(&kept, "cspkg"), (&configuration, "cscfg")] {
        let url = blob_url(&target.container, &format!("{}.{ending}", record.name));
        put_blob(deployment, target, url, file.path().to_owned()).await?;
    }
    Ok(())
}

/// The blob's URL: the container's, whose query comes after the blob's name.
fn blob_url(container: &str, name: &str) -> String {
    let (path, query) =
        container.split_once('?').map_or((container, None), |(path, query)| (path, Some(query)));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", path.trim_end_matches('/'))
}

async fn put_blob(deployment: &Held<'_>, target: &Target, url: String, file: PathBuf) -> Result<(), Failure> {
    let management = deployment.management;
    let BlobUrl { account, signed } = package::parse_url(&management.config.storage, &url)?;
    let failed = |source| Failure::File { doing: "read a package", source };
    let length = tokio::fs::metadata(&file).await.map_err(failed)?.len();
    let mut headers = HeaderMap::new();
    headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
    headers.insert("x-ms-version", HeaderValue::from_static(STORAGE_VERSION));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if !target.overwrite {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if !signed
        && storage_account::find(management, &deployment.subscription, &account).await.is_ok()
        && let Some(keys) = patiently(|| management.storage.keys(&account)).await?
    {
        sign(account.as_str(), &keys.primary, &url, &mut headers)?;
    }
    let put = move || upload(&url, &headers, &file);
    tokio::task::spawn_blocking(put)
        .await
        .map_err(|error| Failure::File { doing: "write a package", source: std::io::Error::other(error) })?
}

fn sign(account: &str, key: &str, url: &str, headers: &mut HeaderMap) -> Result<(), Failure> {
    let unusable = |why: String| Failure::Storage(CallError::Malformed(why));
    let key = AccountKey::from_base64(key).map_err(|error| unusable(error.to_string()))?;
    let url: Uri = url.parse().map_err(|_| ApiError::bad_request("containerUri is not a URL"))?;
    let date = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()));
    headers.insert("x-ms-date", date.map_err(|error| unusable(error.to_string()))?);
    let value = shared_key::authorize(account, &key, Service::Blob, &Method::PUT, &url, headers)
        .map_err(|_| ApiError::bad_request("containerUri has a query that cannot be read"))?;
    headers
        .insert(AUTHORIZATION, HeaderValue::from_str(&value).map_err(|error| unusable(error.to_string()))?);
    Ok(())
}

fn upload(url: &str, headers: &HeaderMap, file: &std::path::Path) -> Result<(), Failure> {
    let refused = |why: String| ApiError::bad_request(format!("the package cannot be written: {why}"));
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(UPLOAD_TIMEOUT))
        .build()
        .into();
    let body =
        std::fs::File::open(file).map_err(|source| Failure::File { doing: "read a package", source })?;
    let request =
        headers.iter().fold(agent.put(url), |request, (name, value)| request.header(name, value.clone()));
    let response = request.send(body).map_err(|error| refused(error.to_string()))?;
    match response.status() {
        StatusCode::CREATED => Ok(()),
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            Err(ApiError::conflict("a blob of that name is there: say overwriteExisting=true").into())
        }
        status => Err(refused(format!(
            "blob storage answers {status}; check that the container exists, and that its account is of this \
             subscription or the URL carries a shared access signature"
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::blob_url;

    #[test]
    fn urls_of_blobs() {
        for (container, expected) in [
            ("http://h/a/c", "http://h/a/c/v1.cspkg"),
            ("http://h/a/c/", "http://h/a/c/v1.cspkg"),
            ("http://h/a/c?sv=1&sig=x", "http://h/a/c/v1.cspkg?sv=1&sig=x"),
        ] {
            assert_eq!(blob_url(container, "v1.cspkg"), expected);
        }
    }
}
