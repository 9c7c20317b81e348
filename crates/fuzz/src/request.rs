//! The head of a request: URL, version, operation, resource.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_storage_wire::error::ErrorForm;
use welkin_storage_wire::operation::{BlobResource, QueueResource, TableResource};
use welkin_storage_wire::query::Query;
use welkin_storage_wire::request::client_request_id;
use welkin_storage_wire::{ApiVersion, Operation, RequestHead, Service};

use crate::input::{Asked, text};
use crate::outcome::{accepted, same};

/// A request, from its first line to its operation.
pub(crate) fn request(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let _ = ErrorForm::of(asked.service, &asked.headers);
    if let Some(id) = client_request_id(&asked.headers) {
        assert!(id.to_str().is_ok(), "a client's id is echoed, so that it can be");
    }
    let Some(head) = accepted(asked.head()) else { return };
    same(ApiVersion::parse(head.version.as_str()), &head.version, head.version.as_str());
    assert!(head.endpoint("http").starts_with("http://"));
    if let Some(operation) = accepted(Operation::route(&head)) {
        assert_eq!(operation.spec().service, asked.service);
    }
    match head.service {
        Service::Blob => drop(accepted(BlobResource::of(&head))),
        Service::Queue => drop(accepted(QueueResource::of(&head))),
        Service::Table => drop(accepted(TableResource::of(&head))),
    }
    paths(&asked, &head);
}

fn paths(asked: &Asked, head: &RequestHead) {
    let Some(path) = accepted(head.resource_path()) else { return };
    assert_eq!(
        head.redirected(&path).resource_path().ok().as_ref(),
        Some(&path),
        "a path is encoded and back"
    );
    let again = head.within(asked.method.clone(), &asked.uri, asked.headers.clone());
    if let Some(again) = accepted(again) {
        assert_eq!(again.account, head.account, "a request within another is for its account");
        assert_eq!(again.resource_path().ok(), Some(path));
    }
    let (method, headers) = (asked.method.clone(), asked.headers.clone());
    let _ = accepted(head.within_account(method, &asked.uri, headers)).map(|head| head.resource_path());
}

/// The query of a URL.
pub(crate) fn query(data: &[u8]) {
    let Some(query) = accepted(Query::parse(&text(data))) else { return };
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let written = pairs.join("&");
    same(Query::parse(&written), &query, &written);
    for (name, _) in query.iter() {
        assert!(query.get(name).is_some());
        let _ = accepted(query.number(name));
    }
}
