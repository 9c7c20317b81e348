//! A rude client: each operation with everything about the request broken in turn. There is always an answer, it is
//! never the server's fault, and it has a code of the protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::sync::Arc;

use rig::{Reply, Rig, Sample, account_sas, dev_key, sample};
use tokio::task::JoinSet;
use welkin_storage_wire::operation::{Operation, Service};

/// Operations that are broken at the same time.
const AT_ONCE: usize = 8;
/// Parameters that operations read, each with values that none of them takes.
const PARAMETERS: &[&str] = &[
    "maxresults",
    "marker",
    "prefix",
    "delimiter",
    "include",
    "timeout",
    "snapshot",
    "versionid",
    "prevsnapshot",
    "blockid",
    "blocklisttype",
    "copyid",
    "where",
    "numofmessages",
    "visibilitytimeout",
    "messagettl",
    "popreceipt",
    "peekonly",
    "$filter",
    "$top",
    "$select",
    "NextPartitionKey",
    "NextRowKey",
    "NextTableName",
    "comp",
    "restype",
    "deletetype",
    "showonly",
    "startFrom",
];
const VALUES: &[&str] =
    &["", "-1", "0", "99999999999999999999", "x", "%00", "%E2%82%AC", "'", "%3Ca%3E", "%25"];
/// Headers that operations read.
const HEADERS: &[&str] = &[
    "x-ms-version",
    "x-ms-date",
    "x-ms-range",
    "range",
    "x-ms-lease-id",
    "x-ms-lease-action",
    "x-ms-lease-duration",
    "x-ms-lease-break-period",
    "x-ms-proposed-lease-id",
    "x-ms-blob-type",
    "x-ms-blob-content-length",
    "x-ms-blob-sequence-number",
    "x-ms-sequence-number-action",
    "x-ms-blob-content-md5",
    "content-md5",
    "x-ms-content-crc64",
    "x-ms-access-tier",
    "x-ms-tags",
    "x-ms-if-tags",
    "x-ms-page-write",
    "x-ms-copy-source",
    "x-ms-copy-action",
    "x-ms-source-range",
    "x-ms-delete-snapshots",
    "x-ms-blob-public-access",
    "x-ms-blob-condition-appendpos",
    "x-ms-blob-condition-maxsize",
    "x-ms-if-sequence-number-le",
    "x-ms-encryption-key",
    "x-ms-encryption-algorithm",
    "x-ms-encryption-scope",
    "x-ms-expiry-option",
    "x-ms-expiry-time",
    "x-ms-immutability-policy-until-date",
    "x-ms-immutability-policy-mode",
    "x-ms-legal-hold",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "content-type",
    "accept",
    "prefer",
    "x-http-method",
    "x-ms-client-request-id",
    "x-ms-requires-sync",
    "x-ms-range-get-content-md5",
    "x-ms-deleted-container-name",
    "x-ms-source-container-name",
    "x-ms-rehydrate-priority",
    "origin",
    "x-ms-meta-",
    "x-ms-meta-1x",
    "x-ms-meta-ok",
    "dataserviceversion",
    "authorization",
];
const HEADER_VALUES: &[&[u8]] = &[b"", b"-1", b"99999999999999999999", b"nonsense;=,", b"\xff\xfe"];
const BODIES: &[&[u8]] = &[
    b"",
    b"<",
    b"<a/>",
    b"\xff\xfe\x00",
    b"{",
    b"{}",
    b"[1]",
    b"null",
    b"--b--",
    b"--b\r\n\r\nGET / HTTP/1.1\r\n\r\n--b--",
    b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
    b"<BlockList><Latest>!</Latest></BlockList>",
    b"<Tags><TagSet><Tag><Key/></Tag></TagSet></Tags>",
    b"<QueueMessage/>",
    b"{\"PartitionKey\":1,\"RowKey\":null}",
    b"<SignedIdentifiers><SignedIdentifier/></SignedIdentifiers>",
    b"<KeyInfo><Expiry>x</Expiry></KeyInfo>",
];
/// Ends of the path: names that nothing can have.
const PATHS: &[&str] =
    &["/..%2f..", "/%ff", "/%00", "//", "/a%5Cb", "/%F0%9F%92%A9", "/a(b", "/(')", "/a/b/c/d/e"];

fn check(what: &str, sample: &Sample, reply: &Reply) {
    let told = || {
        format!(
            "{what}: {} {} -> {} {}\n{}",
            sample.method, sample.target, reply.status, reply.code, reply.body
        )
    };
    assert!((200..500).contains(&reply.status) || reply.status == 501, "{}", told());
    // Only the one place for operations that are not built says so.
    assert!(reply.status != 501 || reply.code == "NotImplemented", "{}", told());
    // A head that is no HTTP is answered by the HTTP library, which knows no codes.
    let by_http = reply.head.to_ascii_lowercase().contains("server: welkin");
    if reply.status >= 400 && by_http {
        assert!(!reply.code.is_empty(), "{}", told());
    }
}

async fn signed(rig: &Rig, what: &str, sample: &Sample) {
    let reply = rig.send(&sample.signed(&dev_key())).await;
    check(what, sample, &reply);
}

async fn by_sas(rig: &Rig, what: &str, sample: &Sample) {
    let query = account_sas(&dev_key(), "racwdxyltfmeopiu", "bqt", "sco");
    let reply = rig.send(&sample.with_query(&query)).await;
    check(what, sample, &reply);
}

async fn set_up(rig: &Rig) {
    use welkin_storage_wire::operation::{
        BlobOperation as Blob, QueueOperation as Queue, TableOperation as Table,
    };
    for (made, name) in [
        (Operation::Blob(Blob::CreateContainer), "container"),
        (Operation::Queue(Queue::CreateQueue), "queue"),
        (Operation::Table(Table::CreateTable), "table"),
    ] {
        let mut request = sample(made);
        request.target = request.target.replace("made", name);
        request.body = String::from_utf8(request.body).unwrap().replace("made", name).into_bytes();
        assert_eq!(rig.send(&request.signed(&dev_key())).await.status, 201, "{name}");
    }
    for operation in [Blob::PutBlob, Blob::PutAppendBlob, Blob::PutPageBlob] {
        assert_eq!(rig.send(&sample(Operation::Blob(operation)).signed(&dev_key())).await.status, 201);
    }
}

async fn break_everything(rig: &Rig, operation: Operation) {
    let sample = sample(operation);
    signed(rig, "as it should be", &sample).await;
    for name in PARAMETERS {
        for value in VALUES {
            by_sas(rig, "parameter", &sample.with_query(&format!("{name}={value}"))).await;
        }
    }
    for name in HEADERS {
        for value in HEADER_VALUES {
            let what = format!("{name}: {}", String::from_utf8_lossy(value));
            signed(rig, &what, &sample.with(name, *value)).await;
        }
    }
    for body in BODIES {
        signed(rig, "body", &Sample { body: body.to_vec(), ..sample.clone() }).await;
    }
    for path in PATHS {
        let (before, query) = sample.target.split_once('?').unwrap_or((&sample.target, ""));
        let target = format!("{before}{path}?{query}");
        by_sas(rig, "path", &Sample { target, ..sample.clone() }).await;
    }
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "MERGE", "OPTIONS", "TRACE", "NONSENSE"] {
        by_sas(rig, "method", &Sample { method: method.to_owned(), ..sample.clone() }).await;
    }
    signed(rig, "twice", &{
        let mut twice = sample.clone();
        twice.headers.extend(sample.headers.clone());
        twice
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_with_broken_parts() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let rig = Arc::new(rig);
    let mut tasks = JoinSet::new();
    for operation in Operation::all() {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let rig = rig.clone();
        tasks.spawn(async move { break_everything(&rig, operation).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let rig = Arc::into_inner(rig).unwrap();
    // After all that, it still serves.
    let list = sample(Operation::Blob(welkin_storage_wire::BlobOperation::ListContainers));
    assert_eq!(rig.send(&list.signed(&dev_key())).await.status, 200);
    rig.end().await;
}

#[tokio::test]
async fn heads_that_are_no_http() {
    let rig = Rig::start(|_| {}).await;
    let long = |n| "x".repeat(n);
    for (what, head, statuses) in [
        ("nonsense", "nonsense\r\n\r\n".to_owned(), &[400_u16][..]),
        ("binary", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), &[400]),
        ("no version", "GET /\r\n\r\n".to_owned(), &[400]),
        ("other version", "GET / HTTP/3.7\r\n\r\n".to_owned(), &[400, 505]),
        ("space in the target", "GET /a b HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("no colon", "GET / HTTP/1.1\r\nnonsense\r\n\r\n".to_owned(), &[400]),
        ("length: letters", "PUT /a/b/c HTTP/1.1\r\ncontent-length: ten\r\n\r\n".to_owned(), &[400]),
        ("length: negative", "PUT /a/b/c HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), &[400]),
        ("length: two", "PUT /a/b/c HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".to_owned(), &[400]),
        ("length: huge", "PUT /a/b/c HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_owned(), &[400]),
        ("unknown coding", "PUT /a/b/c HTTP/1.1\r\ntransfer-encoding: x\r\n\r\n".to_owned(), &[400, 501]),
        ("long target", format!("GET /{} HTTP/1.1\r\n\r\n", long(100_000)), &[400, 414, 431]),
        ("long header", format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", long(2_000_000)), &[431]),
        ("many headers", format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500)), &[431]),
        ("bad chunk", "PUT /devstoreaccount1/c/b HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\n".to_owned(), &[400, 401]),
        ("no account", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), &[400]),
        ("no such account", "GET /nobody/?comp=list HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), &[400, 403]),
    ] {
        for service in [Service::Blob, Service::Queue, Service::Table] {
            let bytes = rig.raw(service, head.as_bytes()).await;
            let reply = Reply::parse(&bytes);
            assert!(statuses.contains(&reply.status), "{what}, {service:?}: {} {}", reply.status, reply.head);
        }
    }
    rig.end().await;
}

#[tokio::test]
async fn a_body_is_asked_for_only_from_those_who_may_send_it() {
    let rig = Rig::start(|_| {}).await;
    let container = sample(Operation::Blob(welkin_storage_wire::BlobOperation::CreateContainer));
    rig.send(
        &Sample { target: container.target.replace("made", "container"), ..container }.signed(&dev_key()),
    )
    .await;
    let put =
        sample(Operation::Blob(welkin_storage_wire::BlobOperation::PutBlob)).with("expect", "100-continue");
    let refused = rig.send(&put).await;
    assert_eq!(refused.status, 401);
    for (request, continued, status) in [(put.clone(), false, 401), (put.signed(&dev_key()), true, 201)] {
        let answer = rig.send_whole(&request).await;
        assert_eq!(answer.starts_with("HTTP/1.1 100 Continue"), continued, "{answer}");
        assert_eq!(Reply::parse(answer.as_bytes()).status, status);
    }
    let sas = account_sas(&dev_key(), "rw", "b", "o");
    let lengthless = format!(
        "PUT /devstoreaccount1/container/b?{sas} HTTP/1.1\r\nx-ms-blob-type: BlockBlob\r\nconnection: close\r\n\r\n"
    );
    let reply = Reply::parse(&rig.raw(Service::Blob, lengthless.as_bytes()).await);
    assert_eq!((reply.status, reply.code.as_str()), (411, "MissingContentLengthHeader"));
    rig.end().await;
}
