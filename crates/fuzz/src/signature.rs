//! Shared Key: the header, the texts that are signed, keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_storage_wire::shared_key::{self, AccountKey, Signature};

use crate::input::{Asked, text};
use crate::outcome::accepted;

/// The version since when every part of the text that clients sign is as it is today.
const SIGNED_ALIKE_SINCE: &str = "2015-02-21";

/// A request whose signature is checked, and then one that is right.
pub(crate) fn signature(data: &[u8]) {
    let Some(asked) = Asked::of(data) else { return };
    let Some(mut head) = accepted(asked.head()) else { return };
    let keys = [[1; 64], [2; 64]].map(|key| AccountKey::from_bytes(key.to_vec()));
    let given = head.headers.remove("authorization");
    if let Some(given) = given.as_ref().and_then(|value| value.to_str().ok())
        && let Some(signature) = accepted(Signature::parse(given))
    {
        assert!(!shared_key::verify(&head, &signature, &keys), "nobody can guess a signature");
    }
    if head.secondary || head.version.as_str() < SIGNED_ALIKE_SINCE {
        return;
    }
    let made =
        shared_key::authorize(&head.account, &keys[0], head.service, &head.method, &asked.uri, &head.headers);
    let Some(made) = accepted(made) else { return };
    let Some(signature) = accepted(Signature::parse(&made)) else { return };
    assert!(!shared_key::verify(&head, &signature, &keys[1..]), "another key is another signature");
    // Names of accounts have no colon and no space; the head is read before it is known whether there is the account.
    if head.account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        assert!(shared_key::verify(&head, &signature, &keys), "what a client signs is accepted: {made}");
    }
}

/// The key of an account, as people copy it.
pub(crate) fn account_key(data: &[u8]) {
    if let Ok(key) = AccountKey::from_base64(&text(data)) {
        let signature = key.sign("text");
        assert!(key.verifies("text", &signature) && !key.verifies("another", &signature));
    }
    assert!(!AccountKey::from_bytes(data.to_vec()).verifies("text", &text(data)));
    assert_eq!(AccountKey::from_base64(&STANDARD.encode(data)), Ok(AccountKey::from_bytes(data.to_vec())));
}
