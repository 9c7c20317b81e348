//! Whole requests to the whole service: every handler, and all that each reads of its request.
//!
//! Whatever a client sends is answered, and never as a fault of the server. The service runs in this process, so that
//! what it covers is seen; it keeps what earlier inputs made.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode};
use welkin_storage_service::{Config, DEV_ACCOUNT, DEV_KEY, run};
use welkin_storage_wire::Service;
use welkin_storage_wire::shared_key::{self, AccountKey};

use crate::input::Asked;

/// Requests of one input.
const REQUESTS_MAX: usize = 8;
/// What is between two requests.
const BETWEEN: &str = "\n====\n";
/// An answer takes no longer, and neither does the start.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Memory in place of a disk, where there is one: each write waits for it.
const MEMORY: &str = "/dev/shm";
/// The beginning of the name of the folder for the data; then comes the process.
const FOLDER: &str = "welkin-fuzz-";
/// What the target says itself, or what would have the server ask others.
const LEFT_OUT: [&str; 6] =
    ["connection", "content-length", "expect", "transfer-encoding", "upgrade", "x-ms-copy-source"];

/// The service's addresses: of blobs, queues, and tables.
static SERVER: OnceLock<[SocketAddr; 3]> = OnceLock::new();

fn start() -> [SocketAddr; 3] {
    let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = free.each_ref().map(|listener| listener.local_addr().unwrap());
    drop(free);
    let memory = PathBuf::from(MEMORY);
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    sweep(&folder);
    let folder = folder.join(format!("{FOLDER}{}", std::process::id()));
    let config = Config {
        data_folder: folder,
        blob_listen: vec![addresses[0]],
        queue_listen: vec![addresses[1]],
        table_listen: vec![addresses[2]],
        dev: true,
        ..Config::default()
    };
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(config, std::future::pending())).unwrap();
    });
    let begun = Instant::now();
    while addresses.iter().any(|address| TcpStream::connect(address).is_err()) {
        assert!(begun.elapsed() < ANSWER_MAX, "the service does not start");
        std::thread::yield_now();
    }
    addresses
}

/// Removes what processes left that are gone: libFuzzer ends its process without a word.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A few requests, one after the other.
pub(crate) fn requests(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for request in text.split(BETWEEN).take(REQUESTS_MAX) {
        if let Some((bytes, method, address)) = signed(request.as_bytes()) {
            check(&bytes, &method, address);
        }
    }
}

/// The bytes of a request that its account signed, and where they go.
fn signed(data: &[u8]) -> Option<(Vec<u8>, Method, SocketAddr)> {
    let (mut asked, body) = Asked::with_body(data)?;
    for name in LEFT_OUT {
        asked.headers.remove(name);
    }
    asked.headers.insert("host", HeaderValue::from_static("127.0.0.1"));
    asked.headers.insert("content-length", HeaderValue::from(body.len()));
    if !asked.headers.contains_key("authorization") {
        let date = httpdate::fmt_http_date(SystemTime::now());
        asked.headers.insert("x-ms-date", HeaderValue::from_str(&date).ok()?);
        asked.headers.entry("x-ms-version").or_insert(HeaderValue::from_static("2021-10-04"));
        let key = AccountKey::from_base64(DEV_KEY).ok()?;
        let signature = shared_key::authorize(
            DEV_ACCOUNT,
            &key,
            asked.service,
            &asked.method,
            &asked.uri,
            &asked.headers,
        );
        asked.headers.insert("authorization", HeaderValue::from_str(&signature.ok()?).ok()?);
    }
    let mut bytes = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", asked.method, asked.uri).into_bytes();
    for (name, value) in &asked.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    let addresses = SERVER.get_or_init(start);
    let address = match asked.service {
        Service::Blob => addresses[0],
        Service::Queue => addresses[1],
        Service::Table => addresses[2],
    };
    Some((bytes, asked.method, address))
}

fn check(request: &[u8], method: &Method, address: SocketAddr) {
    let shown = || String::from_utf8_lossy(request).into_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    // The server may answer, and close, before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let mut found = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Response::new(&mut found);
    let parsed = head.parse(&answer);
    let Ok(httparse::Status::Complete(end)) = parsed else {
        panic!("no answer, {ended:?}, {parsed:?}: {}", shown());
    };
    let status = StatusCode::from_u16(head.code.unwrap_or(0)).expect("a status of HTTP");
    let known = [
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    ];
    assert!(!status.is_server_error() || known.contains(&status), "{status}: {}", shown());
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or("")
    };
    let body = std::str::from_utf8(&answer[end..]).unwrap_or("");
    if *method == Method::HEAD || header("transfer-encoding") == "chunked" || body.is_empty() {
        return;
    }
    let refused = status.is_client_error() && !header("x-ms-error-code").is_empty();
    match header("content-type") {
        kind if kind.starts_with("application/xml") && refused => {
            assert!(roxmltree::Document::parse(body).is_ok(), "{body}: {}", shown());
        }
        kind if kind.starts_with("application/json") && refused => {
            assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}: {}", shown());
        }
        _ => {}
    }
}
