//! What a shared access signature limits beside time: protocol, addresses, and permissions that a request needs
//! beyond those of its operation.

use std::net::IpAddr;

use super::failed;
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::Spec;
use crate::request::RequestHead;

/// Checks `spr`.
pub(super) fn check_protocol(allowed: Option<&str>, https: bool) -> Result<(), ProtocolError> {
    match allowed {
        None | Some("https,http" | "http,https") => Ok(()),
        Some("https") if https => Ok(()),
        Some("https") => Err(ErrorCode::AuthorizationProtocolMismatch.into()),
        Some(_) => Err(failed("spr is neither https nor https,http")),
    }
}

/// Checks `sip`: an address, or the first and last of a range.
pub(super) fn check_address(range: Option<&str>, address: IpAddr) -> Result<(), ProtocolError> {
    let Some(range) = range else {
        return Ok(());
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parse = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| failed("sip is no address or range"));
    let (first, address, last) = (parse(first)?, address.to_canonical(), parse(last)?);
    let one_family = first.is_ipv4() == address.is_ipv4() && address.is_ipv4() == last.is_ipv4();
    match one_family && first <= address && address <= last {
        true => Ok(()),
        false => Err(ErrorCode::AuthorizationSourceIPMismatch.into()),
    }
}

/// Sets of letters of each of which the SAS must have one: those of the operation, and of what the request asks
/// beside it (STORAGE, section 0.2: permission letters).
pub(super) fn more_letters<'a>(
    head: &RequestHead,
    spec: Spec,
    letters: &'a str,
) -> impl Iterator<Item = &'a str> {
    let given = |name| head.query.get_filled(name).is_some();
    let header = |name| spec.writes && head.headers.contains_key(name);
    let deletes = spec.name == "Delete Blob";
    let first = match deletes && !letters.is_empty() {
        true if head.query.get("deletetype") == Some("permanent") => "y",
        true if given("versionid") => "x",
        _ => letters,
    };
    let tags = (header("x-ms-tags") && spec.name != "Set Blob Tags").then_some("t");
    let holds = (header("x-ms-immutability-policy-until-date") || header("x-ms-legal-hold")).then_some("i");
    [Some(first), tags, holds].into_iter().flatten()
}
