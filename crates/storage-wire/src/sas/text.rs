//! The texts that shared access signatures sign, per kind and version.

use super::{Scope, covered};
use crate::error::ProtocolError;
use crate::request::RequestHead;

/// Response headers that a SAS may override, in the order in which they are signed.
const OVERRIDES: [&str; 5] = ["rscc", "rscd", "rsce", "rscl", "rsct"];
/// Since then the canonical resource begins with the service.
const SERVICE_PREFIX_SINCE: &str = "2015-02-21";
/// Since then an address and a protocol are signed, and accounts have signatures.
const ADDRESS_SINCE: &str = "2015-04-05";
/// Since then the resource type and snapshot are signed.
const SNAPSHOT_SINCE: &str = "2018-11-09";
/// Since then the encryption scope is signed.
const SCOPE_SINCE: &str = "2020-12-06";
/// Since then response headers are signed.
const OVERRIDES_SINCE: &str = "2013-08-15";

/// The text that the request's SAS must have signed.
pub(super) fn to_sign(head: &RequestHead, scope: Scope) -> Result<String, ProtocolError> {
    let field = |name: &str| head.query.get(name).unwrap_or("").to_owned();
    let version = field("sv");
    if scope == Scope::Account {
        return Ok(account(&head.account, &version, field));
    }
    let covered = covered(head, scope)?;
    let resource = if version.as_str() < SERVICE_PREFIX_SINCE {
        format!("/{}{covered}", head.account)
    } else {
        format!("/{}/{}{covered}", head.service.as_str(), head.account)
    };
    let mut lines = vec![field("sp"), field("st"), field("se"), resource, field("si")];
    if version.as_str() >= ADDRESS_SINCE {
        lines.extend([field("sip"), field("spr")]);
    }
    if !version.is_empty() {
        lines.push(version.clone());
    }
    match scope {
        Scope::Container | Scope::Blob => lines.extend(blob_tail(&version, field)),
        Scope::Table => lines.extend(["spk", "srk", "epk", "erk"].map(field)),
        Scope::Queue | Scope::Account => {}
    }
    Ok(lines.join("\n"))
}

fn account(name: &str, version: &str, field: impl Fn(&str) -> String) -> String {
    let mut lines = vec![name.to_owned()];
    lines.extend(["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"].map(&field));
    if version >= SCOPE_SINCE {
        lines.push(field("ses"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn blob_tail(version: &str, field: impl Fn(&str) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    if version >= SNAPSHOT_SINCE {
        lines.extend([field("sr"), field("snapshot")]);
    }
    if version >= SCOPE_SINCE {
        lines.push(field("ses"));
    }
    if version >= OVERRIDES_SINCE {
        lines.extend(OVERRIDES.map(field));
    }
    lines
}

/// The text of a SAS that permits reading one blob.
pub(super) fn blob_read(account: &str, container: &str, blob: &str, expiry: &str, version: &str) -> String {
    let resource = format!("/blob/{account}/{container}/{blob}");
    let lines = ["r", "", expiry, &resource, "", "", "", version, "b", "", "", "", "", "", "", ""];
    lines.join("\n")
}
