//! Bearer tokens: JSON Web Tokens of the configured issuer, over HTTPS only (STORAGE, section 0.3).

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use welkin_storage_wire::bearer::Roles;
use welkin_storage_wire::sas::Arrival;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};

use super::issuer::Issuer;
use super::{challenged, failed};

/// What a token without a tenant has as one: user delegation keys name it.
const NO_TENANT: &str = "00000000-0000-0000-0000-000000000000";
/// Algorithms that are taken: those that issuers sign with, and none with a shared secret.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];

/// The user of a bearer token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id: `oid`, or else `sub`.
    pub object_id: String,
    /// The id of the user's tenant: `tid`.
    pub tenant_id: String,
    /// The user's roles on the account that is asked.
    pub roles: Roles,
}

/// The token of an `Authorization` header, if it has one.
#[must_use]
pub fn of(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// The user of the token, when it is sound.
pub(super) async fn verify(
    issuer: Option<&Issuer>,
    head: &RequestHead,
    value: &str,
    arrival: Arrival,
) -> Result<User, ProtocolError> {
    let issuer = issuer.ok_or_else(|| failed("no issuer of bearer tokens is configured"))?;
    if !arrival.https {
        return Err(failed("bearer tokens are taken over HTTPS only"));
    }
    let refuse = |why: String| {
        let error = ProtocolError::from(ErrorCode::InvalidToken);
        challenged(error.with_detail("AuthenticationErrorDetail", &why), Some(issuer), head)
    };
    let token = of(value).unwrap_or("");
    let header = decode_header(token).map_err(|error| refuse(error.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refuse("tokens are signed with RS256 or ES256".to_owned()));
    }
    let kid = header.kid.as_deref().unwrap_or("");
    let key = issuer.key(kid).await.ok_or_else(|| refuse("the issuer has no such key".to_owned()))?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer.url()]);
    let audience = issuer.audience().trim_end_matches('/');
    validation.set_audience(&[audience.to_owned(), format!("{audience}/")]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_nbf = true;
    let claims = decode::<Map<String, Value>>(token, &key, &validation);
    let claims = claims.map_err(|error| refuse(error.to_string()))?.claims;
    user(&claims, issuer.roles_claim(), &head.account).ok_or_else(|| refuse("it names no user".to_owned()))
}

/// The user whom the claims of a sound token name, if they name one.
#[must_use]
pub fn user(claims: &Map<String, Value>, roles_claim: &str, account: &str) -> Option<User> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let names: Vec<&str> = match claims.get(roles_claim) {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    Some(User {
        object_id: text("oid").or_else(|| text("sub"))?.to_owned(),
        tenant_id: text("tid").unwrap_or(NO_TENANT).to_owned(),
        roles: Roles::of(names, account),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_headers() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("SharedKey a:b", None),
            ("Bearer", None),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
    }

    #[test]
    fn users_of_claims() {
        for (claims, expected) in [
            (serde_json::json!({"sub": "s", "r": "Storage Blob Data Reader"}), Some(("s", NO_TENANT, 1))),
            (
                serde_json::json!({"sub": "s", "oid": "o", "tid": "t", "r": ["Storage Blob Data Reader/b"]}),
                Some(("o", "t", 0)),
            ),
            (serde_json::json!({"sub": 7}), None),
        ] {
            let user = user(claims.as_object().unwrap(), "r", "a");
            let found = user.as_ref().map(|u| (u.object_id.as_str(), u.tenant_id.as_str(), u.roles.bits()));
            assert_eq!(found, expected, "{claims}");
        }
    }
}
