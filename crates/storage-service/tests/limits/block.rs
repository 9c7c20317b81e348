//! Blocks: their ids, their number, and how long a body may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Limit, blob_request, letters, limit};

const TOO_LARGE: &str = "413 RequestBodyTooLarge";
const MIB: i128 = 1 << 20;

fn id(bytes: i128) -> String {
    STANDARD.encode(letters(bytes)).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn put_block(blob: &str, id: &str) -> super::Sample {
    blob_request("PUT", &format!("/container/{blob}?comp=block&blockid={id}"), &[], "x")
}

/// A list that has a block this many times.
fn put_list(blob: &str, id: &str, count: i128) -> super::Sample {
    let lines = format!("<Latest>{id}</Latest>\n").repeat(usize::try_from(count).unwrap());
    let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>\n{lines}</BlockList>");
    blob_request("PUT", &format!("/container/{blob}?comp=blocklist"), &[], &body)
}

/// A request whose body is announced and does not come.
fn announce(target: &'static str, version: &'static str) -> impl Fn(i128) -> super::Sample {
    move |bytes| {
        let headers = [
            ("content-length", &*bytes.to_string()),
            ("x-ms-version", version),
            ("x-ms-blob-type", "BlockBlob"),
        ];
        blob_request("PUT", target, &headers, "")
    }
}

fn ids() -> Vec<Limit> {
    vec![
        limit(
            "bytes of a block's id",
            "STORAGE, section 3",
            &["storage-wire/blob/block_list BLOCK_ID_BYTES_MAX"],
            |n| put_block(&format!("id-of-{n}"), &id(n)),
            &[
                (0, "400 InvalidQueryParameterValue"),
                (1, "201"),
                (2, "201"),
                (63, "201"),
                (64, "201"),
                (65, "400 InvalidQueryParameterValue"),
            ],
        ),
        limit(
            "bytes of a block's id, beside one of two bytes",
            "STORAGE, section 3",
            &[],
            |n| put_block("listed", &id(n)),
            &[(1, "400 InvalidBlobOrBlock"), (2, "201"), (3, "400 InvalidBlobOrBlock")],
        ),
        limit(
            "bytes of an id in a block list",
            "STORAGE, section 3",
            &[],
            |n| put_list(&format!("id-of-{n}"), &STANDARD.encode(letters(n)), 1),
            &[(63, "201"), (64, "201"), (65, "400 InvalidBlockList")],
        ),
        limit(
            "blocks of a blob",
            "STORAGE, section 3",
            &["storage-wire/blob/block_list BLOCKS_MAX", "storage-wire/xml NODES_MAX"],
            |n| put_list("listed", "YWE=", n),
            &[(49_999, "201"), (50_000, "201"), (50_001, "400 BlockListTooLong"), (0, "201")],
        ),
        limit(
            "blocks of a blob, with the longest ids",
            "STORAGE, section 3",
            &[],
            |n| put_list("id-of-64", &STANDARD.encode(letters(64)), n),
            &[(49_999, "201"), (50_000, "201"), (50_001, "400 BlockListTooLong")],
        ),
    ]
}

/// The largest bodies, by the version of the protocol.
fn bodies() -> Vec<Limit> {
    const PUT: &str = "/container/announced";
    const BLOCK: &str = "/container/announced?comp=block&blockid=YWE%3D";
    const APPEND: &str = "/container/append?comp=appendblock";
    macro_rules! body {
        ($what:literal, $target:expr, $version:literal, $mib:literal) => {
            limit(
                $what,
                "STORAGE, section 3",
                &[],
                announce($target, $version),
                &[($mib * MIB - 1, "100"), ($mib * MIB, "100"), ($mib * MIB + 1, TOO_LARGE)],
            )
            .announced()
        };
    }
    vec![
        body!("bytes of Put Blob", PUT, "2019-12-12", 5000),
        body!("bytes of Put Blob before 2019-12-12", PUT, "2019-12-11", 256),
        body!("bytes of Put Blob before 2016-05-31", PUT, "2016-05-30", 64),
        body!("bytes of Put Block", BLOCK, "2019-12-12", 4000),
        body!("bytes of Put Block before 2019-12-12", BLOCK, "2019-12-11", 100),
        body!("bytes of Put Block before 2016-05-31", BLOCK, "2016-05-30", 4),
        body!("bytes of Append Block", APPEND, "2022-11-02", 100),
        body!("bytes of Append Block before 2022-11-02", APPEND, "2022-11-01", 4),
    ]
}

pub fn limits() -> Vec<Limit> {
    [ids(), bodies()].into_iter().flatten().collect()
}

/// A body that is too large is refused though the client sends it all and waits for nothing, and the connection goes
/// on.
#[tokio::test]
async fn a_refused_body_does_not_end_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = super::Rig::start(|_| {}).await;
    super::set_up(&rig).await;
    let large = letters(4 * MIB + 1);
    let append =
        blob_request("PUT", "/container/append?comp=appendblock", &[("connection", "keep-alive")], &large);
    let list = blob_request("GET", "/?comp=list", &[], "");
    let mut stream = tokio::net::TcpStream::connect(rig.address(super::Service::Blob)).await.unwrap();
    for request in [append, list] {
        stream.write_all(&request.signed(&super::dev_key()).bytes()).await.unwrap();
    }
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<_> =
        answers.lines().filter_map(|line| line.split("HTTP/1.1 ").nth(1)?.get(..3)).collect();
    assert_eq!(statuses, ["413", "200"], "{answers}");
    rig.end().await;
}
