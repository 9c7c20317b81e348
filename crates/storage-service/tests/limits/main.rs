//! Every limit of the protocol, as real HTTP asks for it: one below, at, and one above. The rows are data; a test
//! holds them complete: each constant of the code that limits something stands in a row, or in the list of those that
//! are tested elsewhere or are no limit of the protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod blob;
mod block;
mod body;
mod closed;
mod list;
mod names;
mod page;
mod queue;
mod table;

#[path = "../rig/mod.rs"]
mod rig;

use rig::{LIMIT, Reply, Rig, Sample, account_sas, dev_key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use welkin_storage_wire::operation::Service;

/// A limit: what is limited, where that is written, and what is answered around it.
struct Limit {
    what: &'static str,
    /// The section of STORAGE, or the page of Azure's documentation.
    source: &'static str,
    /// The constants of the code that are the limit: `crate/module NAME`.
    constants: &'static [&'static str],
    /// The request that has this many of it.
    request: Box<dyn Fn(i128) -> Sample>,
    /// What is answered: the status, and the code of an error. Of a batch, also what is answered within.
    answers: &'static [(i128, &'static str)],
    /// Between one value that is possible and the next.
    step: i128,
    /// The length of the body is only announced, so that the answer must come before the body.
    announced: bool,
}

fn limit(
    what: &'static str,
    source: &'static str,
    constants: &'static [&'static str],
    request: impl Fn(i128) -> Sample + 'static,
    answers: &'static [(i128, &'static str)],
) -> Limit {
    Limit { what, source, constants, request: Box::new(request), answers, step: 1, announced: false }
}

impl Limit {
    fn step(self, step: i128) -> Self {
        Self { step, ..self }
    }

    fn announced(self) -> Self {
        Self { announced: true, ..self }
    }

    /// Whether some value is answered otherwise than the next: with one more beside them, that is the limit.
    fn has_both_sides(&self) -> bool {
        let answer = |value| self.answers.iter().find(|(at, _)| *at == value).map(|(_, answer)| *answer);
        self.answers.iter().any(|(at, first)| {
            let (before, after) = (answer(at - self.step), answer(at + self.step));
            before.is_some() && after.is_some() && (before != Some(*first) || after != Some(*first))
        })
    }
}

fn all() -> Vec<Limit> {
    [
        names::limits(),
        blob::limits(),
        block::limits(),
        page::limits(),
        list::limits(),
        access::limits(),
        body::limits(),
        queue::limits(),
        table::limits(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A text of this many letters.
fn letters(count: i128) -> String {
    "x".repeat(usize::try_from(count).unwrap())
}

/// The body with spaces after it, to this length.
fn padded(body: &str, bytes: i128) -> String {
    body.to_owned() + &" ".repeat(usize::try_from(bytes).unwrap().saturating_sub(body.len()))
}

fn of(service: Service, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Sample {
    Sample::new(service, method, target, headers, body)
}

/// A request to the blob service.
fn blob_request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Sample {
    of(Service::Blob, method, target, headers, body)
}

/// A small block blob.
fn put_blob(target: &str, headers: &[(&str, &str)], body: &str) -> Sample {
    blob_request("PUT", target, &[&[("x-ms-blob-type", "BlockBlob")], headers].concat(), body)
}

/// The request with credentials: a signature of its own, or one in the URL where its version is so old that another
/// text is signed.
fn credited(request: &Sample) -> Sample {
    let version = request.headers.iter().find(|(name, _)| name == "x-ms-version");
    match version.is_some_and(|(_, version)| version.as_slice() < &b"2015-02-21"[..]) {
        true => request.with_query(&account_sas(&dev_key(), "racwdxyltfmeopiu", "bqt", "sco")),
        false => request.signed(&dev_key()),
    }
}

/// Sends the request and tells its answer as rows have it.
async fn told(rig: &Rig, limit: &Limit, value: i128) -> String {
    let request = (limit.request)(value);
    if limit.announced {
        return first_answer(rig, &request.with("expect", "100-continue")).await;
    }
    let reply = rig.send(&credited(&request)).await;
    let mut told = match reply.code.is_empty() {
        true => reply.status.to_string(),
        false => format!("{} {}", reply.status, reply.code),
    };
    let inner: Vec<&str> =
        reply.body.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)).collect();
    if let Some(first) = inner.first() {
        let same = inner.iter().all(|status| status == first);
        told.push_str(&if same { format!(": {} x {first}", inner.len()) } else { format!(": {inner:?}") });
    }
    told
}

/// The first answer to a head whose body does not follow: `100` where the server wants it.
async fn first_answer(rig: &Rig, request: &Sample) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(rig.address(request.service)).await.unwrap();
        stream.write_all(&request.signed(&dev_key()).bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the connection ends unanswered");
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(LIMIT, talk).await.unwrap();
    if answer.starts_with("HTTP/1.1 100 ") {
        return "100".to_owned();
    }
    let reply = Reply::parse(answer.as_bytes());
    format!("{} {}", reply.status, reply.code)
}

/// What the rows ask about: a container, blobs of each kind, a queue and a table.
async fn set_up(rig: &Rig) {
    rig.furnish().await;
    let page = [("x-ms-blob-type", "PageBlob"), ("x-ms-blob-content-length", "8388608")];
    for request in [
        put_blob("/container/blob", &[], "content"),
        put_blob("/container/four-mib", &[], &letters((4 << 20) + 1)),
        blob_request("PUT", "/container/append", &[("x-ms-blob-type", "AppendBlob")], ""),
        blob_request("PUT", "/container/page", &page, ""),
        blob_request("PUT", "/container/listed?comp=block&blockid=YWE%3D", &[], "x"),
    ] {
        assert_eq!(rig.send(&request.signed(&dev_key())).await.status, 201, "{}", request.target);
    }
}

#[tokio::test]
async fn below_at_and_above() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let mut wrong = Vec::new();
    for limit in all() {
        for (value, expected) in limit.answers {
            let found = told(&rig, &limit, *value).await;
            if found != *expected {
                wrong.push(format!("{} ({}): at {value}: {found}, not {expected}", limit.what, limit.source));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.end().await;
}
