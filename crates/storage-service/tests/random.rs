//! Good requests of every operation, changed at random: each is answered, never with an error of the server. The same
//! seed gives the same requests; `SEED` sets another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rig::{Rig, Sample, account_sas, dev_key, sample};
use tokio::task::JoinSet;
use welkin_storage_wire::operation::{BlobOperation, Operation};

/// Requests of a run.
const REQUESTS: usize = 6000;
/// Clients that send them at the same time.
const CLIENTS: u64 = 4;
/// Values that mean something somewhere.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "512",
    "4096",
    "9223372036854775807",
    "18446744073709551616",
    "1e9",
    "true",
    "false",
    "*",
    "list",
    "acl",
    "metadata",
    "properties",
    "block",
    "YWE=",
    "lease",
    "bytes=0-511",
    "bytes=-1",
    "bytes=5-2",
    "acquire",
    "2026-01-01T00:00:00.0000000Z",
    "2026-06-06",
    "2009-09-19",
    "Tue, 24 Nov 2026 11:00:00 GMT",
    "\"0x8D\"",
    "Hot",
    "BlockBlob",
    "AppendBlob",
    "PageBlob",
    "$root",
    "$batch",
    "Tables",
    "..",
    "'",
    "a eq 1",
    "container",
    "11111111-2222-3333-4444-555555555555",
    "multipart/mixed; boundary=b",
    "application/json",
    "text/plain",
    "http://127.0.0.1:1/devstoreaccount1/container/blob",
    "\u{e9}",
    "\u{1F4A9}",
    " ",
    "",
];
/// Names of parameters and of headers that mean something somewhere.
const NAMES: &[&str] = &[
    "comp",
    "restype",
    "snapshot",
    "versionid",
    "prevsnapshot",
    "maxresults",
    "marker",
    "prefix",
    "delimiter",
    "include",
    "blockid",
    "where",
    "timeout",
    "$filter",
    "$top",
    "$select",
    "NextPartitionKey",
    "popreceipt",
    "visibilitytimeout",
    "messagettl",
    "numofmessages",
    "peekonly",
    "x-ms-range",
    "x-ms-blob-type",
    "x-ms-blob-content-length",
    "x-ms-lease-id",
    "x-ms-lease-action",
    "x-ms-lease-duration",
    "x-ms-page-write",
    "x-ms-tags",
    "x-ms-if-tags",
    "x-ms-copy-source",
    "x-ms-source-range",
    "x-ms-access-tier",
    "x-ms-meta-a",
    "x-ms-version",
    "if-match",
    "if-none-match",
    "accept",
    "content-type",
    "content-md5",
    "x-ms-content-crc64",
    "prefer",
    "x-http-method",
    "x-ms-encryption-scope",
    "x-ms-blob-sequence-number",
    "x-ms-sequence-number-action",
    "x-ms-delete-snapshots",
    "x-ms-requires-sync",
];

/// A value, encoded for a URL.
fn encoded(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn changed_bytes(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..5) {
        0 => bytes.insert(at, random.random()),
        1 => bytes.truncate(at),
        2 => {
            let again = bytes[..at].to_vec();
            bytes.splice(at..at, again);
        }
        3 => {
            let value = VALUES.choose(random).unwrap();
            bytes.splice(at..at, value.bytes());
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
    }
}

/// Changes of a target leave it one word, so that what follows is still a head.
fn changed_target(target: &str, random: &mut StdRng) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (name, value) = (NAMES.choose(random).unwrap(), encoded(VALUES.choose(random).unwrap()));
    match random.random_range(0..6) {
        0 => format!("{path}/{value}?{query}"),
        1 => format!("{path}?{query}&{name}={value}"),
        2 => format!("{path}?{name}={value}&{query}"),
        3 => format!("{}?{query}", path.rsplit_once('/').map_or("/", |(parent, _)| parent)),
        4 => match query.rsplit_once('=') {
            Some((before, _)) => format!("{path}?{before}={value}"),
            None => path.to_owned(),
        },
        _ => {
            let mut bytes = target.as_bytes().to_vec();
            let at = random.random_range(0..bytes.len());
            bytes[at] = *b"/%?&=.$'()-_~a0".choose(random).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            if text.starts_with('/') { text } else { format!("/{text}") }
        }
    }
}

fn changed(sample: &mut Sample, random: &mut StdRng) {
    match random.random_range(0..10) {
        0 => {
            let methods = ["GET", "HEAD", "PUT", "POST", "DELETE", "MERGE", "PATCH"];
            (*methods.choose(random).unwrap()).clone_into(&mut sample.method);
        }
        1..4 => sample.target = changed_target(&sample.target, random),
        4..6 => {
            let (name, value) = (NAMES.choose(random).unwrap(), VALUES.choose(random).unwrap());
            *sample = sample.with(name.trim_start_matches('$'), value.as_bytes());
        }
        6 => {
            let count = sample.headers.len();
            if count > 0 {
                sample.headers.remove(random.random_range(0..count));
            }
        }
        7 => {
            if let Some((_, value)) = sample.headers.last_mut() {
                changed_bytes(value, random);
                value.retain(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
            }
        }
        _ => changed_bytes(&mut sample.body, random),
    }
}

async fn set_up(rig: &Rig) {
    rig.furnish().await;
    for operation in [BlobOperation::PutBlob, BlobOperation::PutAppendBlob, BlobOperation::PutPageBlob] {
        rig.send(&sample(Operation::Blob(operation)).signed(&dev_key())).await;
    }
}

/// Sends its part of the requests, and says how many were done as asked.
async fn client(rig: &Rig, mut random: StdRng) -> usize {
    let mut done = 0;
    let operations: Vec<_> = Operation::all().collect();
    for number in 0..REQUESTS / usize::try_from(CLIENTS).unwrap() {
        let mut request = sample(*operations.choose(&mut random).unwrap());
        for _ in 0..random.random_range(1..4) {
            changed(&mut request, &mut random);
        }
        request = match random.random_range(0..4) {
            0 => request.with_query(&account_sas(&dev_key(), "racwdxyltfmeopiu", "bqt", "sco")),
            _ => request.signed(&dev_key()),
        };
        let reply = rig.send(&request).await;
        let told =
            || format!("request {number}: {request:?}\n{} {}\n{}", reply.status, reply.head, reply.body);
        let fits = (200..500).contains(&reply.status)
            || (reply.status == 501 && reply.code == "NotImplemented")
            || (reply.status == 503 && reply.code == "ServerBusy");
        assert!(fits, "{}", told());
        done += usize::from(reply.status < 300);
        let by_http = reply.head.to_ascii_lowercase().contains("server: welkin");
        assert!(reply.status < 400 || !by_http || !reply.code.is_empty(), "{}", told());
        if number % 200 == 0 {
            // Some requests delete what the others ask for.
            set_up(rig).await;
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_changed_at_random() {
    let seed: u64 = std::env::var("SEED").ok().map_or(20_261_124, |text| text.parse().unwrap());
    let rig = Arc::new(Rig::start(|_| {}).await);
    set_up(&rig).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let rig = rig.clone();
        clients.spawn(async move { client(&rig, StdRng::seed_from_u64(seed + number)).await });
    }
    let mut done = 0;
    while let Some(result) = clients.join_next().await {
        done += result.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
    }
    // Of the others, some are refused at the door, and most further within.
    assert!(done > REQUESTS / 10, "SEED={seed}: only {done} of {REQUESTS} were done");
    let list = sample(Operation::Blob(BlobOperation::ListContainers));
    assert_eq!(rig.send(&list.signed(&dev_key())).await.status, 200);
    Arc::into_inner(rig).unwrap().end().await;
}
