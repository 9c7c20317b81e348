//! The history of a subscription: what was created, changed and deleted, by whom and how it ended.

use std::time::Duration;

use welkin_base::Timestamp;

use crate::error::{ApiError, ErrorCode};
use crate::operation_status::{FAILED, IN_PROGRESS, Progress, SUCCEEDED, guid};
use crate::route::Parameters;
use crate::xml::Element;

/// How far back the history reaches (SMAPI §6, "List Subscription Operations").
pub const HISTORY: Duration = Duration::from_secs(90 * 24 * 3600);
/// Clocks differ: a start that is older by less than this is taken.
const HISTORY_SLACK: Duration = Duration::from_secs(24 * 3600);
/// The namespace of a parameter's name and value. One client finds it by this, the other by the prefix `a` (SMAPI §6).
const PARAMETERS_NAMESPACE: &str =
    "http://schemas.datacontract.org/2004/07/Microsoft.WindowsAzure.ServiceManagement";

/// What is asked of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// From when on, inclusive.
    pub start: Timestamp,
    /// Until when, inclusive.
    pub end: Timestamp,
    /// The path of the only thing that is asked about.
    pub object: Option<String>,
    /// The only outcome that is asked about, as [`status`] has it.
    pub status: Option<&'static str>,
    /// Where the last page ended.
    pub continuation: Option<String>,
}

impl Query {
    /// Reads the request's query.
    ///
    /// # Errors
    /// When a time is missing or wrong, or reaches back too far.
    pub fn parse(parameters: &Parameters, now: Timestamp) -> Result<Self, ApiError> {
        let start = time(parameters, "StartTime")?;
        let end = time(parameters, "EndTime")?;
        if end < start {
            return Err(ApiError::bad_request("EndTime is before StartTime"));
        }
        if start.plus(HISTORY + HISTORY_SLACK) < now {
            return Err(ApiError::bad_request("StartTime is more than 90 days ago: the history ends there"));
        }
        let text = |name: &str| parameters.query(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            start,
            end,
            object: text("objectidfilter"),
            status: text("operationresultfilter").map(|text| outcome(&text)).transpose()?,
            continuation: text("continuationtoken"),
        })
    }
}

fn outcome(text: &str) -> Result<&'static str, ApiError> {
    let known = [SUCCEEDED, FAILED, IN_PROGRESS].into_iter().find(|name| name.eq_ignore_ascii_case(text));
    known
        .ok_or_else(|| ApiError::bad_request("OperationResultFilter must be Succeeded, Failed or InProgress"))
}

/// A day, or a moment in UTC with up to 7 digits of a second's fraction.
fn time(parameters: &Parameters, name: &str) -> Result<Timestamp, ApiError> {
    let wrong = |what: &str| {
        let message =
            format!("{name} {what}: send a day such as 2026-01-31, or a moment such as 2026-01-31T23:59:59Z");
        ApiError::new(ErrorCode::MissingOrInvalidRequiredQueryParameter, message)
    };
    let text = parameters.query(&name.to_ascii_lowercase()).ok_or_else(|| wrong("is missing"))?;
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    if !whole.ends_with('Z') {
        return Err(wrong("is not in UTC"));
    }
    Timestamp::parse_rfc3339(&whole).map_err(|_| wrong("is not a time"))
}

/// An operation of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionOperation {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// The path of what it is about.
    pub object: String,
    /// Its name in the API.
    pub name: String,
    /// Names and values of what the request's path named.
    pub parameters: Vec<(String, String)>,
    /// The SHA-1 thumbprint of the caller's certificate.
    pub caller: String,
    /// The caller's address.
    pub client: String,
    /// When it began.
    pub started: Timestamp,
    /// How it is going.
    pub progress: Progress,
}

/// `Status`, as answers and filters have it.
#[must_use]
pub fn status(progress: &Progress) -> &'static str {
    match progress {
        Progress::InProgress => IN_PROGRESS,
        Progress::Succeeded { .. } => SUCCEEDED,
        Progress::Failed { .. } => FAILED,
    }
}

impl SubscriptionOperation {
    fn element(&self) -> Element {
        let parameter = |(name, value): &(String, String)| {
            Element::new("OperationParameter")
                .attribute("xmlns:a", PARAMETERS_NAMESPACE)
                .with("a:Name", name)
                .with("a:Value", value)
        };
        let caller = Element::new("OperationCaller")
            .with("UsedServiceManagementApi", true)
            .with("UserEmailAddress", "")
            .with("SubscriptionCertificateThumbprint", &self.caller)
            .with("ClientIP", &self.client);
        let (completed, code) = match &self.progress {
            Progress::InProgress => (None, None),
            Progress::Succeeded { at, .. } => (Some(at), Some(200)),
            Progress::Failed { at, error } => (Some(at), Some(error.code.status().as_u16())),
        };
        let status = Element::new("OperationStatus")
            .with("ID", guid(&self.id))
            .with("Status", status(&self.progress))
            .maybe("HttpStatusCode", code);
        Element::new("SubscriptionOperation")
            .with("OperationId", guid(&self.id))
            .with("OperationObjectId", &self.object)
            .with("OperationName", &self.name)
            .child(Element::new("OperationParameters").children(self.parameters.iter().map(parameter)))
            .child(caller)
            .child(status)
            .with("OperationStartedTime", self.started.to_iso_seconds())
            .maybe("OperationCompletedTime", completed.map(|at| at.to_iso_seconds()))
            .with("OperationKind", kind(&self.name))
    }
}

/// `OperationKind`: what the operation does to its object.
fn kind(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("Create") || name.starts_with("Add") => "CreateOperation",
        _ if name.starts_with("Delete") => "DeleteOperation",
        _ => "UpdateOperation",
    }
}

/// The element `SubscriptionOperationCollection`.
#[must_use]
pub fn list(operations: &[SubscriptionOperation], continuation: Option<&str>) -> Element {
    let elements = operations.iter().map(SubscriptionOperation::element);
    Element::new("SubscriptionOperationCollection")
        .child(Element::new("SubscriptionOperations").children(elements))
        .maybe("ContinuationToken", continuation)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::route::route;

    fn query(text: &str) -> Result<Query, ApiError> {
        let uri = format!("/S/operations{text}").parse().unwrap();
        let now = Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
        Query::parse(&route(&Method::GET, &uri).unwrap().parameters, now)
    }

    #[test]
    fn queries() {
        for (text, expected) in [
            ("?StartTime=2026-01-01&EndTime=2026-02-01", Ok("2026-02-01T00:00:00.0000000Z")),
            (
                "?StartTime=2026-01-01T00%3A00%3A00Z&EndTime=2026-01-01T01%3A02%3A03.1234567Z",
                Ok("2026-01-01T01:02:03.1234567Z"),
            ),
            (
                "?starttime=2025-12-02&endtime=2025-12-03&OperationResultFilter=succeeded",
                Ok("2025-12-03T00:00:00.0000000Z"),
            ),
            ("", Err("StartTime is missing")),
            ("?StartTime=2026-01-01", Err("EndTime is missing")),
            ("?StartTime=yesterday&EndTime=2026-01-01", Err("is not a time")),
            ("?StartTime=2026-01-01T00:00:00%2B01:00&EndTime=2026-01-01", Err("is not in UTC")),
            ("?StartTime=2026-01-02&EndTime=2026-01-01", Err("before StartTime")),
            ("?StartTime=2025-11-01&EndTime=2026-01-01", Err("more than 90 days")),
            (
                "?StartTime=2026-01-01&EndTime=2026-01-01&OperationResultFilter=Maybe",
                Err("must be Succeeded"),
            ),
        ] {
            match (query(text), expected) {
                (Ok(got), Ok(end)) => assert_eq!(got.end.to_iso7(), end, "{text}"),
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        let filtered = query(
            "?StartTime=2026-01-01&EndTime=2026-01-02&ObjectIdFilter=%2Fx&ContinuationToken=t&OperationResultFilter=inprogress",
        );
        let filtered = filtered.unwrap();
        assert_eq!((filtered.object.as_deref(), filtered.continuation.as_deref()), (Some("/x"), Some("t")));
        assert_eq!(filtered.status, Some(IN_PROGRESS));
    }

    #[test]
    fn what_both_clients_look_for() {
        let operation = SubscriptionOperation {
            id: "6ba7b8109dad11d180b400c04fd430c8".to_owned(),
            object: "/S/services/hostedservices/a".to_owned(),
            name: "CreateHostedService".to_owned(),
            parameters: vec![("serviceName".to_owned(), "a".to_owned())],
            caller: "AB".to_owned(),
            client: "127.0.0.1".to_owned(),
            started: Timestamp::from_ticks(0),
            progress: Progress::InProgress,
        };
        let document = String::from_utf8(list(&[operation], Some("next")).to_document()).unwrap();
        for part in [
            "<OperationParameter xmlns:a=\"http://schemas.datacontract.org/2004/07/Microsoft.WindowsAzure.ServiceManagement\">\
             <a:Name>serviceName</a:Name><a:Value>a</a:Value></OperationParameter>",
            "<OperationId>6ba7b810-9dad-11d1-80b4-00c04fd430c8</OperationId>",
            "<OperationStatus><ID>6ba7b810-9dad-11d1-80b4-00c04fd430c8</ID><Status>InProgress</Status></OperationStatus>",
            "<OperationKind>CreateOperation</OperationKind>",
            "</SubscriptionOperations><ContinuationToken>next</ContinuationToken>",
        ] {
            assert!(document.contains(part), "{part}: {document}");
        }
    }
}
