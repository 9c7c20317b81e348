//! The website of an account: blobs of `$web`, read by anyone, with a document for each folder and one that says that
//! there is none.
//!
//! It has a host of its own, `{account}.web.{suffix}`. In path style, reads of `/{account}/$web/...` without
//! credentials and without a query are reads of the website.

use std::net::Ipv4Addr;
use std::sync::Arc;

use http::header;
use http::{Method, Response, StatusCode};
use welkin_base::Timestamp;
use welkin_storage::service::StaticWebsite;
use welkin_storage::{Account, Storage};
use welkin_storage_wire::sas::Arrival;
use welkin_storage_wire::{BlobOperation, ErrorCode, Operation, ProtocolError, RequestHead, Service};
use welkin_transport::Body;

use super::{account, set_default_version};
use crate::admission::Admission;
use crate::answer::held;
use crate::blob;
use crate::context::{Authorization, Context, RequestBody};
use crate::copies::Copies;
use crate::dispatch::FrontEnd;

/// The container of the website.
const CONTAINER: &str = "/$web";
/// Headers that ask for a part of a document, or for one that changed: not for the one that says that there is none.
const PARTIAL: [&str; 6] =
    ["range", "x-ms-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// Answers a request for the website; `None` when it is none.
pub(crate) async fn answer(
    front_end: &FrontEnd,
    head: &mut RequestHead,
    now: Timestamp,
    request_id: &str,
    body: &mut RequestBody,
) -> Option<Result<Response<Body>, ProtocolError>> {
    let path = asked_path(head)?;
    let FrontEnd { storage, copies, admission, .. } = front_end;
    let found = account(storage, head).await;
    let site = found.as_ref().and_then(|account| account.blob_service.static_website.clone());
    let (Some(account), Some(site)) = (found, site) else {
        // In path style, this is a plain read of a blob.
        return head.website.then(|| Err(ErrorCode::WebContentNotFound.into()));
    };
    set_default_version(head, &account);
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Some(Err(ErrorCode::UnsupportedHttpVerb.into()));
    }
    let (storage, copies, request_id) = (storage.clone(), copies.clone(), request_id.to_owned());
    let admission = admission.clone();
    let visit = Visit { storage, copies, admission, account, head: head.clone(), now, request_id };
    Some(visit.page(&site, &path, body).await)
}

/// The path within the website, without a slash at its begin; `None` when the website is not asked.
fn asked_path(head: &RequestHead) -> Option<String> {
    let path = head.resource_path().ok()?;
    if head.website {
        return Some(path.trim_start_matches('/').to_owned());
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let bare = head.query.iter().next().is_none() && !head.headers.contains_key(header::AUTHORIZATION);
    let rest = path.strip_prefix(CONTAINER)?;
    let within = rest.is_empty() || rest.starts_with('/');
    (head.service == Service::Blob && reads && bare && within)
        .then(|| rest.trim_start_matches('/').to_owned())
}

/// Names of the blobs that may be the page, best first.
fn pages(site: &StaticWebsite, path: &str) -> Vec<String> {
    let index = site.index_document.as_deref();
    if path.is_empty() || path.ends_with('/') {
        let default = site.default_index_document_path.as_deref().map(|p| p.trim_start_matches('/'));
        let index = index.map(|index| format!("{path}{index}"));
        return index.into_iter().chain(default.map(str::to_owned)).collect();
    }
    let folder = index.map(|index| format!("{path}/{index}"));
    std::iter::once(path.to_owned()).chain(folder).collect()
}

/// One request for a page.
struct Visit {
    storage: Storage,
    copies: Arc<Copies>,
    admission: Arc<Admission>,
    account: Account,
    head: RequestHead,
    now: Timestamp,
    request_id: String,
}

impl Visit {
    async fn page(
        mut self,
        site: &StaticWebsite,
        path: &str,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, ProtocolError> {
        for name in pages(site, path) {
            match self.read(&name, body).await {
                Err(error) if is_missing(&error) => {}
                answer => return answer,
            }
        }
        let missing = || Err(ErrorCode::WebContentNotFound.into());
        let Some(name) = site.error_document_404_path.as_deref() else {
            return missing();
        };
        for header in PARTIAL {
            self.head.headers.remove(header);
        }
        match self.read(name.trim_start_matches('/'), body).await {
            Ok(mut response) => {
                *response.status_mut() = StatusCode::NOT_FOUND;
                Ok(response)
            }
            Err(error) if is_missing(&error) => missing(),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, name: &str, body: &mut RequestBody) -> Result<Response<Body>, ProtocolError> {
        let context = Context {
            storage: self.storage.clone(),
            account: self.account.clone(),
            head: self.head.redirected(&format!("{CONTAINER}/{name}")),
            authorization: Authorization::Anonymous,
            now: self.now,
            arrival: Arrival { now: self.now, address: Ipv4Addr::UNSPECIFIED.into(), https: false },
            issuer: None,
            copies: self.copies.clone(),
            admission: self.admission.clone(),
            request_id: self.request_id.clone(),
        };
        let operation = match self.head.method {
            Method::HEAD => BlobOperation::GetBlobProperties,
            _ => BlobOperation::GetBlob,
        };
        // A page is read in the same way as any blob.
        let entered =
            self.admission.enter(self.account.uid, Operation::Blob(operation), &context.head).await?;
        let response = Box::pin(blob::handle(&context, operation, body)).await?;
        Ok(response.map(|body| held(body, entered.in_hand)))
    }
}

fn is_missing(error: &ProtocolError) -> bool {
    matches!(error.code(), ErrorCode::BlobNotFound | ErrorCode::ContainerNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates() {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for (index, default, path, expected) in [
            ("index.html", "", "", "index.html"),
            ("index.html", "", "a/", "a/index.html"),
            ("index.html", "", "a", "a a/index.html"),
            ("index.html", "", "a/b.css", "a/b.css a/b.css/index.html"),
            ("", "/app/start.html", "", "app/start.html"),
            ("", "app/start.html", "a/", "app/start.html"),
            ("", "app/start.html", "a", "a"),
            ("", "", "", ""),
            ("", "", "a", "a"),
        ] {
            let site = StaticWebsite {
                index_document: text(index),
                default_index_document_path: text(default),
                error_document_404_path: None,
            };
            assert_eq!(pages(&site, path).join(" "), expected, "{index} {default} {path}");
        }
    }
}
