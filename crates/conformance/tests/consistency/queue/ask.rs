//! Operations on messages as requests, and what their answers say.

use std::time::Duration;

use roxmltree::{Document, Node};
use welkin_storage_wire::operation::Service;

use super::Held;
use crate::message::{Op, Told};
use crate::wire::{Client, encoded};

/// Messages of one get, at most.
pub const GET_MAX: u32 = 32;

/// Characters after the name and the revision of a message whose name is even: it does not fit into one row.
const LONG: usize = 2000;

fn text(name: u64, revision: u64) -> String {
    let rest = "x".repeat(if name.is_multiple_of(2) { LONG } else { 0 });
    format!("{name} {revision} {rest}")
}

fn body(name: u64, revision: u64) -> String {
    format!("<QueueMessage><MessageText>{}</MessageText></QueueMessage>", text(name, revision))
}

fn child<'a>(message: &Node<'a, 'a>, name: &str) -> &'a str {
    message.children().find(|child| child.tag_name().name() == name).and_then(|child| child.text()).unwrap()
}

/// What is read of each message of an answer.
fn each<T>(body: &str, read: impl Fn(&Node<'_, '_>) -> T) -> Vec<T> {
    let document = Document::parse(body.trim_start_matches('\u{feff}')).unwrap();
    let messages = document.descendants().filter(|node| node.tag_name().name() == "QueueMessage");
    messages.map(|message| read(&message)).collect()
}

/// The name and the revision of a message, and how often it was got.
fn identity(message: &Node<'_, '_>) -> (u64, u64, u32) {
    let whole = child(message, "MessageText");
    let mut parts = whole.split(' ').map(|part| part.parse().unwrap_or_default());
    let (name, revision) = (parts.next().unwrap(), parts.next().unwrap());
    assert_eq!(whole, text(name, revision));
    (name, revision, child(message, "DequeueCount").parse().unwrap())
}

pub fn put(client: &Client, queue: &str, name: u64, hidden: Duration) -> Option<Held> {
    let target = format!("/{queue}/messages?visibilitytimeout={}", hidden.as_secs());
    let answer = client.send(Service::Queue, "POST", &target, &[], &body(name, 0))?;
    assert_eq!(answer.status, 201, "{answer:?}");
    let held = |message: &Node<'_, '_>| Held {
        name,
        id: child(message, "MessageId").to_owned(),
        receipt: child(message, "PopReceipt").to_owned(),
    };
    each(&answer.body, held).pop()
}

pub fn get(client: &Client, queue: &str, count: u32, hidden: Duration) -> Option<Vec<(Held, Told)>> {
    let target = format!("/{queue}/messages?numofmessages={count}&visibilitytimeout={}", hidden.as_secs());
    let answer = client.send(Service::Queue, "GET", &target, &[], "")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(each(&answer.body, |message| {
        let (name, revision, count) = identity(message);
        let receipt = child(message, "PopReceipt").to_owned();
        let id = child(message, "MessageId").to_owned();
        (Held { name, id, receipt: receipt.clone() }, Told::Got { receipt, revision, count })
    }))
}

pub fn peek(client: &Client, queue: &str) -> Option<Vec<(u64, Told)>> {
    let target = format!("/{queue}/messages?peekonly=true&numofmessages={GET_MAX}");
    let answer = client.send(Service::Queue, "GET", &target, &[], "")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Some(each(&answer.body, |message| {
        let (name, revision, count) = identity(message);
        (name, Told::Peeked { revision, count })
    }))
}

/// Asks an update or a deletion.
pub fn change(client: &Client, queue: &str, held: &Held, op: &Op) -> Option<Told> {
    let target = format!("/{queue}/messages/{}?popreceipt={}", held.id, encoded(&held.receipt));
    let answer = match op {
        Op::Update { hidden, revision, .. } => {
            let target = format!("{target}&visibilitytimeout={}", hidden.as_secs());
            client.send(Service::Queue, "PUT", &target, &[], &body(held.name, *revision))?
        }
        _ => client.send(Service::Queue, "DELETE", &target, &[], "")?,
    };
    Some(match (op, answer.status, answer.code()) {
        (Op::Update { .. }, 204, _) => Told::Receipt(answer.header("x-ms-popreceipt").to_owned()),
        (Op::Delete { .. }, 204, _) => Told::Deleted,
        (_, 400, "PopReceiptMismatch") => Told::Stale,
        (_, 404, "MessageNotFound") => Told::Gone,
        _ => panic!("{op:?}: {answer:?}"),
    })
}

/// How many messages the queue says that it has, visible or not.
pub fn count(client: &Client, queue: &str) -> usize {
    let answer = client.send(Service::Queue, "GET", &format!("/{queue}?comp=metadata"), &[], "").unwrap();
    answer.header("x-ms-approximate-messages-count").parse().unwrap()
}
