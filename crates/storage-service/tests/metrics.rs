//! What the service counts, as Prometheus reads it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;

use rig::{Rig, Sample, dev_key, free_address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use welkin_storage_wire::operation::Service;

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The samples of an answer, by name and labels.
fn samples(answer: &str) -> BTreeMap<String, f64> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, n)| (name.to_owned(), n.parse().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_the_engine_are_counted() {
    let address = free_address();
    let rig = Rig::start(|config| config.metrics_listen = Some(address)).await;
    let create = Sample::new(Service::Blob, "PUT", "/con?restype=container", &[], "").signed(&dev_key());
    let put = Sample::new(Service::Blob, "PUT", "/con/b", &[("x-ms-blob-type", "BlockBlob")], "content");
    let get_blob = Sample::new(Service::Blob, "GET", "/con/b", &[], "").signed(&dev_key());
    for (sample, expected) in [
        (&create, 201),
        (&create, 409),
        (&put.signed(&dev_key()), 201),
        (&get_blob, 200),
        (&get_blob, 200),
        (&Sample::new(Service::Queue, "GET", "/q?comp=unknown", &[], ""), 400),
    ] {
        assert_eq!(rig.send(sample).await.status, expected, "{sample:?}");
    }
    let found = samples(&get(address, "/metrics").await);
    let answered = |service: &str, operation: &str, status: u16, code: &str| {
        let labels =
            format!("service=\"{service}\",operation=\"{operation}\",status=\"{status}\",code=\"{code}\"");
        found.get(&format!("welkin_storage_requests_total{{{labels}}}")).copied().unwrap_or(0.0)
    };
    assert_eq!(answered("blob", "Create Container", 201, ""), 1.0);
    assert_eq!(answered("blob", "Create Container", 409, "ContainerAlreadyExists"), 1.0);
    assert_eq!(answered("blob", "Get Blob", 200, ""), 2.0);
    assert_eq!(answered("queue", "", 400, "InvalidQueryParameterValue"), 1.0);
    for (name, labels, expected) in [
        ("received_bytes_total", "service=\"blob\",operation=\"Put Blob\"", 7.0),
        ("sent_bytes_total", "service=\"blob\",operation=\"Get Blob\"", 14.0),
        ("request_duration_seconds_count", "service=\"blob\",operation=\"Get Blob\"", 2.0),
        ("requests_in_hand", "service=\"blob\"", 0.0),
    ] {
        assert_eq!(
            found.get(&format!("welkin_storage_{name}{{{labels}}}")),
            Some(&expected),
            "{name} {labels}"
        );
    }
    // The account, the container and the blob, and the account's settings or keys before.
    assert!(found["welkin_storage_store_commits_total"] >= 3.0);
    assert!(found["welkin_storage_store_log_flushes_total"] >= 3.0);
    assert_eq!(found["welkin_storage_store_full"], 0.0);
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));
    rig.end().await;
}
