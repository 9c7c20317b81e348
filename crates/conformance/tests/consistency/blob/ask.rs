//! Operations on blobs as requests, and what their answers say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_storage_wire::operation::Service;

use super::{CONTAINER, Form, Op, Seen, Told, When};
use crate::wire::{Answer, Client};

/// Digits of a value. In a blob they are repeated until the value is as wide as its form says.
const DIGITS: usize = 8;

/// Asks; `None` when no answer came. Says what was told, and what of the blob is known by it.
pub fn ask(
    client: &Client,
    form: Form,
    name: &str,
    op: &Op,
    etag: Option<&str>,
) -> Option<(Told, Option<Seen>)> {
    let (method, query, headers, body) = request(form, op);
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    match op {
        Op::Put(_, When::Absent) | Op::Commit(_, When::Absent) => headers.push(("if-none-match", "*")),
        Op::Put(_, When::Is(_)) | Op::Commit(_, When::Is(_)) | Op::Delete(When::Is(_)) => {
            headers.push(("if-match", etag.unwrap()));
        }
        _ => {}
    }
    let answer =
        client.send(Service::Blob, method, &format!("/{CONTAINER}/{name}{query}"), &headers, &body)?;
    Some(understand(form, op, &answer))
}

type Parts = (&'static str, String, Vec<(&'static str, String)>, String);

fn request(form: Form, op: &Op) -> Parts {
    let of_kind = || vec![("x-ms-blob-type", format!("{:?}Blob", form.kind))];
    match op {
        Op::Get => ("GET", String::new(), Vec::new(), String::new()),
        Op::Put(values, _) => {
            ("PUT", String::new(), of_kind(), values.iter().map(|value| text(form, *value)).collect())
        }
        Op::Stage(value) => {
            let id = STANDARD.encode(digits(*value)).replace('=', "%3D");
            ("PUT", format!("?comp=block&blockid={id}"), Vec::new(), text(form, *value))
        }
        Op::Commit(list, _) => {
            let id = |value: &u64| format!("<Latest>{}</Latest>", STANDARD.encode(digits(*value)));
            let ids: String = list.iter().map(id).collect();
            ("PUT", "?comp=blocklist".to_owned(), Vec::new(), format!("<BlockList>{ids}</BlockList>"))
        }
        Op::Append(value, at) => {
            let at = at.map(|at| ("x-ms-blob-condition-appendpos", (at * form.value_bytes).to_string()));
            ("PUT", "?comp=appendblock".to_owned(), at.into_iter().collect(), text(form, *value))
        }
        Op::Delete(_) => ("DELETE", String::new(), Vec::new(), String::new()),
    }
}

fn understand(form: Form, op: &Op, answer: &Answer) -> (Told, Option<Seen>) {
    let seen = |content: &[u64]| {
        let etag = answer.header("etag").to_owned();
        assert!(!etag.is_empty(), "{op:?}: {answer:?}");
        Some(Seen { content: content.to_vec(), etag })
    };
    match (op, answer.status, answer.code()) {
        (Op::Get, 200, _) => {
            let content = values(form, &answer.body);
            (Told::Content(Some(content.clone())), seen(&content))
        }
        (Op::Get, 404, "BlobNotFound") => (Told::Content(None), None),
        (Op::Put(content, _) | Op::Commit(content, _), 201, _) => (Told::Done, seen(content)),
        (Op::Stage(_), 201, _) | (Op::Delete(_), 202, _) => (Told::Done, None),
        (Op::Append(..), 201, _) => {
            let offset_bytes: usize = answer.header("x-ms-blob-append-offset").parse().unwrap();
            (Told::Appended(offset_bytes / form.value_bytes), None)
        }
        (Op::Put(_, When::Absent) | Op::Commit(_, When::Absent), 409, "BlobAlreadyExists")
        | (
            Op::Put(_, When::Is(_)) | Op::Commit(_, When::Is(_)) | Op::Delete(When::Is(_)),
            412,
            "ConditionNotMet",
        )
        | (Op::Commit(..), 400, "InvalidBlockList")
        | (Op::Append(..) | Op::Delete(_), 404, "BlobNotFound")
        | (Op::Append(_, Some(_)), 412, "AppendPositionConditionNotMet") => (Told::Refused, None),
        _ => panic!("{op:?}: {answer:?}"),
    }
}

fn digits(value: u64) -> String {
    format!("{value:0DIGITS$}")
}

fn text(form: Form, value: u64) -> String {
    digits(value).repeat(form.value_bytes / DIGITS)
}

fn values(form: Form, content: &str) -> Vec<u64> {
    let values = content.as_bytes().chunks(form.value_bytes).map(|bytes| {
        let value = std::str::from_utf8(&bytes[..DIGITS]).unwrap().parse().unwrap();
        assert!(bytes == text(form, value).as_bytes(), "{value} is not whole");
        value
    });
    values.collect()
}
