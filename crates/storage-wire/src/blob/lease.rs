//! Leases in headers (STORAGE, section 5).

use uuid::Uuid;

use crate::error::{ErrorCode, ProtocolError};
use crate::request::RequestHead;

/// The header of a lease's id.
const LEASE_ID: &str = "x-ms-lease-id";
/// The header of the id of the lease of what is renamed.
const SOURCE_LEASE_ID: &str = "x-ms-source-lease-id";
/// The header of the id that a lease is to get.
const PROPOSED_ID: &str = "x-ms-proposed-lease-id";
/// The header of a lease's duration.
const DURATION: &str = "x-ms-lease-duration";
/// The header of the time that a break leaves.
const BREAK_PERIOD: &str = "x-ms-lease-break-period";
/// Seconds that a lease may have that ends by itself (STORAGE, section 5).
const DURATION_SECONDS: std::ops::RangeInclusive<i64> = 15..=60;
/// Seconds that a break may leave (STORAGE, section 5).
const BREAK_SECONDS: std::ops::RangeInclusive<i64> = 0..=60;
/// The duration of a lease without end.
const WITHOUT_END: i64 = -1;

/// What a request asks of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRequest {
    /// `acquire`.
    Acquire {
        /// The id that the client wants.
        proposed: Option<[u8; 16]>,
        /// `None` without end.
        duration_seconds: Option<u32>,
    },
    /// `renew`.
    Renew([u8; 16]),
    /// `change`.
    Change {
        /// The id that the lease has.
        id: [u8; 16],
        /// The id that it is to get.
        proposed: [u8; 16],
    },
    /// `release`.
    Release([u8; 16]),
    /// `break`, with the time that it may leave.
    Break(Option<u32>),
}

impl LeaseRequest {
    /// Reads the headers of Lease Blob and Lease Container.
    ///
    /// # Errors
    /// When one is missing, or its value cannot be used.
    pub fn of(head: &RequestHead) -> Result<Self, ProtocolError> {
        const ACTION: &str = "x-ms-lease-action";
        let needed = |name| id(head, name)?.ok_or_else(|| ProtocolError::missing_header(name));
        let action = head.header(ACTION)?.ok_or_else(|| ProtocolError::missing_header(ACTION))?;
        match action.to_ascii_lowercase().as_str() {
            "acquire" => {
                let seconds = seconds(head, DURATION, |n| n == WITHOUT_END || DURATION_SECONDS.contains(&n))?
                    .ok_or_else(|| ProtocolError::missing_header(DURATION))?;
                let duration_seconds = u32::try_from(seconds).ok();
                Ok(Self::Acquire { proposed: id(head, PROPOSED_ID)?, duration_seconds })
            }
            "renew" => needed(LEASE_ID).map(Self::Renew),
            "change" => Ok(Self::Change { id: needed(LEASE_ID)?, proposed: needed(PROPOSED_ID)? }),
            "release" => needed(LEASE_ID).map(Self::Release),
            "break" => {
                let period = seconds(head, BREAK_PERIOD, |n| BREAK_SECONDS.contains(&n))?;
                Ok(Self::Break(period.and_then(|n| u32::try_from(n).ok())))
            }
            _ => Err(ProtocolError::header(ACTION, action)),
        }
    }
}

/// The lease that the client says it holds: `x-ms-lease-id`.
///
/// # Errors
/// When it is no GUID.
pub fn lease_id(head: &RequestHead) -> Result<Option<[u8; 16]>, ProtocolError> {
    id(head, LEASE_ID)
}

/// The lease that the client says it holds of what is renamed: `x-ms-source-lease-id`.
///
/// # Errors
/// When it is no GUID.
pub fn source_lease_id(head: &RequestHead) -> Result<Option<[u8; 16]>, ProtocolError> {
    id(head, SOURCE_LEASE_ID)
}

/// A lease's id as headers have it.
#[must_use]
pub fn id_text(id: [u8; 16]) -> String {
    Uuid::from_bytes(id).to_string()
}

fn id(head: &RequestHead, name: &'static str) -> Result<Option<[u8; 16]>, ProtocolError> {
    let Some(text) = head.header(name)?.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let id = Uuid::try_parse(bare).map_err(|_| ProtocolError::header(name, text))?;
    Ok(Some(id.into_bytes()))
}

fn seconds(
    head: &RequestHead,
    name: &'static str,
    allowed: impl Fn(i64) -> bool,
) -> Result<Option<i64>, ProtocolError> {
    let Some(text) = head.header(name)?.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match text.parse::<i64>() {
        Ok(number) if allowed(number) => Ok(Some(number)),
        _ => Err(ProtocolError::from(ErrorCode::InvalidHeaderValue)
            .with_detail("HeaderName", name)
            .with_detail("HeaderValue", text)),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::Service;

    const A: &str = "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a";

    fn told(headers: &[(&'static str, &str)]) -> String {
        let mut map: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        map.insert("host", "localhost".parse().unwrap());
        let uri = "/account/c?restype=container&comp=lease".parse().unwrap();
        let head = RequestHead::parse(Service::Blob, Method::PUT, &uri, map, &[]).unwrap();
        match LeaseRequest::of(&head) {
            Ok(LeaseRequest::Acquire { proposed, duration_seconds }) => {
                format!("acquire {} {duration_seconds:?}", proposed.is_some())
            }
            Ok(LeaseRequest::Change { .. }) => "change".to_owned(),
            Ok(other) => format!("{other:?}")
                .replace("[10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10]", "A"),
            Err(error) => error.code().to_string(),
        }
    }

    #[test]
    fn requests() {
        let braces = format!("{{{A}}}");
        let parentheses = format!("({A})");
        let plain = A.replace('-', "");
        let action = "x-ms-lease-action";
        let rows: &[(&[(&'static str, &str)], &str)] = &[
            (&[], "MissingRequiredHeader"),
            (&[(action, "take")], "InvalidHeaderValue"),
            (&[(action, "acquire")], "MissingRequiredHeader"),
            (&[(action, "acquire"), (DURATION, "14")], "InvalidHeaderValue"),
            (&[(action, "acquire"), (DURATION, "15")], "acquire false Some(15)"),
            (&[(action, "acquire"), (DURATION, "60")], "acquire false Some(60)"),
            (&[(action, "acquire"), (DURATION, "61")], "InvalidHeaderValue"),
            (&[(action, "acquire"), (DURATION, "0")], "InvalidHeaderValue"),
            (&[(action, "acquire"), (DURATION, "-2")], "InvalidHeaderValue"),
            (&[(action, "acquire"), (DURATION, "x")], "InvalidHeaderValue"),
            (&[(action, "Acquire"), (DURATION, "-1"), (PROPOSED_ID, A)], "acquire true None"),
            (&[(action, "acquire"), (DURATION, "-1"), (PROPOSED_ID, "x")], "InvalidHeaderValue"),
            (&[(action, "renew")], "MissingRequiredHeader"),
            (&[(action, "renew"), (LEASE_ID, &plain)], "Renew(A)"),
            (&[(action, "renew"), (LEASE_ID, &braces)], "Renew(A)"),
            (&[(action, "release"), (LEASE_ID, &parentheses)], "Release(A)"),
            (&[(action, "release"), (LEASE_ID, "A")], "InvalidHeaderValue"),
            (&[(action, "change"), (LEASE_ID, A)], "MissingRequiredHeader"),
            (&[(action, "change"), (LEASE_ID, A), (PROPOSED_ID, A)], "change"),
            (&[(action, "break")], "Break(None)"),
            (&[(action, "break"), (BREAK_PERIOD, "0")], "Break(Some(0))"),
            (&[(action, "break"), (BREAK_PERIOD, "60")], "Break(Some(60))"),
            (&[(action, "break"), (BREAK_PERIOD, "61")], "InvalidHeaderValue"),
            (&[(action, "break"), (BREAK_PERIOD, "-1")], "InvalidHeaderValue"),
        ];
        for (headers, expected) in rows {
            assert_eq!(told(headers), *expected, "{headers:?}");
        }
    }
}
