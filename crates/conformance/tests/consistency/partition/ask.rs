//! Operations on entities as requests, and what their answers say.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use welkin_storage_wire::operation::Service;

use super::{Change, Entity, Op, TABLE, Told, When};
use crate::wire::{Answer, Client};

type Etags = BTreeMap<u8, (Entity, String)>;

/// Asks; `None` when no answer came. Says what was told, and the ETags that are known by it.
pub fn ask(client: &Client, partition: &str, op: &Op, etags: &Etags) -> Option<(Told, Etags)> {
    let json = [("accept", "application/json;odata=fullmetadata")];
    match op {
        Op::Query => {
            let target = format!("/{TABLE}()?$filter=PartitionKey%20eq%20'{partition}'");
            let answer = client.send(Service::Table, "GET", &target, &json, "")?;
            assert_eq!(answer.status, 200, "{op:?}: {answer:?}");
            assert_eq!(answer.header("x-ms-continuation-nextpartitionkey"), "", "{op:?}: one answer has all");
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            let moving = body["value"].as_array().unwrap().iter().filter(|json| json["still"].is_null());
            let rows: Etags = moving.map(entity).collect();
            let entities = rows.iter().map(|(row, (entity, _))| (*row, entity.clone())).collect();
            Some((Told::Entities(entities), rows))
        }
        Op::Get(row) => {
            let answer = client.send(Service::Table, "GET", &target(partition, *row), &json, "")?;
            match answer.status {
                200 => {
                    let (row, known) = entity(&serde_json::from_str(&answer.body).unwrap());
                    assert_eq!(known.1, answer.header("etag"), "{answer:?}");
                    Some((Told::Entity(Some(known.0.clone())), Etags::from([(row, known)])))
                }
                404 => Some((Told::Entity(None), Etags::new())),
                _ => panic!("{op:?}: {answer:?}"),
            }
        }
        Op::Change(changes) => {
            let parts: Vec<_> =
                changes.iter().map(|(row, change)| part(partition, *row, change, etags)).collect();
            let told = match &parts[..] {
                [part] => alone(client, part, op)?,
                parts => together(client, parts, op)?,
            };
            Some((told, Etags::new()))
        }
    }
}

fn target(partition: &str, row: u8) -> String {
    format!("/{TABLE}(PartitionKey='{partition}',RowKey='{row}')")
}

fn entity(json: &Value) -> (u8, (Entity, String)) {
    let number = |name: &str| json[name].as_str().map(|text| text.parse().unwrap());
    let row = json["RowKey"].as_str().unwrap().parse().unwrap();
    (row, (Entity { a: number("a"), b: number("b") }, json["odata.etag"].as_str().unwrap().to_owned()))
}

/// The request of one change.
struct Part {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn part(partition: &str, row: u8, change: &Change, etags: &Etags) -> Part {
    let body = |name: &str, value: &u64| {
        format!("{{\"PartitionKey\":\"{partition}\",\"RowKey\":\"{row}\",\"{name}\":\"{value}\"}}")
    };
    let target = target(partition, row);
    let (method, target, when, body) = match change {
        Change::Insert(value) => ("POST", format!("/{TABLE}"), &When::Always, body("a", value)),
        Change::Replace(value, when) => ("PUT", target, when, body("a", value)),
        Change::Merge(value, when) => ("MERGE", target, when, body("b", value)),
        Change::Delete(when) => ("DELETE", target, when, String::new()),
    };
    let mut headers = vec![("accept", "application/json;odata=nometadata".to_owned())];
    headers.extend((!body.is_empty()).then(|| ("content-type", "application/json".to_owned())));
    match when {
        When::Always => {}
        When::There => headers.push(("if-match", "*".to_owned())),
        When::Is(_) => headers.push(("if-match", etags[&row].1.clone())),
    }
    Part { method, target, headers, body }
}

fn alone(client: &Client, part: &Part, op: &Op) -> Option<Told> {
    let headers: Vec<(&str, &str)> =
        part.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = client.send(Service::Table, part.method, &part.target, &headers, &part.body)?;
    Some(match answer.status {
        201 | 204 => Told::Done,
        status => {
            check_refusal(op, status, &answer);
            Told::Refused(0)
        }
    })
}

/// Inserts rows that nobody changes, between those of numbers 0 and 1.
pub fn insert_still(client: &Client, partition: &str, rows: Range<usize>) {
    let insert = |row: usize| Part {
        method: "POST",
        target: format!("/{TABLE}"),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("prefer", "return-no-content".to_owned()),
        ],
        body: format!("{{\"PartitionKey\":\"{partition}\",\"RowKey\":\"0 {row:03}\",\"still\":true}}"),
    };
    let answer = transaction(client, &rows.map(insert).collect::<Vec<_>>()).unwrap();
    assert!(answer.status == 202 && !answer.body.contains("HTTP/1.1 4"), "{answer:?}");
}

fn transaction(client: &Client, parts: &[Part]) -> Option<Answer> {
    let mut body = String::from("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n");
    for Part { method, target, headers, body: inner } in parts {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let url = format!("http://127.0.0.1/{}{target}", welkin_storage_service::DEV_ACCOUNT);
        body.push_str("--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n");
        body.push_str(&format!("{method} {url} HTTP/1.1\r\n{lines}\r\n{inner}\r\n"));
    }
    body.push_str("--c--\r\n--b--\r\n");
    let headers = [("content-type", "multipart/mixed; boundary=b")];
    client.send(Service::Table, "POST", "/$batch", &headers, &body)
}

/// An entity group transaction.
fn together(client: &Client, parts: &[Part], op: &Op) -> Option<Told> {
    let answer = transaction(client, parts)?;
    assert_eq!(answer.status, 202, "{op:?}: {answer:?}");
    let statuses: Vec<u16> =
        answer.body.split("HTTP/1.1 ").skip(1).map(|rest| rest[..3].parse().unwrap()).collect();
    if statuses.len() == parts.len() && statuses.iter().all(|status| *status < 300) {
        return Some(Told::Done);
    }
    assert_eq!(statuses.len(), 1, "one answer tells the failure: {answer:?}");
    check_refusal(op, statuses[0], &answer);
    // The message begins with the index of the change.
    let (_, message) = answer.body.split_once("\"value\":\"").unwrap();
    let (index, _) = message.split_once(':').unwrap();
    Some(Told::Refused(index.parse().unwrap()))
}

fn check_refusal(op: &Op, status: u16, answer: &Answer) {
    let codes: &[&str] = match status {
        404 => &["ResourceNotFound"],
        409 => &["EntityAlreadyExists"],
        412 => &["UpdateConditionNotSatisfied"],
        _ => &[],
    };
    assert!(codes.iter().any(|code| answer.body.contains(code)), "{op:?}: {answer:?}");
}
