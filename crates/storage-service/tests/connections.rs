//! Connections: many that are idle, clients that are too slow, and the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rig::{LIMIT, Reply, Rig, Sample, dev_key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::RwLock;
use welkin_storage_service::{Config, Timeouts};
use welkin_storage_wire::operation::Service;

/// Tests that measure the memory of the process have it for themselves.
static ALONE: RwLock<()> = RwLock::const_new(());

fn blob(method: &str, name: &str, body: &str) -> Sample {
    let headers = [("x-ms-blob-type", "BlockBlob"), ("connection", "keep-alive")];
    Sample::new(Service::Blob, method, &format!("/container/{name}"), &headers, body).signed(&dev_key())
}

async fn start(change: impl FnOnce(&mut Config)) -> Rig {
    let rig = Rig::start(change).await;
    rig.furnish().await;
    assert_eq!(rig.send(&blob("PUT", "small", "content").with("connection", "close")).await.status, 201);
    rig
}

/// A put that announces so many bytes, and sends these.
fn put_head(name: &str, length_bytes: usize, expect: &str) -> Vec<u8> {
    // Signed with its length, which the body that is sent need not have.
    let whole = Sample::new(
        Service::Blob,
        "PUT",
        &format!("/container/{name}"),
        &[("x-ms-blob-type", "BlockBlob")],
        "",
    );
    let whole = whole.with("content-length", length_bytes.to_string()).with("connection", expect);
    whole.signed(&dev_key()).bytes()
}

/// Reads one answer, of known short body.
async fn answer(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let reply = Reply::parse(&bytes);
            let length = reply
                .head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if bytes.windows(4).any(|end| end == b"\r\n\r\n") && reply.body.len() >= length.unwrap_or(0) {
                return reply;
            }
            if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                return reply;
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap()
}

/// A connection over which one request was answered.
async fn used(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
    stream.write_all(&blob("GET", "small", "").bytes()).await.unwrap();
    let reply = answer(&mut stream).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "content"));
    stream
}

/// What comes until the server closes; within so much time.
async fn rest(stream: &mut TcpStream, within: Duration) -> Vec<u8> {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(within, stream.read_to_end(&mut rest)).await.expect("the server closes");
    drop(end);
    rest
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_cheap() {
    const IDLE: usize = 2_000;
    let _alone = ALONE.write().await;
    let rig = start(|_| {}).await;
    // What the first ones allocate is there to stay.
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(used(&rig).await);
    }
    let before = resident_bytes();
    for _ in 0..IDLE {
        streams.push(used(&rig).await);
    }
    let each = resident_bytes().saturating_sub(before) / IDLE;
    assert!(each < 32 * 1024, "{each} bytes for each idle connection, its client's side included");
    for stream in streams.iter_mut().step_by(100) {
        stream.write_all(&blob("GET", "small", "").bytes()).await.unwrap();
        assert_eq!(answer(stream).await.status, 200, "it is still there");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_idle_gives_way() {
    let _beside = ALONE.read().await;
    let rig = start(|config| config.connections_max = 4).await;
    let mut busy = TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
    busy.write_all(&put_head("slow", 4, "close")).await.unwrap();
    busy.write_all(b"ab").await.unwrap();
    let mut first = used(&rig).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut others = [used(&rig).await, used(&rig).await];
    // The fifth one waits until someone has been idle for long enough.
    let fifth = used(&rig).await;
    assert_eq!(rest(&mut first, LIMIT).await, b"", "it was closed");
    for stream in &mut others {
        stream.write_all(&blob("GET", "small", "").bytes()).await.unwrap();
        assert_eq!(answer(stream).await.status, 200);
    }
    busy.write_all(b"cd").await.unwrap();
    assert_eq!(answer(&mut busy).await.status, 201, "what has a request in hand stays");
    drop(fifth);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_are_given_up() {
    let _beside = ALONE.read().await;
    let timeouts = Timeouts {
        idle_ms: 1_500,
        head_ms: 500,
        silence_ms: 700,
        request_ms_per_mib: 1_000,
        ..Timeouts::default()
    };
    let rig = start(|config| config.timeouts = timeouts).await;
    let head = blob("GET", "small", "").bytes();
    let put = [put_head("slow", 100, "close"), b"some".to_vec()].concat();
    for (what, sent, least_ms, status) in [
        ("nothing", &b""[..], 1_500, 0),
        ("half a head", &head[..30], 500, 0),
        ("a request, and no other", &head[..], 1_500, 200),
        ("a part of a body", &put[..], 700, 500),
    ] {
        let mut streams = Vec::new();
        let begun = Instant::now();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
            stream.write_all(sent).await.unwrap();
            streams.push(stream);
        }
        for stream in &mut streams {
            let reply = Reply::parse(&rest(stream, LIMIT).await);
            let took = begun.elapsed();
            assert_eq!(reply.status, status, "{what}: {}", reply.head);
            assert!(took >= Duration::from_millis(least_ms - 5), "{what}: closed after {took:?}");
        }
    }
    // One that sends a byte now and then is never silent, but too slow on average.
    let mut stream = TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
    stream.write_all(&put_head("slow", 1_000, "close")).await.unwrap();
    let begun = Instant::now();
    while stream.write_all(b"x").await.is_ok() && begun.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut first = [0];
        if stream.try_read(&mut first).is_ok() {
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let gone = blob("GET", "slow", "").with("connection", "close");
    assert_eq!(rig.send(&gone).await.status, 404, "nothing of it was committed");
    rig.end().await;
}

/// A client that asks for a blob and then reads nothing, with a small window.
async fn deaf(address: SocketAddr, request: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_bounded_and_given_up() {
    const LENGTH: usize = 64 << 20;
    const READERS: usize = 64;
    let _alone = ALONE.write().await;
    let timeouts = Timeouts { answer_ms_per_mib: 2_000, ..Timeouts::default() };
    let rig = start(|config| {
        config.timeouts = timeouts;
        config.read_ahead_bytes_max = 8 << 20;
    })
    .await;
    assert_eq!(
        rig.send(&blob("PUT", "large", &"x".repeat(LENGTH)).with("connection", "close")).await.status,
        201
    );
    let before = resident_bytes();
    let get = blob("GET", "large", "").bytes();
    let mut deaf_ones = Vec::new();
    for _ in 0..READERS {
        deaf_ones.push(deaf(rig.address(Service::Blob), &get).await);
    }
    let begun = Instant::now();
    // Others do not notice.
    while begun.elapsed() < Duration::from_secs(1) {
        drop(used(&rig).await);
    }
    let grown = resident_bytes().saturating_sub(before);
    // Without the room's limit, each has four pieces of 1 MiB on their way.
    assert!(grown < (8 << 20) + READERS * 1024 * 1024, "{grown} bytes for {READERS} readers");
    for stream in &mut deaf_ones {
        // Nothing is read before the server gave up: what comes then is what lay in the kernel.
        tokio::time::sleep_until((begun + Duration::from_secs(4)).into()).await;
        let came = rest(stream, LIMIT).await.len();
        assert!(came > 0 && came < LENGTH, "{came} bytes came");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_leaves_nothing() {
    const LENGTH: usize = 4 << 20;
    let _beside = ALONE.read().await;
    let rig = start(|_| {}).await;
    for n in 0..50 {
        let mut stream = TcpStream::connect(rig.address(Service::Blob)).await.unwrap();
        stream.write_all(&put_head("broken", LENGTH, "close")).await.unwrap();
        stream.write_all(&vec![b'x'; LENGTH - 1 - n * 1000]).await.unwrap();
        stream.shutdown().await.unwrap();
        let reply = Reply::parse(&rest(&mut stream, LIMIT).await);
        assert!([0, 400].contains(&reply.status), "{}", reply.head);
    }
    // More than was announced: what is announced is taken, and the rest is no request.
    let longer = [put_head("longer", 4, "close"), b"fourand more".to_vec()].concat();
    assert_eq!(Reply::parse(&rig.raw(Service::Blob, &longer).await).status, 201);
    for (name, status, body) in [("broken", 404, ""), ("longer", 200, "four")] {
        let reply = rig.send(&blob("GET", name, "").with("connection", "close")).await;
        assert_eq!(reply.status, status, "{name}");
        assert!(status != 200 || reply.body == body, "{name}: {}", reply.body);
    }
    // Had they kept their place, the 200 MB would fill three steps of 64 MiB.
    let extents = std::fs::read_dir(rig.folder.path().join("data/extents")).unwrap();
    let bytes: u64 = extents.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 128 << 20, "{bytes} bytes of extents");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_requests_in_hand() {
    let _beside = ALONE.read().await;
    let mut rig = start(|config| config.timeouts.grace_ms = 2_000).await;
    let address = rig.address(Service::Blob);
    let mut fresh = TcpStream::connect(address).await.unwrap();
    let mut idle = used(&rig).await;
    let mut puts = Vec::new();
    for name in ["done", "never"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&put_head(name, 4, "keep-alive")).await.unwrap();
        stream.write_all(b"ab").await.unwrap();
        puts.push(stream);
    }
    // All four are there.
    drop(used(&rig).await);
    rig.ask_to_end();
    let begun = Instant::now();
    for stream in [&mut fresh, &mut idle] {
        assert_eq!(
            rest(stream, Duration::from_secs(1)).await,
            b"",
            "who has nothing in hand is closed at once"
        );
    }
    while TcpStream::connect(address).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(1), "new connections are refused");
    }
    puts[0].write_all(b"cd").await.unwrap();
    let reply = Reply::parse(&rest(&mut puts[0], Duration::from_secs(1)).await);
    assert_eq!(reply.status, 201);
    assert!(reply.head.to_ascii_lowercase().contains("connection: close"), "{}", reply.head);
    let folder = rig.end_and_keep().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(5), "it ended after {took:?}");
    // What was answered is there after a start, and nothing of what was not.
    let rig = Rig::start(|config| config.data_folder = folder.path().join("data")).await;
    for (name, status) in [("done", 200), ("never", 404)] {
        assert_eq!(
            rig.send(&blob("GET", name, "").with("connection", "close")).await.status,
            status,
            "{name}"
        );
    }
    rig.end().await;
}
