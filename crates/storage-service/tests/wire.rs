//! What HTTP lets a client do: values outside ASCII, bodies in chunks, and bodies that wait to be asked for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use rig::{Reply, Rig, Sample, dev_key, sample};
use welkin_storage_wire::operation::{BlobOperation, Operation, QueueOperation, Service, TableOperation};

async fn send(rig: &Rig, request: &Sample) -> Reply {
    rig.send(&request.signed(&dev_key())).await
}

async fn set_up(rig: &Rig) {
    rig.furnish().await;
    for operation in [BlobOperation::PutBlob, BlobOperation::PutAppendBlob, BlobOperation::PutPageBlob] {
        assert_eq!(send(rig, &sample(Operation::Blob(operation))).await.status, 201);
    }
}

fn blob(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Sample {
    Sample::new(Service::Blob, method, target, headers, body)
}

/// Text that is not ASCII goes in as UTF-8 and comes out so, in headers and in lists; bytes that are no UTF-8 are
/// Latin-1.
#[tokio::test]
async fn values_outside_ascii() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    for (sent, text) in [("é 漢字 \u{1F4A9}".as_bytes(), "é 漢字 \u{1F4A9}"), (b"caf\xe9", "café")] {
        let put = blob("PUT", "/container/b", &[("x-ms-blob-type", "BlockBlob")], "x");
        // The signature is of what arrives; bytes that are no UTF-8 cannot be signed as a text.
        let signed = std::str::from_utf8(sent).is_ok();
        let put = put.with("x-ms-meta-text", sent);
        let put = match signed {
            true => put.signed(&dev_key()),
            false => put.with_query(&rig::account_sas(&dev_key(), "rwl", "b", "sco")),
        };
        let reply = rig.send(&put).await;
        assert_eq!(reply.status, 201, "{text}: {}", reply.body);
        for read in
            [blob("HEAD", "/container/b", &[], ""), blob("GET", "/container/b?comp=metadata", &[], "")]
        {
            let head = send(&rig, &read).await.head;
            assert!(head.contains(&format!("x-ms-meta-text: {text}")), "{head}");
        }
        let list = blob("GET", "/container?restype=container&comp=list&include=metadata", &[], "");
        let body = send(&rig, &list).await.body;
        assert!(body.contains(&format!("<text>{text}</text>")), "{body}");
    }
    let told = "attachment; filename=\"é.txt\"";
    let headers = [("x-ms-blob-content-disposition", told), ("x-ms-blob-cache-control", "漢")];
    let set = blob("PUT", "/container/b?comp=properties", &headers, "");
    assert_eq!(send(&rig, &set).await.status, 200);
    let head = send(&rig, &blob("GET", "/container/b", &[], "")).await.head;
    assert!(
        head.contains(&format!("content-disposition: {told}")) && head.contains("cache-control: 漢"),
        "{head}"
    );
    for (service, target, status) in [
        (Service::Blob, "/container?restype=container&comp=metadata", 200),
        (Service::Queue, "/queue?comp=metadata", 204),
    ] {
        let set = Sample::new(service, "PUT", target, &[("x-ms-meta-text", "ü")], "");
        assert_eq!(send(&rig, &set).await.status, status);
        let read = Sample::new(service, "GET", target, &[], "");
        assert!(send(&rig, &read).await.head.contains("x-ms-meta-text: ü"), "{target}");
    }
    rig.end().await;
}

/// The body in chunks, the first of one byte, with an extension and a trailer.
fn chunked(request: &Sample) -> Sample {
    let (first, rest) = request.body.split_at(1.min(request.body.len()));
    let mut body = Vec::new();
    for piece in [first, rest].into_iter().filter(|piece| !piece.is_empty()) {
        body.extend_from_slice(format!("{:X};part=\"1\"\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\nx-trailer: y\r\n\r\n");
    Sample { body, ..request.with("transfer-encoding", "chunked") }
}

/// Every operation that takes a body takes it in chunks, and does the same with it.
#[tokio::test]
async fn bodies_in_chunks() {
    use BlobOperation as Blob;
    use QueueOperation as Queue;
    use TableOperation as Table;
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let page = |bytes: &str| {
        let headers = [("x-ms-page-write", "update"), ("x-ms-range", "bytes=0-511")];
        blob("PUT", "/container/page?comp=page", &headers, bytes)
    };
    let query = "<QueryRequest><QueryType>SQL</QueryType><Expression>SELECT * from BlobStorage</Expression></QueryRequest>";
    for (request, status) in [
        (sample(Operation::Blob(Blob::PutBlob)), 201),
        (sample(Operation::Blob(Blob::PutBlock)), 201),
        (
            blob(
                "PUT",
                "/container/blob?comp=blocklist",
                &[],
                "<BlockList><Latest>YWE=</Latest></BlockList>",
            ),
            201,
        ),
        (sample(Operation::Blob(Blob::AppendBlock)), 201),
        (page(&"p".repeat(512)), 201),
        (sample(Operation::Blob(Blob::SetBlobTags)), 204),
        (sample(Operation::Blob(Blob::SetContainerAcl)), 200),
        (sample(Operation::Blob(Blob::SetBlobServiceProperties)), 202),
        (sample(Operation::Blob(Blob::BlobBatch)), 202),
        (blob("POST", "/container/blob?comp=query", &[], query), 200),
        (sample(Operation::Queue(Queue::PutMessage)), 201),
        (sample(Operation::Queue(Queue::SetQueueAcl)), 204),
        (sample(Operation::Table(Table::InsertEntity)), 201),
        (sample(Operation::Table(Table::InsertOrMergeEntity)), 204),
        (sample(Operation::Table(Table::UpdateEntity)), 204),
        (sample(Operation::Table(Table::EntityGroupTransaction)), 202),
        (sample(Operation::Table(Table::SetTableAcl)), 204),
        (sample(Operation::Table(Table::CreateTable)), 201),
    ] {
        let reply = send(&rig, &chunked(&request)).await;
        assert_eq!(reply.status, status, "{} {}: {}", request.method, request.target, reply.body);
    }
    for (target, content) in [("/container/blob", "content"), ("/container/append", "content")] {
        assert_eq!(send(&rig, &blob("GET", target, &[], "")).await.body, content, "{target}");
    }
    assert_eq!(send(&rig, &blob("GET", "/container/page", &[], "")).await.body, "p".repeat(512));
    // Limits hold without a length that is announced.
    let large = blob("PUT", "/container/append?comp=appendblock", &[], &"x".repeat((4 << 20) + 1));
    assert_eq!(send(&rig, &chunked(&large)).await.code, "RequestBodyTooLarge");
    for bytes in [511, 513] {
        assert_eq!(send(&rig, &chunked(&page(&"p".repeat(bytes)))).await.code, "InvalidHeaderValue");
    }
    rig.end().await;
}

/// A body is asked for once it is known that it will be taken: by each operation that takes one.
#[tokio::test]
async fn bodies_that_wait() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    for operation in [
        Operation::Blob(BlobOperation::PutBlob),
        Operation::Blob(BlobOperation::PutBlock),
        Operation::Blob(BlobOperation::AppendBlock),
        Operation::Blob(BlobOperation::SetBlobTags),
        Operation::Queue(QueueOperation::PutMessage),
        Operation::Table(TableOperation::InsertEntity),
        Operation::Table(TableOperation::EntityGroupTransaction),
    ] {
        let waiting = sample(operation).with("expect", "100-continue");
        let name = operation.spec().name;
        let answer = rig.send_whole(&waiting.signed(&dev_key())).await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{name}: {answer}");
        assert!((200..300).contains(&Reply::parse(answer.as_bytes()).status), "{name}: {answer}");
        let refused = rig.send_whole(&waiting).await;
        assert!(refused.starts_with("HTTP/1.1 40"), "{name}: {refused}");
    }
    rig.end().await;
}
