//! How an operation is going: what clients poll.

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::deployment::warnings_element;
use crate::error::ApiError;
use crate::xml::Element;

/// `Status` of an operation that runs.
pub const IN_PROGRESS: &str = "InProgress";
/// `Status` of an operation that did what was asked.
pub const SUCCEEDED: &str = "Succeeded";
/// `Status` of an operation that did not.
pub const FAILED: &str = "Failed";

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It runs.
    InProgress,
    /// It did what was asked.
    Succeeded {
        /// When.
        at: Timestamp,
        /// What of a package and a configuration has no effect.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// It did not, and left nothing behind.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        error: ApiError,
    },
}

/// The element `Operation`. `id` has 32 hexadecimal digits and is answered as a GUID (SMAPI §5). `Error` is there
/// only for a failure: one client takes any such element as one.
#[must_use]
pub fn element(id: &str, progress: &Progress) -> Element {
    let operation = Element::new("Operation").with("ID", guid(id));
    match progress {
        Progress::InProgress => operation.with("Status", IN_PROGRESS),
        Progress::Succeeded { warnings, .. } => operation
            .with("Status", SUCCEEDED)
            .with("HttpStatusCode", 200)
            .children(warnings_element(warnings)),
        Progress::Failed { error, .. } => operation
            .with("Status", FAILED)
            .with("HttpStatusCode", error.code.status().as_u16())
            .child(error.element()),
    }
}

/// 32 hexadecimal digits as a GUID.
pub(crate) fn guid(id: &str) -> String {
    match (id.get(..8), id.get(8..12), id.get(12..16), id.get(16..20), id.get(20..)) {
        (Some(a), Some(b), Some(c), Some(d), Some(e)) => format!("{a}-{b}-{c}-{d}-{e}"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let at = Timestamp::from_ticks(0);
        let error = ApiError::bad_request("a < b");
        for (progress, expected) in [
            (Progress::InProgress, "<Status>InProgress</Status></Operation>"),
            (
                Progress::Succeeded { at, warnings: Vec::new() },
                "<Status>Succeeded</Status><HttpStatusCode>200</HttpStatusCode></Operation>",
            ),
            (
                Progress::Succeeded { at, warnings: vec!["a < b".to_owned()] },
                "<Status>Succeeded</Status><HttpStatusCode>200</HttpStatusCode>\
                 <Warnings><Warning>a &lt; b</Warning></Warnings></Operation>",
            ),
            (
                Progress::Failed { at, error },
                "<Status>Failed</Status><HttpStatusCode>400</HttpStatusCode>\
                 <Error><Code>BadRequest</Code><Message>a &lt; b</Message></Error></Operation>",
            ),
        ] {
            let document = element("6ba7b8109dad11d180b400c04fd430c8", &progress).to_document();
            let text = String::from_utf8(document).unwrap();
            let (_, rest) = text.split_once("<ID>6ba7b810-9dad-11d1-80b4-00c04fd430c8</ID>").unwrap();
            assert_eq!(rest, expected);
        }
    }
}
