//! What all three services have: their properties, statistics, and CORS. [`website`]: the blobs of `$web` as pages.

pub mod website;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use welkin_base::AccountName;
use welkin_storage::service::{CorsRule, ServiceProperties};
use welkin_storage::{Account, AccountError, Storage};
use welkin_storage_wire::service::{cors, read, stats_body, write};
use welkin_storage_wire::{ApiVersion, ErrorCode, ProtocolError, RequestHead, Service};
use welkin_transport::Body;

use crate::answer::{empty, set, xml};
use crate::context::{Context, RequestBody};
use crate::error;

type Answer = Result<Response<Body>, ProtocolError>;

/// The body of Set Service Properties is short: its longest part is 2 KiB of CORS rules.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The properties of one of the account's services.
#[must_use]
pub fn properties_of(account: &Account, service: Service) -> &ServiceProperties {
    match service {
        Service::Blob => &account.blob_service,
        Service::Queue => &account.queue_service,
        Service::Table => &account.table_service,
    }
}

/// Get Service Properties.
///
/// # Errors
/// Never.
pub(crate) fn properties(context: &Context) -> Answer {
    let service = context.head.service;
    let properties = properties_of(&context.account, service);
    Ok(xml(StatusCode::OK, write::body(properties, service, &context.head.version)))
}

/// Set Service Properties.
///
/// # Errors
/// When the body is not of its form.
pub(crate) async fn set_properties(context: &Context, body: &mut RequestBody) -> Answer {
    let service = context.head.service;
    let change = read::parse(&body.whole(BODY_BYTES_MAX).await?, service)?;
    let changed = context.storage.change_account(&context.account.name, |account| {
        change.apply(match service {
            Service::Blob => &mut account.blob_service,
            Service::Queue => &mut account.queue_service,
            Service::Table => &mut account.table_service,
        });
    });
    match changed.await {
        Ok(_) => Ok(empty(StatusCode::ACCEPTED)),
        Err(AccountError::Engine(error)) => Err(error::engine(&error)),
        // The account was deleted meanwhile.
        Err(AccountError::NotFound(_) | AccountError::AlreadyExists(_) | AccountError::Protected(_)) => {
            Err(ErrorCode::ResourceNotFound.into())
        }
    }
}

/// Get Service Stats: only the secondary endpoint has them. There is one copy, so that it is never behind.
///
/// # Errors
/// On the primary endpoint.
pub(crate) fn stats(context: &Context) -> Answer {
    match context.head.secondary {
        true => Ok(xml(StatusCode::OK, stats_body(context.now))),
        false => Err(ProtocolError::query("comp", "stats")),
    }
}

/// The preflight of a browser, which no one signs.
pub(crate) async fn preflight(storage: &Storage, head: &RequestHead) -> Answer {
    let rules = cors_rules(storage, head).await;
    let mut response = empty(StatusCode::OK);
    for (name, value) in cors::preflight(&rules, &head.headers)? {
        set(&mut response, name, &value);
    }
    Ok(response)
}

/// The CORS rules of the service that is asked; none where there is no such account.
pub(crate) async fn cors_rules(storage: &Storage, head: &RequestHead) -> Vec<CorsRule> {
    let account = account(storage, head).await;
    account.map_or_else(Vec::new, |account| properties_of(&account, head.service).cors.clone())
}

async fn account(storage: &Storage, head: &RequestHead) -> Option<Account> {
    let name = AccountName::new(&head.account).ok()?;
    // Where this cannot be read, the request fails, and says so.
    storage.account(&name).await.ok().flatten()
}

/// Adds what scripts of other origins need, to an answer or an error.
pub(crate) fn add_cors(
    response: &mut Response<Body>,
    rules: &[CorsRule],
    method: &Method,
    origin: Option<&HeaderValue>,
) {
    if rules.is_empty() || *method == Method::OPTIONS {
        return;
    }
    let origin = origin.and_then(|origin| origin.to_str().ok());
    for (name, value) in cors::actual(rules, method, origin, response.headers()) {
        set(response, name, &value);
    }
}

/// The origin of the script that asks.
pub(crate) fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ORIGIN).cloned()
}

/// A request without a version has the account's default one (STORAGE, section 1).
pub(crate) fn set_default_version(head: &mut RequestHead, account: &Account) {
    let default = properties_of(account, head.service).default_version.as_deref();
    if !head.names_version
        && let Some(Ok(version)) = default.map(ApiVersion::parse)
    {
        head.version = version;
    }
}
