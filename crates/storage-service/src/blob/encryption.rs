//! Keys that clients bring, and encryption scopes (STORAGE, section 3).
//!
//! Content is encrypted with a client's key. A scope is recorded and told, and nothing more: the server encrypts
//! nothing by itself, and says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use welkin_storage::blob::container::ContainerRecord;
use welkin_storage::blob::encryption::CustomerKey;
use welkin_storage::blob::state::Encryption;
use welkin_storage_wire::{ErrorCode, ProtocolError};
use welkin_transport::Body;

use crate::answer::set;
use crate::context::{Authorization, Context};

/// The headers that bring a key.
#[derive(Debug)]
pub(super) struct KeyHeaders {
    key: &'static str,
    sha256: &'static str,
    algorithm: &'static str,
}

/// The key of the blob.
pub(super) const KEY: KeyHeaders =
    KeyHeaders { key: "x-ms-encryption-key", sha256: KEY_SHA256, algorithm: "x-ms-encryption-algorithm" };
/// The key of a copy's source.
pub(super) const SOURCE_KEY: KeyHeaders = KeyHeaders {
    key: "x-ms-source-encryption-key",
    sha256: "x-ms-source-encryption-key-sha256",
    algorithm: "x-ms-source-encryption-algorithm",
};
const KEY_SHA256: &str = "x-ms-encryption-key-sha256";
const SCOPE: &str = "x-ms-encryption-scope";
/// Since then a shared access signature can name the scope (STORAGE, section 0.2).
const SCOPE_SIGNED_SINCE: &str = "2020-12-06";
/// The one algorithm.
const AES256: &str = "AES256";

/// The key that the request brings. All of the three headers go together, and over HTTPS only.
pub(super) fn key_of(context: &Context, headers: &KeyHeaders) -> Result<Option<CustomerKey>, ProtocolError> {
    let header = |name: &'static str| {
        let value = context.head.header(name)?.map(str::trim).filter(|text| !text.is_empty());
        Ok::<_, ProtocolError>(value)
    };
    let (key, sha256, algorithm) =
        match (header(headers.key)?, header(headers.sha256)?, header(headers.algorithm)?) {
            (None, None, None) => return Ok(None),
            (None, _, _) => return Err(ProtocolError::missing_header(headers.key)),
            (_, None, _) => return Err(ProtocolError::missing_header(headers.sha256)),
            (_, _, None) => return Err(ProtocolError::missing_header(headers.algorithm)),
            (Some(key), Some(sha256), Some(algorithm)) => (key, sha256, algorithm),
        };
    if !context.arrival.https {
        let why = "A key may be sent over HTTPS only.";
        return Err(
            ProtocolError::saying(ErrorCode::InvalidHeaderValue, why).with_detail("HeaderName", headers.key)
        );
    }
    if algorithm != AES256 {
        return Err(ProtocolError::header(headers.algorithm, algorithm));
    }
    // The key itself is not told back, whatever is wrong with it.
    let bytes = STANDARD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| ProtocolError::header(headers.key, ""))?;
    let key = CustomerKey::new(bytes, rand::random());
    match STANDARD.decode(sha256).is_ok_and(|announced| announced == key.sha256()) {
        true => Ok(Some(key)),
        false => Err(ProtocolError::header(headers.sha256, sha256)),
    }
}

/// The scope that the request asks for: by its header, or by its shared access signature, which must not differ.
fn asked_scope(context: &Context) -> Result<Option<&str>, ProtocolError> {
    let asked = context.head.header(SCOPE)?.map(str::trim).filter(|text| !text.is_empty());
    let query = &context.head.query;
    let signs_scope = matches!(context.authorization, Authorization::Sas { .. })
        && query.get("sv").is_some_and(|version| version >= SCOPE_SIGNED_SINCE);
    match (asked, query.get_filled("ses").filter(|_| signs_scope)) {
        (Some(asked), Some(signed)) if asked != signed => Err(ProtocolError::header(SCOPE, asked)),
        (asked, signed) => Ok(asked.or(signed)),
    }
}

/// How a blob that is written in the container is encrypted.
pub(super) fn of_new(
    context: &Context,
    key: Option<&CustomerKey>,
    container: &ContainerRecord,
) -> Result<Encryption, ProtocolError> {
    let asked = asked_scope(context)?;
    let own = container.encryption_scope.as_deref();
    let scope = match asked {
        Some(scope) if container.denies_other_scopes && Some(scope) != own => {
            return Err(ErrorCode::RequestForbiddenByContainerEncryptionPolicy.into());
        }
        Some(scope) if !context.account.settings.encryption_scopes.iter().any(|own| own == scope) => {
            return Err(ProtocolError::header(SCOPE, scope));
        }
        Some(scope) => Some(scope),
        None => own,
    };
    match (key, asked, scope) {
        (Some(_), Some(scope), _) => Err(ProtocolError::header(SCOPE, scope)),
        (Some(_), None, Some(_)) if container.denies_other_scopes => {
            Err(ErrorCode::RequestForbiddenByContainerEncryptionPolicy.into())
        }
        (Some(key), None, _) => Ok(Encryption::CustomerKey(key.sha256())),
        (None, _, Some(scope)) => Ok(Encryption::Scope(scope.to_owned())),
        (None, _, None) => Ok(Encryption::Account),
    }
}

/// Tells how what was written is encrypted.
pub(super) fn tell_written(response: &mut Response<Body>, encryption: &Encryption) {
    tell("x-ms-request-server-encrypted", response, encryption);
}

/// Tells how a blob is encrypted.
pub(super) fn tell_blob(response: &mut Response<Body>, encryption: &Encryption) {
    tell("x-ms-server-encrypted", response, encryption);
}

fn tell(flag: &'static str, response: &mut Response<Body>, encryption: &Encryption) {
    let encrypted = matches!(encryption, Encryption::CustomerKey(_));
    set(response, flag, if encrypted { "true" } else { "false" });
    match encryption {
        Encryption::Account => {}
        Encryption::CustomerKey(sha256) => set(response, KEY_SHA256, &STANDARD.encode(sha256)),
        Encryption::Scope(scope) => set(response, SCOPE, scope),
    }
}
