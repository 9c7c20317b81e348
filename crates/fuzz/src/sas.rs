//! Shared access signatures, and the users and tokens that come with them.

use std::net::{IpAddr, Ipv4Addr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use welkin_base::Timestamp;
use welkin_storage_service::auth::token;
use welkin_storage_wire::bearer::{Roles, challenge};
use welkin_storage_wire::delegation::KeyInfo;
use welkin_storage_wire::sas::{Arrival, Sas, blob_read_query};
use welkin_storage_wire::shared_key::AccountKey;
use welkin_storage_wire::{ApiVersion, BlobOperation, Operation, Service};

use crate::input::{Asked, line, text};
use crate::outcome::accepted;

fn key() -> AccountKey {
    AccountKey::from_bytes(vec![1; 64])
}

fn arrival(now: Timestamp) -> Arrival {
    Arrival { now, address: IpAddr::V4(Ipv4Addr::LOCALHOST), https: false }
}

/// A request with a signature in its query.
pub(crate) fn sas(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let Some(head) = accepted(asked.head()) else { return };
    let Some(Some(sas)) = accepted(Sas::of(&head)) else { return };
    let now = Timestamp::from_ticks(0);
    if let Some(verified) = accepted(sas.verify(&[key()])) {
        assert!(!verified, "nobody can guess a signature");
    }
    let _ = accepted(sas.delegation_key(now)).flatten().map(|key| {
        let value = key.value(&head.account, Roles::default(), b"secret");
        assert!(roxmltree::Document::parse(&key.write(&value)).is_ok());
    });
    let _ = (sas.policy_id(), sas.only_for_user(), sas.only_creates(), sas.key_range());
    if let Ok(operation) = Operation::route(&head) {
        for now in [now, Timestamp::MIN, Timestamp::MAX] {
            let _ = accepted(sas.check(operation.spec(), arrival(now)));
        }
    }
    let _ = accepted(sas.with_policy(None));
}

/// A container and a blob, a line each, for which a signature is made: it must permit to read that blob.
pub(crate) fn sas_made(data: &[u8]) {
    let (container, blob) = line(data);
    let (container, blob) = (text(container), text(blob));
    let plain = |text: &str| !text.is_empty() && !text.contains('\0');
    // In names of blobs, a backslash is a slash; a name of a container has neither.
    if !plain(&container) || !plain(&blob) || blob.contains('\\') || container.contains('/') {
        return;
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query = blob_read_query("account", &key(), &container, &blob, Timestamp::MAX);
    let request =
        format!("blob GET /account/{}/{}?{query} HTTP/1.1\r\n\r\n", encode(&container), encode(&blob));
    // A server of HTTP takes no longer URLs.
    let Some(asked) = Asked::of(request.as_bytes()) else { return };
    let head = accepted(asked.head()).expect("the request can be read");
    let sas = accepted(Sas::of(&head)).flatten().expect("it has a signature");
    assert_eq!(sas.verify(&[key()]), Ok(true), "{request}");
    let spec = Operation::Blob(BlobOperation::GetBlob).spec();
    assert_eq!(sas.check(spec, arrival(Timestamp::from_ticks(0))), Ok(()), "{request}");
}

/// What is asked of a user delegation key.
pub(crate) fn key_info(data: &[u8]) {
    let now = Timestamp::from_ticks(0);
    if let Some(info) = accepted(KeyInfo::parse(data, now)) {
        assert!(info.start < info.expiry && info.expiry > now);
        assert!(info.expiry.since(now).as_secs() <= 7 * 24 * 3600);
    }
}

/// The header of a bearer token, and in the next line the claims of one that is sound.
pub(crate) fn bearer_token(data: &[u8]) {
    let (header, claims) = line(data);
    if let Some(token) = token::of(&text(header)) {
        assert_eq!(token, token.trim());
    }
    let Ok(claims) = serde_json::from_slice(claims) else { return };
    if let Some(user) = token::user(&claims, "roles", "account") {
        assert!(!user.object_id.is_empty() && !user.tenant_id.is_empty());
    }
}

/// Names of roles, a line each, as a token's claim has them.
pub(crate) fn roles(data: &[u8]) {
    let names = text(data);
    let roles = Roles::of(names.lines(), "account");
    let permitted = Operation::all().filter(|operation| roles.permit(*operation)).count();
    assert_eq!(permitted == 0, roles.bits() == 0, "each role permits something, and nothing else does");
    for service in [Service::Blob, Service::Queue, Service::Table] {
        let own = roles.of_service(service);
        assert_eq!(own.of_service(service), own);
        assert!(Roles::every(service).any(|every| every == own));
    }
    if let Ok(version) = ApiVersion::parse(&names) {
        let _ = challenge(&version, "issuer", "audience");
    }
}
