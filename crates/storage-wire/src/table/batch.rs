//! The body of an entity group transaction: one change set, or one query ("Performing entity group transactions").
//!
//! ```text
//! multipart/mixed
//!   └ multipart/mixed                  the change set: all of it or nothing
//!       ├ application/http             an insert, update, merge or delete
//!       └ …
//! ```

use http::{Method, Response};

use crate::error::{ErrorCode, ProtocolError};
use crate::multipart::{self, InnerRequest, Part, Writer};

/// Operations of a change set.
pub const OPERATIONS_MAX: usize = 100;
/// Bytes of the whole body.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// What a batch asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch<'a> {
    /// Changes that are made together or not at all.
    Changes(Vec<BatchRequest<'a>>),
    /// One query.
    Query(Box<BatchRequest<'a>>),
}

/// One request of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct BatchRequest<'a> {
    /// What the client calls it; echoed.
    pub content_id: Option<String>,
    /// The request.
    pub request: InnerRequest<'a>,
}

impl<'a> Batch<'a> {
    /// Reads the body of a batch.
    ///
    /// # Errors
    /// When it is neither one change set nor one query, or has too many operations.
    pub fn parse(content_type: &str, body: &'a [u8]) -> Result<Self, ProtocolError> {
        let parts = multipart::parse(body, multipart::boundary(content_type)?)?;
        let [part] = parts.as_slice() else {
            return Err(refused("A batch has exactly one change set, or exactly one query."));
        };
        let kind = part.header("content-type").unwrap_or("");
        if is_kind(kind, "application/http") {
            let query = BatchRequest::of(part)?;
            return match query.request.method {
                Method::GET => Ok(Self::Query(Box::new(query))),
                _ => Err(refused("A change in a batch is in a change set.")),
            };
        }
        let parts = multipart::parse(part.body, multipart::boundary(kind)?)?;
        if parts.len() > OPERATIONS_MAX {
            let why = "The batch request operation exceeds the maximum 100 changes per change set.";
            return Err(refused(&format!("{OPERATIONS_MAX}:{why}")));
        }
        let changes = parts.iter().map(BatchRequest::of_change).collect::<Result<Vec<_>, _>>()?;
        if changes.is_empty() { Err(refused("The change set is empty.")) } else { Ok(Self::Changes(changes)) }
    }
}

impl<'a> BatchRequest<'a> {
    fn of(part: &Part<'a>) -> Result<Self, ProtocolError> {
        if !is_kind(part.header("content-type").unwrap_or(""), "application/http") {
            return Err(refused("A request in a batch is a part of the type application/http."));
        }
        let request = multipart::request(part)?;
        let inner = request.headers.get("content-id").and_then(|id| id.to_str().ok());
        let content_id = part.header("content-id").or(inner).map(str::to_owned);
        Ok(Self { content_id, request })
    }

    fn of_change(part: &Part<'a>) -> Result<Self, ProtocolError> {
        let change = Self::of(part)?;
        match change.request.method {
            Method::GET => Err(refused("A change set has no queries.")),
            _ => Ok(change),
        }
    }
}

/// Whether a `Content-Type` is of a kind, whatever its parameters.
fn is_kind(content_type: &str, kind: &str) -> bool {
    content_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(kind)
}

fn refused(why: &str) -> ProtocolError {
    ProtocolError::saying(ErrorCode::InvalidInput, why)
}

/// The body of the answer to a change set, and its content type. When a change failed, its answer is the only one.
/// `id` is new: it makes the boundaries.
#[must_use]
pub fn changes_body(answers: &[Response<Vec<u8>>], id: &str) -> (Vec<u8>, String) {
    let mut inner = Writer::new(format!("changesetresponse_{id}"));
    for answer in answers {
        inner.part(HTTP_PART, &multipart::response(answer));
    }
    let mut outer = Writer::new(format!("batchresponse_{id}"));
    let kind = inner.content_type();
    outer.part(&[("Content-Type", &kind)], &inner.finish());
    let kind = outer.content_type();
    (outer.finish(), kind)
}

/// The body of the answer to a query in a batch, and its content type.
#[must_use]
pub fn query_body(answer: &Response<Vec<u8>>, id: &str) -> (Vec<u8>, String) {
    let mut outer = Writer::new(format!("batchresponse_{id}"));
    outer.part(HTTP_PART, &multipart::response(answer));
    let kind = outer.content_type();
    (outer.finish(), kind)
}

/// Headers of a part that holds an answer.
const HTTP_PART: &[(&str, &str)] =
    &[("Content-Type", "application/http"), ("Content-Transfer-Encoding", "binary")];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "multipart/mixed; boundary=b";

    fn change_set(requests: &[String]) -> String {
        let parts: String = requests
            .iter()
            .map(|request| format!("--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{request}\r\n"))
            .collect();
        format!("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{parts}--c--\r\n--b--\r\n")
    }

    fn insert(n: usize) -> String {
        format!(
            "POST http://h/a/t HTTP/1.1\r\nContent-ID: {n}\r\nAccept: application/json\r\n\r\n{{\"n\":{n}}}"
        )
    }

    #[test]
    fn change_sets() {
        for (count, valid) in [(0, false), (1, true), (99, true), (100, true), (101, false)] {
            let body = change_set(&(0..count).map(insert).collect::<Vec<_>>());
            let parsed = Batch::parse(KIND, body.as_bytes());
            match parsed {
                Ok(Batch::Changes(changes)) => {
                    assert!(valid, "{count}");
                    assert_eq!(changes.len(), count);
                    assert_eq!(changes[count - 1].content_id, Some((count - 1).to_string()));
                    assert_eq!(changes[0].request.body, b"{\"n\":0}");
                }
                other => assert!(!valid && other.is_err(), "{count}"),
            }
        }
    }

    #[test]
    fn queries_and_what_is_neither() {
        let part = |kind: &str, request: &str| format!("--b\r\nContent-Type: {kind}\r\n\r\n{request}\r\n");
        let get = "GET /a/t() HTTP/1.1\r\nContent-ID: 7\r\n\r\n";
        let query = part("application/http; x=y", get) + "--b--";
        assert!(
            matches!(Batch::parse(KIND, query.as_bytes()), Ok(Batch::Query(q)) if q.content_id.as_deref() == Some("7"))
        );
        let changes = change_set(&[insert(1)]);
        let twice = changes.replace("--b--\r\n", "") + &changes;
        for bad in [
            String::new(),
            "--b--".to_owned(),
            part("application/http", get) + &query,
            part("application/http", &insert(1)) + "--b--",
            part("text/plain", get) + "--b--",
            part("multipart/mixed", "") + "--b--",
            part("multipart/mixed; boundary=c", "") + "--b--",
            change_set(&[get.to_owned()]),
            change_set(&["nonsense".to_owned()]),
            changes.replace("application/http", "text/plain"),
            changes.replace("--c--", ""),
            changes.replace("HTTP/1.1", "HTTP/7"),
            twice,
        ] {
            let error = Batch::parse(KIND, bad.as_bytes()).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
        }
        assert!(Batch::parse("application/json", query.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn damaged_bodies_are_refused_or_read(at in 0_usize..400, cut in 0_usize..40, filler in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut body = change_set(&[insert(1), insert(2)]).into_bytes();
            let from = at.min(body.len());
            let to = (from + cut).min(body.len());
            body.splice(from..to, filler);
            if let Err(error) = Batch::parse(KIND, &body) {
                prop_assert!(error.status().is_client_error());
            }
        }
    }

    #[test]
    fn answers_are_parsed() {
        let answer = Response::builder().status(204).header("content-id", "3").body(Vec::new()).unwrap();
        let (body, kind) = changes_body(&[answer.clone(), answer.clone()], "x");
        let outer = multipart::parse(&body, multipart::boundary(&kind).unwrap()).unwrap();
        let inner = outer[0].header("content-type").unwrap();
        let parts = multipart::parse(outer[0].body, multipart::boundary(inner).unwrap()).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[1].body.starts_with(b"HTTP/1.1 204 No Content\r\ncontent-id: 3\r\n\r\n"));
        let (body, kind) = query_body(&answer, "x");
        assert_eq!(multipart::parse(&body, multipart::boundary(&kind).unwrap()).unwrap().len(), 1);
    }
}
