//! How long bodies may be that are read whole, and batches of blobs.

use super::{Limit, Service, blob_request, limit, of, padded};

const TOO_LARGE: &str = "413 RequestBodyTooLarge";
const KIB_64: i128 = 64 << 10;
const MIB_4: i128 = 4 << 20;
const MIB_8: i128 = 8 << 20;

macro_rules! xml_body {
    ($what:literal, $constants:expr, $service:ident, $target:literal, $body:literal, $most:expr, $fits:literal) => {
        limit(
            $what,
            "none: longer than any that means something",
            $constants,
            |n| of(Service::$service, "PUT", $target, &[], &padded($body, n)),
            &[($most - 1, $fits), ($most, $fits), ($most + 1, TOO_LARGE)],
        )
    };
}

fn batch(boundary: &str, parts: &str) -> super::Sample {
    let kind = format!("multipart/mixed; boundary={boundary}");
    blob_request("POST", "/?comp=batch", &[("content-type", &kind)], parts)
}

/// A batch that deletes this many blobs, none of which exists.
fn deletions(count: i128) -> String {
    let part = |n| {
        format!("--b\r\nContent-Type: application/http\r\n\r\nDELETE /container/none{n} HTTP/1.1\r\n\r\n\r\n")
    };
    // Each is refused: it brings no credentials.
    format!("{}--b--\r\n", (0..count).map(part).collect::<String>())
}

fn query(expression: &str) -> super::Sample {
    let form = "<QueryType>SQL</QueryType>";
    let body = format!("<QueryRequest>{form}<Expression>{expression}</Expression></QueryRequest>");
    blob_request("POST", "/container/blob?comp=query", &[], &body)
}

fn bodies() -> Vec<Limit> {
    vec![
        xml_body!(
            "bytes of a block list",
            &["storage-wire/xml XML_BYTES_MAX"],
            Blob,
            "/container/padded?comp=blocklist",
            "<BlockList/>",
            MIB_8,
            "201"
        ),
        xml_body!(
            "bytes of tags",
            &["storage-service/blob/tags TAGS_BYTES_MAX"],
            Blob,
            "/container/blob?comp=tags",
            "<Tags><TagSet/></Tags>",
            KIB_64,
            "204"
        ),
        xml_body!(
            "bytes of policies of a container",
            &["storage-service/blob/container ACCESS_BYTES_MAX"],
            Blob,
            "/container?restype=container&comp=acl",
            "<SignedIdentifiers/>",
            KIB_64,
            "200"
        ),
        xml_body!(
            "bytes of policies of a queue",
            &["storage-service/queue/access BODY_BYTES_MAX"],
            Queue,
            "/queue?comp=acl",
            "<SignedIdentifiers/>",
            KIB_64,
            "204"
        ),
        xml_body!(
            "bytes of policies of a table",
            &["storage-service/table/access BODY_BYTES_MAX"],
            Table,
            "/table?comp=acl",
            "<SignedIdentifiers/>",
            KIB_64,
            "204"
        ),
        xml_body!(
            "bytes of service properties",
            &["storage-service/service BODY_BYTES_MAX"],
            Queue,
            "/?restype=service&comp=properties",
            "<StorageServiceProperties/>",
            KIB_64,
            "202"
        ),
        limit(
            "bytes of a query of contents",
            "none: an expression of 256 KiB and its form",
            &["storage-service/blob/query QUERY_BYTES_MAX"],
            |n| {
                let query = "<QueryRequest><QueryType>SQL</QueryType><Expression>SELECT * from BlobStorage</Expression></QueryRequest>";
                blob_request("POST", "/container/blob?comp=query", &[], &padded(query, n))
            },
            &[(524_287, "200"), (524_288, "200"), (524_289, TOO_LARGE)],
        ),
        limit(
            "parentheses in an expression of a query of contents",
            "none: deeper than any that people or clients write",
            &["storage-service/blob/query/statement DEPTH_MAX"],
            |n| {
                let depth = usize::try_from(n).unwrap();
                query(&format!(
                    "SELECT * from BlobStorage WHERE {}_1 = 'a'{}",
                    "(".repeat(depth),
                    ")".repeat(depth)
                ))
            },
            &[(45, "200"), (46, "200"), (47, "400 InvalidInput")],
        ),
        limit(
            "operators and keywords of a query of contents: SELECT, *, FROM, WHERE, = and more",
            "none: more than any that people or clients write",
            &["storage-service/blob/query/statement OPERATORS_MAX"],
            |n| {
                let others = usize::try_from(n - 5).unwrap();
                query(&format!("SELECT * FROM BlobStorage WHERE 0 = 0{}", "+1".repeat(others)))
            },
            &[(249, "200"), (250, "200"), (251, "400 InvalidInput")],
        ),
        limit(
            "bytes of an expression of a query of contents",
            "Query Blob Contents",
            &["storage-wire/blob/query EXPRESSION_BYTES_MAX"],
            |n| query(&(padded("SELECT * from BlobStorage", n - 1) + ";")),
            &[(262_143, "200"), (262_144, "200"), (262_145, "400 InvalidXmlNodeValue")],
        ),
    ]
}

fn batches() -> Vec<Limit> {
    vec![
        limit(
            "attributes of a document",
            "none: documents have none but declarations of namespaces",
            &["storage-wire/xml ATTRIBUTES_MAX"],
            |n| {
                let attributes: String = (0..n).map(|name| format!(" a{name}=''")).collect();
                blob_request(
                    "PUT",
                    "/container/attributes?comp=blocklist",
                    &[],
                    &format!("<BlockList{attributes}/>"),
                )
            },
            &[(63, "201"), (64, "201"), (65, "400 InvalidXmlDocument")],
        ),
        limit(
            "requests of a batch",
            "STORAGE, section 1",
            &["storage-service/blob/batch REQUESTS_MAX"],
            |n| batch("b", &deletions(n)),
            &[
                (0, "400 InvalidInput"),
                (1, "202: 1 x 401"),
                (2, "202: 2 x 401"),
                (255, "202: 255 x 401"),
                (256, "202: 256 x 401"),
                (257, "400 InvalidInput"),
            ],
        ),
        limit(
            "bytes of a batch",
            "Blob Batch",
            &["storage-service/blob/batch BODY_BYTES_MAX"],
            |n| batch("b", &padded(&deletions(1), n)),
            &[(MIB_4 - 1, "202: 1 x 401"), (MIB_4, "202: 1 x 401"), (MIB_4 + 1, TOO_LARGE)],
        ),
        limit(
            "characters of a boundary",
            "RFC 2046, section 5.1.1",
            &["storage-wire/multipart BOUNDARY_CHARS_MAX"],
            |n| {
                let boundary = super::letters(n);
                batch(&boundary, &deletions(1).replace("--b", &format!("--{boundary}")))
            },
            &[
                (0, "400 InvalidHeaderValue"),
                (1, "202: 1 x 401"),
                (69, "202: 1 x 401"),
                (70, "202: 1 x 401"),
                (71, "400 InvalidHeaderValue"),
            ],
        ),
        limit(
            "headers of a request in a batch",
            "none: the most that an operation has are some forty",
            &["storage-wire/multipart HEADERS_MAX"],
            |n| {
                let headers: String = (0..n).map(|name| format!("x{name}: y\r\n")).collect();
                batch(
                    "b",
                    &format!("--b\r\n\r\nDELETE /container/none HTTP/1.1\r\n{headers}\r\n\r\n--b--\r\n"),
                )
            },
            &[(99, "202: 1 x 401"), (100, "202: 1 x 401"), (101, "202: 1 x 400")],
        ),
    ]
}

pub fn limits() -> Vec<Limit> {
    [bodies(), batches()].into_iter().flatten().collect()
}

/// A record that is longer than what is kept of one ends the query with a frame that says so.
#[tokio::test]
async fn a_record_that_does_not_end() {
    let rig = super::Rig::start(|_| {}).await;
    super::set_up(&rig).await;
    for (bytes, refused) in [(3 << 20, false), (5 << 20, true)] {
        let put = super::put_blob("/container/blob", &[], &super::letters(bytes));
        assert_eq!(rig.send(&put.signed(&super::dev_key())).await.status, 201);
        let reply =
            rig.send(&query("SELECT _1 from BlobStorage WHERE _1 = 'a'").signed(&super::dev_key())).await;
        assert_eq!((reply.status, reply.body.contains("a record has more than")), (200, refused), "{bytes}");
    }
    rig.end().await;
}
