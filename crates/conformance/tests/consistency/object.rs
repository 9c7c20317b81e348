//! Blobs and entities as objects of a history: how an operation is asked over HTTP, and what its answer says.

use welkin_storage_wire::Service;

use crate::history::{Op, Ret};
use crate::wire::{Answer, Client};

/// What kind of object the clients work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BlockBlob,
    AppendBlob,
    Entity,
}

/// The collection that holds all objects of a run: a container or a table.
pub const COLLECTION: &str = "objects";

/// Makes the collection.
pub fn create(client: &Client, kind: Kind) {
    let answer = match kind {
        Kind::Entity => client.send(
            Service::Table,
            "POST",
            "/Tables",
            &[("content-type", "application/json"), ("accept", "application/json;odata=nometadata")],
            format!("{{\"TableName\":\"{COLLECTION}\"}}").as_bytes(),
        ),
        _ => client.send(Service::Blob, "PUT", &format!("/{COLLECTION}?restype=container"), &[], b""),
    };
    assert_eq!(answer.unwrap().status, 201);
}

/// The names in the collection, as listing tells them.
pub fn list(client: &Client, kind: Kind) -> Vec<String> {
    let (text, before, after) = match kind {
        Kind::Entity => {
            let path = format!("/{COLLECTION}()?$select=RowKey");
            let accept = [("accept", "application/json;odata=nometadata")];
            let answer = client.send(Service::Table, "GET", &path, &accept, b"").unwrap();
            (answer.text().to_owned(), "\"RowKey\":\"", "\"")
        }
        _ => {
            let path = format!("/{COLLECTION}?restype=container&comp=list");
            let answer = client.send(Service::Blob, "GET", &path, &[], b"").unwrap();
            (answer.text().to_owned(), "<Name>", "</Name>")
        }
    };
    text.split(before).skip(1).map(|rest| rest.split(after).next().unwrap().to_owned()).collect()
}

/// What a client learned of an object: its values and their ETag.
#[derive(Debug, Clone)]
pub struct Seen {
    pub values: Vec<u64>,
    pub etag: String,
}

/// Asks one operation; `None` when no answer came. Learns the ETag where the answer has one.
pub fn ask(
    client: &Client,
    kind: Kind,
    name: &str,
    op: &Op,
    etag: Option<&str>,
) -> Option<(Ret, Option<Seen>)> {
    let answer = match kind {
        Kind::Entity => ask_entity(client, name, op, etag),
        Kind::BlockBlob | Kind::AppendBlob => ask_blob(client, kind, name, op, etag),
    }?;
    Some(understand(kind, op, &answer))
}

fn ask_blob(client: &Client, kind: Kind, name: &str, op: &Op, etag: Option<&str>) -> Option<Answer> {
    let path = format!("/{COLLECTION}/{name}");
    let block = ("x-ms-blob-type", "BlockBlob");
    let matching = ("if-match", etag.unwrap_or("*"));
    let send = |method, path: &str, headers: &[(&str, &str)], body: &str| {
        client.send(Service::Blob, method, path, headers, body.as_bytes())
    };
    let appending = format!("{path}?comp=appendblock");
    match op {
        Op::Read => send("GET", &path, &[], ""),
        // An append blob begins empty; its first value follows, and both are one only for who reads after both.
        Op::Write(value) => send("PUT", &path, &[block], &text(*value)),
        Op::Create(_) if kind == Kind::AppendBlob => {
            send("PUT", &path, &[("x-ms-blob-type", "AppendBlob"), ("if-none-match", "*")], "")
        }
        Op::Create(value) => send("PUT", &path, &[block, ("if-none-match", "*")], &text(*value)),
        Op::Swap(_, value) => send("PUT", &path, &[block, matching], &text(*value)),
        Op::Append(value) => send("PUT", &appending, &[], &text(*value)),
        Op::AppendAt(at, value) => {
            let position = (at * WIDTH).to_string();
            send("PUT", &appending, &[("x-ms-blob-condition-appendpos", &position)], &text(*value))
        }
        Op::Delete => send("DELETE", &path, &[], ""),
        Op::DeleteIf(_) => send("DELETE", &path, &[matching], ""),
    }
}

fn ask_entity(client: &Client, name: &str, op: &Op, etag: Option<&str>) -> Option<Answer> {
    let path = format!("/{COLLECTION}(PartitionKey='p',RowKey='{name}')");
    let whole = |value: &u64| format!("{{\"PartitionKey\":\"p\",\"RowKey\":\"{name}\",\"v\":\"{value}\"}}");
    let send = |method, path: &str, condition: Option<&str>, body: String| {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json;odata=nometadata"),
            ("prefer", "return-no-content"),
        ];
        headers.extend(condition.map(|tag| ("if-match", tag)));
        client.send(Service::Table, method, path, &headers, body.as_bytes())
    };
    let matching = Some(etag.unwrap_or("*"));
    match op {
        Op::Read => send("GET", &path, None, String::new()),
        // Half of the values replace, half merge: of one property, both write the same.
        Op::Write(value) if value % 2 == 0 => send("PUT", &path, None, whole(value)),
        Op::Write(value) => send("MERGE", &path, None, whole(value)),
        Op::Create(value) => send("POST", &format!("/{COLLECTION}"), None, whole(value)),
        Op::Swap(_, value) if value % 2 == 0 => send("PUT", &path, matching, whole(value)),
        Op::Swap(_, value) => send("MERGE", &path, matching, whole(value)),
        Op::Delete => send("DELETE", &path, Some("*"), String::new()),
        Op::DeleteIf(_) => send("DELETE", &path, matching, String::new()),
        Op::Append(_) | Op::AppendAt(..) => unreachable!("entities have no append"),
    }
}

/// Digits of a value in a blob.
const WIDTH: usize = 8;

fn text(value: u64) -> String {
    format!("{value:0WIDTH$}")
}

fn understand(kind: Kind, op: &Op, answer: &Answer) -> (Ret, Option<Seen>) {
    let etag = answer.header("etag").to_owned();
    let seen = |values: Vec<u64>| Some(Seen { values, etag: etag.clone() });
    match (op, answer.status) {
        (Op::Read, 200) => {
            let values = match kind {
                Kind::Entity => {
                    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                    vec![json["v"].as_str().unwrap().parse().unwrap()]
                }
                _ => answer.text().as_bytes().chunks(WIDTH).map(number).collect(),
            };
            (Ret::Values(Some(values.clone())), seen(values))
        }
        (Op::Read, 404) => (Ret::Values(None), None),
        (Op::Append(_) | Op::AppendAt(..), 201) => {
            let offset: usize = answer.header("x-ms-blob-append-offset").parse().unwrap();
            (Ret::Appended(offset / WIDTH), None)
        }
        (Op::Write(value) | Op::Create(value) | Op::Swap(_, value), 201 | 204) => (Ret::Done, seen(vec![*value])),
        (Op::Delete | Op::DeleteIf(_), 202 | 204) => (Ret::Done, None),
        (Op::Read | Op::Write(_), _) => panic!("{op:?}: {answer:?}"),
        (_, 404 | 409 | 412) => (Ret::Refused, None),
        _ => panic!("{op:?}: {answer:?}"),
    }
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
