//! Requests that are malformed, byte by byte: each has an answer that blames the client, and the server goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use rig::{Reply, Rig, Sample, account_sas, dev_key, sample};
use welkin_storage_wire::operation::{BlobOperation, Operation, QueueOperation, Service, TableOperation};

/// The server still does what it should.
async fn check_alive(rig: &Rig, what: &str) {
    for service in [Service::Blob, Service::Queue, Service::Table] {
        let list = match service {
            Service::Blob => sample(Operation::Blob(BlobOperation::ListContainers)),
            Service::Queue => sample(Operation::Queue(QueueOperation::ListQueues)),
            Service::Table => sample(Operation::Table(TableOperation::QueryTables)),
        };
        assert_eq!(rig.send(&list.signed(&dev_key())).await.status, 200, "{service:?} after {what}");
    }
}

async fn set_up(rig: &Rig) {
    rig.furnish().await;
    assert_eq!(
        rig.send(&sample(Operation::Blob(BlobOperation::PutBlob)).signed(&dev_key())).await.status,
        201
    );
}

/// A head that may put a blob, with these lines at its end, and what follows it.
fn put(lines: &str, rest: &[u8]) -> Vec<u8> {
    let sas = account_sas(&dev_key(), "rw", "b", "o");
    let head = format!(
        "PUT /devstoreaccount1/container/b?{sas} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-ms-blob-type: BlockBlob\r\nconnection: close\r\n{lines}\r\n"
    );
    [head.as_bytes(), rest].concat()
}

/// A head for this target, with these lines.
fn get(target: &[u8], lines: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n", lines, b"\r\n"].concat()
}

#[tokio::test]
async fn heads_and_bodies() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let long = "x".repeat(70_000);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("an empty line and nothing", b"\r\n\r\n\r\nGET\r\n\r\n".to_vec()),
        ("no target", b"GET  HTTP/1.1\r\n\r\n".to_vec()),
        ("a target without a slash", b"GET acct HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec()),
        ("a star", b"GET * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec()),
        ("a connect", b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n".to_vec()),
        ("another host's", b"GET http://other/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec()),
        ("a handshake of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        ("a space before the colon", get(b"/devstoreaccount1", b"x-ms-date : x\r\n")),
        ("a folded header", get(b"/devstoreaccount1", b"x-ms-date: x\r\n y\r\n")),
        ("a NUL in a header", get(b"/devstoreaccount1", b"x-ms-date: a\0b\r\n")),
        ("a carriage return in a header", get(b"/devstoreaccount1", b"x-ms-date: a\rb\r\n")),
        ("bytes in a header", get(b"/devstoreaccount1/?comp=list", b"x-ms-date: \xff\xfe\r\n")),
        ("bytes as credentials", get(b"/devstoreaccount1/?comp=list", b"authorization: \xff\xfe\r\n")),
        ("half a percent", get(b"/devstoreaccount1/c/%", b"")),
        ("percent and letters", get(b"/devstoreaccount1/c/%zz", b"")),
        ("percent in the account", get(b"/%ff%fe/c/b", b"")),
        ("bytes that are no UTF-8, encoded", get(b"/devstoreaccount1/c/%ff", b"")),
        ("bytes that are no UTF-8", get(b"/devstoreaccount1/c/\xff\xfe", b"")),
        ("a surrogate, encoded", get(b"/devstoreaccount1/c/%ED%A0%80", b"")),
        ("an overlong slash", get(b"/devstoreaccount1/c/%C0%AF", b"")),
        ("a NUL in the path", get(b"/devstoreaccount1/c/%00", b"")),
        ("bytes that are no UTF-8 in the query", get(b"/devstoreaccount1/?comp=%ff", b"")),
        ("a fragment", get(b"/devstoreaccount1/c/b#x", b"")),
        ("a target of 70,000 characters", get(format!("/devstoreaccount1/{long}").as_bytes(), b"")),
        ("a query of 70,000 characters", get(format!("/devstoreaccount1/?{long}").as_bytes(), b"")),
        ("a length with a sign", put("content-length: +3\r\n", b"abc")),
        ("a length in hexadecimal", put("content-length: 0x3\r\n", b"abc")),
        ("an empty length", put("content-length:\r\n", b"")),
        ("lengths in a list", put("content-length: 3, 4\r\n", b"abcd")),
        ("a length and chunks", put("content-length: 3\r\ntransfer-encoding: chunked\r\n", b"zz\r\n")),
        ("chunks and another coding", put("transfer-encoding: chunked, gzip\r\n", b"0\r\n\r\n")),
        ("a coding of old", put("transfer-encoding: identity\r\n", b"abc")),
        ("a chunk's length of letters", put("transfer-encoding: chunked\r\n", b"zz\r\nabc\r\n0\r\n\r\n")),
        (
            "a chunk's length that is huge",
            put("transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\nabc\r\n"),
        ),
        (
            "a chunk's length that is negative",
            put("transfer-encoding: chunked\r\n", b"-1\r\nabc\r\n0\r\n\r\n"),
        ),
        ("a chunk without its end", put("transfer-encoding: chunked\r\n", b"3\r\nabcdef\r\n0\r\n\r\n")),
        (
            "an expectation of nothing",
            put("expect: everything\r\ncontent-length: 3\r\nauthorization: x\r\n", b"abc"),
        ),
    ];
    for (what, bytes) in rows {
        for service in [Service::Blob, Service::Queue, Service::Table] {
            let reply = Reply::parse(&rig.raw(service, &bytes).await);
            let told = format!("{what}, {service:?}: {} {}\n{}", reply.status, reply.code, reply.head);
            assert!(
                (400..500).contains(&reply.status) || reply.status == 501 || reply.status == 505,
                "{told}"
            );
            assert!(reply.status != 501 || reply.code.is_empty(), "{told}");
        }
        check_alive(&rig, what).await;
    }
    rig.end().await;
}

/// A client that goes away in the middle of a body changes nothing, and is answered where it still listens.
#[tokio::test]
async fn bodies_that_break_off() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    for (what, bytes) in [
        ("fewer bytes than announced", put("content-length: 10\r\n", b"abc")),
        ("no bytes", put("content-length: 10\r\n", b"")),
        ("no last chunk", put("transfer-encoding: chunked\r\n", b"3\r\nabc\r\n")),
        ("half a chunk", put("transfer-encoding: chunked\r\n", b"10\r\nabc")),
        ("half a chunk's length", put("transfer-encoding: chunked\r\n", b"1")),
    ] {
        let mut stream = tokio::net::TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(rig::LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let reply = Reply::parse(&answer);
        // Who closes its half is gone for HTTP; where there is an answer, it is no success.
        assert!(answer.is_empty() || (400..500).contains(&reply.status), "{what}: {}", reply.head);
        let read = Sample::new(Service::Blob, "HEAD", "/container/b", &[], "");
        assert_eq!(rig.send(&read.signed(&dev_key())).await.status, 404, "{what}");
        check_alive(&rig, what).await;
    }
    rig.end().await;
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + &close.repeat(depth)
}

/// Bodies that are no document of their kind, for each operation that takes one of that kind.
#[tokio::test]
async fn documents() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let bomb: String = (1..9).fold("<!DOCTYPE a [<!ENTITY e0 \"lol\">".to_owned(), |text, n| {
        let inner = format!("&e{};", n - 1).repeat(10);
        text + &format!("<!ENTITY e{n} \"{inner}\">")
    }) + "]><a>&e8;</a>";
    let outside = "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>";
    let attributes: String = (0..200_000).map(|n| format!(" a{n}=\"\"")).collect();
    let xml = |root: &str| {
        let of = |inside: &str| format!("<{root}>{inside}</{root}>");
        vec![
            ("a bomb of entities", bomb.replace("a>", &format!("{root}>"))),
            ("an entity of outside", outside.replace("a>", &format!("{root}>"))),
            ("nested deep", of(&nested("<a>", "</a>", 5000))),
            ("nested deeper, and never closed", "<a>".repeat(10_000)),
            ("truncated", format!("<{root}><")),
            ("truncated in a name", format!("<{root}")),
            ("truncated in an attribute", format!("<{root} a=\"")),
            ("no end", format!("<{root}>")),
            ("another end", format!("<{root}></other>")),
            ("two roots", format!("<{root}/><{root}/>")),
            ("a NUL", of("\0")),
            ("a character that XML does not have", of("&#0;")),
            ("an entity that there is not", of("&nbsp;")),
            ("a section that does not end", of("<![CDATA[")),
            ("a comment that does not end", of("<!--")),
            ("an instruction that does not end", of("<?x")),
            ("a prefix that is not declared", format!("<n:{root}/>")),
            ("many attributes", format!("<{root}{attributes}/>")),
            ("an attribute twice", format!("<{root} a=\"\" a=\"\"/>")),
            ("UTF-16", String::from_utf8_lossy(&[0xFF, 0xFE, b'<', 0]).into_owned()),
        ]
    };
    let json = || {
        vec![
            ("nested deep", nested("[", "]", 10_000)),
            ("objects nested deep", nested("{\"a\":", "}", 10_000)),
            ("truncated", "{\"PartitionKey\":\"p".to_owned()),
            ("half an escape", "{\"PartitionKey\":\"\\u12".to_owned()),
            ("half a pair", "{\"PartitionKey\":\"\\ud800\",\"RowKey\":\"r\"}".to_owned()),
            ("a number beyond numbers", "{\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"n\":1e999}".to_owned()),
            (
                "a number of many digits",
                format!("{{\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"n\":{}}}", "9".repeat(10_000)),
            ),
            ("a key twice", "{\"PartitionKey\":\"p\",\"PartitionKey\":\"q\",\"RowKey\":\"r\"}".to_owned()),
            ("an array", "[]".to_owned()),
            ("a property that is an object", "{\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"o\":{}}".to_owned()),
            (
                "a type that there is not",
                "{\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"a@odata.type\":\"Edm.No\",\"a\":\"1\"}"
                    .to_owned(),
            ),
            ("a comma too many", "{\"PartitionKey\":\"p\",\"RowKey\":\"r\",}".to_owned()),
            ("a NUL", "{\"PartitionKey\":\"p\",\"RowKey\":\"r\"}\0".to_owned()),
        ]
    };
    use BlobOperation as Blob;
    use QueueOperation as Queue;
    use TableOperation as Table;
    for (operation, bodies) in [
        (Operation::Blob(Blob::PutBlockList), xml("BlockList")),
        (Operation::Blob(Blob::SetBlobTags), xml("Tags")),
        (Operation::Blob(Blob::SetContainerAcl), xml("SignedIdentifiers")),
        (Operation::Blob(Blob::SetBlobServiceProperties), xml("StorageServiceProperties")),
        (Operation::Blob(Blob::QueryBlobContents), xml("QueryRequest")),
        (Operation::Queue(Queue::PutMessage), xml("QueueMessage")),
        (Operation::Queue(Queue::SetQueueAcl), xml("SignedIdentifiers")),
        (Operation::Queue(Queue::SetQueueServiceProperties), xml("StorageServiceProperties")),
        (Operation::Table(Table::SetTableAcl), xml("SignedIdentifiers")),
        (Operation::Table(Table::SetTableServiceProperties), xml("StorageServiceProperties")),
        (Operation::Table(Table::CreateTable), json()),
        (Operation::Table(Table::InsertEntity), json()),
        (Operation::Table(Table::InsertOrReplaceEntity), json()),
        (Operation::Table(Table::MergeEntity), json()),
    ] {
        for (what, body) in bodies {
            let request = Sample { body: body.into_bytes(), ..sample(operation) };
            let reply = rig.send(&request.signed(&dev_key())).await;
            let told = format!("{}, {what}: {} {}", operation.spec().name, reply.status, reply.code);
            let refused = (400..500).contains(&reply.status) && !reply.code.is_empty();
            assert!(refused, "{told}");
            assert!(reply.body.len() < 8192, "{told}: an error repeats its cause");
        }
        check_alive(&rig, operation.spec().name).await;
    }
    rig.end().await;
}

/// Expressions that nest, or go on, as long as they may.
#[tokio::test]
async fn expressions() {
    let rig = Rig::start(|_| {}).await;
    set_up(&rig).await;
    let sql = |expression: String| {
        let form = "<QueryType>SQL</QueryType>";
        let body = format!("<QueryRequest>{form}<Expression>{expression}</Expression></QueryRequest>");
        Sample::new(Service::Blob, "POST", "/container/blob?comp=query", &[], &body)
    };
    let select = "SELECT * from BlobStorage WHERE ";
    let filter = |text: String| {
        Sample::new(
            Service::Table,
            "GET",
            &format!("/table()?$filter={text}"),
            &[("accept", "application/json")],
            "",
        )
    };
    let search =
        |text: String| Sample::new(Service::Blob, "GET", &format!("/?comp=blobs&where={text}"), &[], "");
    for (what, request) in [
        ("AND, many times", sql(format!("{select}{}_1 = 'a'", "_1 = 'a' AND ".repeat(18_000)))),
        ("OR, many times", sql(format!("{select}{}_1 = 'a'", "_1 = 'a' OR ".repeat(18_000)))),
        ("plus, many times", sql(format!("{select}{}1 = 1", "1+".repeat(120_000)))),
        ("NOT, many times", sql(format!("{select}{}_1 = 'a'", "NOT ".repeat(60_000)))),
        ("minus, many times", sql(format!("{select}{}1 = 1", "- ".repeat(120_000)))),
        ("parentheses, many", sql(format!("{select}{}_1 = 'a'{}", "(".repeat(100_000), ")".repeat(100_000)))),
        ("CASE, many times", sql(format!("{select}{}", "CASE WHEN ".repeat(20_000)))),
        ("columns, many", sql(format!("SELECT {}_1 from BlobStorage", "_1,".repeat(80_000)))),
        ("a text that does not end", sql("SELECT '".to_owned())),
        ("selects within", sql(format!("{}1{}", "SELECT (".repeat(10_000), ")".repeat(10_000)))),
        ("a filter of or", filter(format!("{}a%20eq%201", "a%20eq%201%20or%20".repeat(2500)))),
        ("a filter of not", filter(format!("{}a", "not%20".repeat(6000)))),
        ("a filter of parentheses", filter("(".repeat(30_000))),
        ("a filter of quotes", filter("%27".repeat(9_999))),
        ("a search of AND", search(format!("{}a%3D%27b%27", "a%3D%27b%27%20AND%20".repeat(2000)))),
        ("a search of quotes", search("%22".repeat(9_999))),
    ] {
        let reply = rig.send(&request.signed(&dev_key())).await;
        let told = format!("{what}: {} {}", reply.status, reply.code);
        assert!(
            reply.status == 200
                || ((400..500).contains(&reply.status) && !reply.code.is_empty())
                || (reply.status == 501 && reply.code == "NotImplemented"),
            "{told}"
        );
        check_alive(&rig, what).await;
    }
    rig.end().await;
}
