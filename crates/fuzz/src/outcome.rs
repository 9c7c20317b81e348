//! What must hold whatever a parser decides.

use std::fmt::Debug;

use http::{HeaderValue, StatusCode};
use welkin_storage_wire::ProtocolError;
use welkin_storage_wire::error::ErrorForm;

/// What was accepted. A refusal is the client's fault, and its answer can be written in every form.
pub(crate) fn accepted<T>(result: Result<T, ProtocolError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            check_refusal(&error);
            None
        }
    }
}

fn check_refusal(error: &ProtocolError) {
    let status = error.status();
    assert!(
        status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED,
        "bad input is no fault of the server: {error}"
    );
    for form in [ErrorForm::Xml, ErrorForm::ODataXml] {
        let (body, _) = error.body(form, "id", "time");
        let parsed = roxmltree::Document::parse(&body);
        assert!(parsed.is_ok(), "an error in {form:?} is no XML: {body}");
    }
    let (body, _) = error.body(ErrorForm::ODataJson, "id", "time");
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "an error is no JSON: {body}");
    for (name, value) in error.headers() {
        assert!(HeaderValue::from_str(value).is_ok(), "an error's header {name} cannot be sent");
    }
}

/// What was written must be read again as what it was.
pub(crate) fn same<T: PartialEq + Debug>(again: Result<T, ProtocolError>, first: &T, written: &str) {
    match again {
        Ok(again) => assert_eq!(again, *first, "written as {written}"),
        Err(error) => panic!("cannot read what was written, {error}: {written}"),
    }
}
