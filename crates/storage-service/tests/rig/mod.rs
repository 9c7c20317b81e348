//! The storage service with its development account on free ports, raw requests to it, and signatures that are made
//! here, apart from the code under test.

#![allow(dead_code, reason = "each test uses a part")]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use welkin_storage_service::{Config, DEV_ACCOUNT, DEV_KEY, RunError, run};
use welkin_storage_wire::operation::{Operation, Service};
use welkin_storage_wire::shared_key::{self, AccountKey};
use welkin_storage_wire::{BlobOperation, QueueOperation, TableOperation};

/// Longer than any start or answer takes.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A running service.
pub struct Rig {
    pub folder: TempDir,
    pub addresses: [SocketAddr; 3],
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), RunError>>,
}

/// A request, as data.
#[derive(Debug, Clone)]
pub struct Sample {
    pub service: Service,
    pub method: String,
    /// Path and query within the account.
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// `x-ms-error-code`.
    pub code: String,
    pub head: String,
    pub body: String,
}

impl Rig {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.each_ref().map(|listener| listener.local_addr().unwrap());
        drop(taken);
        let mut config = Config {
            data_folder: folder.path().join("data"),
            blob_listen: vec![addresses[0]],
            queue_listen: vec![addresses[1]],
            table_listen: vec![addresses[2]],
            dev: true,
            ..Config::default()
        };
        change(&mut config);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(run(config, async move {
            let _ = stopped.await;
        }));
        let rig = Self { folder, addresses, stop: Some(stop), running };
        let up = async {
            for address in rig.addresses {
                while TcpStream::connect(address).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        tokio::time::timeout(LIMIT, up).await.unwrap();
        rig
    }

    pub fn address(&self, service: Service) -> SocketAddr {
        self.addresses[match service {
            Service::Blob => 0,
            Service::Queue => 1,
            Service::Table => 2,
        }]
    }

    /// Sends the bytes and reads whatever comes until the server closes.
    pub async fn raw(&self, service: Service, bytes: &[u8]) -> Vec<u8> {
        let talk = async {
            let mut stream = TcpStream::connect(self.address(service)).await.unwrap();
            // The server may answer, and close, before it has read all.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        tokio::time::timeout(LIMIT, talk).await.unwrap()
    }

    pub async fn send(&self, sample: &Sample) -> Reply {
        Reply::parse(&self.raw(sample.service, &sample.bytes()).await)
    }

    pub async fn send_whole(&self, sample: &Sample) -> String {
        String::from_utf8_lossy(&self.raw(sample.service, &sample.bytes()).await).into_owned()
    }

    /// Makes the container, queue and table that samples name, where they are not there.
    pub async fn furnish(&self) {
        for (made, name) in [
            (Operation::Blob(BlobOperation::CreateContainer), "container"),
            (Operation::Queue(QueueOperation::CreateQueue), "queue"),
            (Operation::Table(TableOperation::CreateTable), "table"),
        ] {
            let mut request = sample(made);
            request.target = request.target.replace("made", name);
            request.body = String::from_utf8(request.body).unwrap().replace("made", name).into_bytes();
            let status = self.send(&request.signed(&dev_key())).await.status;
            assert!([201, 204, 409].contains(&status), "{name}: {status}");
        }
    }

    /// Asks the service to end, and does not wait.
    pub fn ask_to_end(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    pub async fn end(self) {
        drop(self.end_and_keep().await);
    }

    /// Ends it, and keeps the folder of its data.
    pub async fn end_and_keep(mut self) -> TempDir {
        self.ask_to_end();
        tokio::time::timeout(LIMIT, self.running).await.unwrap().unwrap().unwrap();
        self.folder
    }
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let code = head.lines().find_map(|line| {
            line.to_ascii_lowercase().starts_with("x-ms-error-code:").then(|| line[16..].trim())
        });
        Self { status, code: code.unwrap_or("").to_owned(), head: head.to_owned(), body: body.to_owned() }
    }
}

impl Sample {
    pub fn new(service: Service, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { service, method, target, headers, body: body.as_bytes().to_vec() }
    }

    pub fn with_query(&self, query: &str) -> Self {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        Self { target: format!("{}{joint}{query}", self.target), ..self.clone() }
    }

    pub fn with(&self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        headers.push((name.to_owned(), value.into()));
        Self { headers, ..self.clone() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    fn whole_headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = self.headers.clone();
        for (name, value) in [
            ("host", "127.0.0.1".to_owned()),
            ("content-length", self.body.len().to_string()),
            ("connection", "close".to_owned()),
        ] {
            let chunked = name == "content-length" && self.has("transfer-encoding");
            if !self.has(name) && !chunked {
                headers.push((name.to_owned(), value.into_bytes()));
            }
        }
        headers
    }

    /// Signs with a key of the account; where the request cannot be signed, it goes unsigned.
    pub fn signed(&self, key: &AccountKey) -> Self {
        let dated = match self.has("x-ms-date") {
            true => self.clone(),
            false => self.with("x-ms-date", httpdate::fmt_http_date(std::time::SystemTime::now())),
        };
        let dated = match dated.has("x-ms-version") {
            true => dated,
            false => dated.with("x-ms-version", "2021-10-04"),
        };
        let mut map = HeaderMap::new();
        for (name, value) in dated.whole_headers() {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&value)) else {
                return dated;
            };
            map.append(name, value);
        }
        let (Ok(method), Ok(url)) =
            (self.method.parse::<Method>(), format!("/{DEV_ACCOUNT}{}", self.target).parse())
        else {
            return dated;
        };
        match shared_key::authorize(DEV_ACCOUNT, key, self.service, &method, &url, &map) {
            Ok(value) => dated.with("authorization", value),
            Err(_) => dated,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} /{DEV_ACCOUNT}{} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in self.whole_headers() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(&value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

pub fn dev_key() -> AccountKey {
    AccountKey::from_base64(DEV_KEY).unwrap()
}

pub fn other_key() -> AccountKey {
    AccountKey::from_base64(&STANDARD.encode([7; 64])).unwrap()
}

fn encode(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace(':', "%3A")
}

const EXPIRY: &str = "2999-01-01T00:00:00Z";
const VERSION: &str = "2021-10-04";

/// An account SAS.
pub fn account_sas(key: &AccountKey, permissions: &str, services: &str, types: &str) -> String {
    let text = format!("{DEV_ACCOUNT}\n{permissions}\n{services}\n{types}\n\n{EXPIRY}\n\n\n{VERSION}\n\n");
    let signature = encode(&key.sign(&text));
    format!("sv={VERSION}&ss={services}&srt={types}&sp={permissions}&se={}&sig={signature}", encode(EXPIRY))
}

/// A service SAS for the resource that the canonical name says; `sr` is of blobs only, `table` of tables only.
pub fn service_sas(
    key: &AccountKey,
    service: Service,
    resource: &str,
    sr: &str,
    permissions: &str,
) -> String {
    let name = format!("/{}/{DEV_ACCOUNT}{resource}", service.as_str());
    let tail = match service {
        Service::Blob => format!("\n{sr}\n\n\n\n\n\n\n"),
        Service::Queue => String::new(),
        Service::Table => "\n\n\n\n".to_owned(),
    };
    let text = format!("{permissions}\n\n{EXPIRY}\n{name}\n\n\n\n{VERSION}{tail}");
    let more = match service {
        Service::Blob => format!("&sr={sr}"),
        Service::Queue => String::new(),
        Service::Table => format!("&tn={}", resource.trim_start_matches('/')),
    };
    format!("sv={VERSION}&sp={permissions}&se={}{more}&sig={}", encode(EXPIRY), encode(&key.sign(&text)))
}

/// A request for each operation. The match is exhaustive: an operation without a request does not compile.
pub fn sample(operation: Operation) -> Sample {
    match operation {
        Operation::Blob(operation) => blob::sample(operation),
        Operation::Queue(operation) => queue_and_table::queue(operation),
        Operation::Table(operation) => queue_and_table::table(operation),
    }
}

#[path = "blob.rs"]
mod blob;
#[path = "queue_and_table.rs"]
mod queue_and_table;
