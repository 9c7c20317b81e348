//! The texts that shared access signatures sign, per kind and version.

use super::scope::{Scope, covered};
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

/// Since then the ids of who may and of who asked for the signature are signed with a user delegation key.
const AUTHORIZED_SINCE: &str = "2020-02-10";
/// Since then a user delegation key can be for one user of another tenant; queues have them.
const DELEGATED_USER_SINCE: &str = "2025-07-05";
/// Since then headers and parameters that a request must have are signed with a user delegation key.
const REQUEST_SINCE: &str = "2026-04-06";

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
    let delegated = head.query.get_filled("skoid").is_some();
    let mut lines = vec![field("sp"), field("st"), field("se"), resource];
    match delegated {
        true => lines.extend(delegation(scope, &version).into_iter().map(field)),
        false => lines.push(field("si")),
    }
    if version.as_str() >= ADDRESS_SINCE {
        lines.extend([field("sip"), field("spr")]);
    }
    if !version.is_empty() {
        lines.push(version.clone());
    }
    match scope {
        Scope::Table => lines.extend(["spk", "srk", "epk", "erk"].map(field)),
        Scope::Queue | Scope::Account => {}
        _ => lines.extend(blob_tail(head, scope, &version, delegated)),
    }
    Ok(lines.join("\n"))
}

/// The fields of a user delegation key, and of the users that its signature is for.
fn delegation(scope: Scope, version: &str) -> Vec<&'static str> {
    let mut fields = vec!["skoid", "sktid", "skt", "ske", "sks", "skv"];
    if scope != Scope::Queue && version >= AUTHORIZED_SINCE {
        fields.extend(["saoid", "suoid", "scid"]);
    }
    if version >= DELEGATED_USER_SINCE {
        fields.extend(["skdutid", "sduoid"]);
    }
    fields
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

fn blob_tail(head: &RequestHead, scope: Scope, version: &str, delegated: bool) -> Vec<String> {
    let field = |name: &str| head.query.get(name).unwrap_or("").to_owned();
    let mut lines = Vec::new();
    if version >= SNAPSHOT_SINCE {
        let time = match scope {
            Scope::Snapshot => field("snapshot"),
            Scope::Version => field("versionid"),
            _ => String::new(),
        };
        lines.extend([field("sr"), time]);
    }
    if version >= SCOPE_SINCE {
        lines.push(field("ses"));
    }
    if delegated && version >= REQUEST_SINCE {
        lines.extend([request_headers(head, &field("srh")), request_parameters(head, &field("srq"))]);
    }
    if version >= OVERRIDES_SINCE {
        lines.extend(OVERRIDES.map(field));
    }
    lines
}

/// The headers that a request must have, with the values that it has: a line each, and a line break after the last.
fn request_headers(head: &RequestHead, names: &str) -> String {
    let value = |name: &str| head.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
    let line = |name: &str| format!("{name}:{}\n", value(name).unwrap_or_default());
    names.split(',').filter(|name| !name.is_empty()).map(line).collect()
}

/// The parameters that a request must have, with the values that it has: each after a line break.
fn request_parameters(head: &RequestHead, names: &str) -> String {
    let line = |name: &str| format!("\n{name}:{}", head.query.get(name).unwrap_or(""));
    names.split(',').filter(|name| !name.is_empty()).map(line).collect()
}

/// The text of a SAS that permits reading one blob.
pub(super) fn blob_read(account: &str, container: &str, blob: &str, expiry: &str, version: &str) -> String {
    let resource = format!("/blob/{account}/{container}/{blob}");
    let lines = ["r", "", expiry, &resource, "", "", "", version, "b", "", "", "", "", "", "", ""];
    lines.join("\n")
}
