//! A storage service in a process of its own, and requests to it as they go over the wire.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Method, Request, Uri};
use tempfile::TempDir;
use welkin_base::Timestamp;
use welkin_storage_service::{DEV_ACCOUNT, DEV_KEY};
use welkin_storage_wire::Service;
use welkin_storage_wire::queue::message::http_date;
use welkin_storage_wire::shared_key::{self, AccountKey};

/// The service starts, and answers, within this time, unless it never does.
const LIMIT: Duration = Duration::from_secs(60);

/// A running service and its data.
pub struct Server {
    child: Child,
    folder: TempDir,
    addresses: [SocketAddr; 3],
}

impl Server {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // All three are taken before any is given back, so that they differ.
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.map(|listener| listener.local_addr().unwrap());
        let child = spawn(&folder, addresses);
        Self { child, folder, addresses }
    }

    /// Ends the process as a crash would, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again over the same data.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, self.addresses);
    }

    pub fn client(&self) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build();
        Client { agent: config.into(), addresses: self.addresses }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, addresses: [SocketAddr; 3]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_storage-server"))
        .arg(folder.path().join("data"))
        .args(addresses.map(|address| address.to_string()))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + LIMIT;
    while !addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
        assert!(child.try_wait().unwrap().is_none(), "the storage service ended");
        assert!(Instant::now() < end, "the storage service does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The error code, or nothing.
    pub code: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends signed requests of the development account.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    addresses: [SocketAddr; 3],
}

impl Client {
    /// Sends a request; `None` when no answer came.
    pub fn send(
        &self,
        service: Service,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let (url, headers) = self.signed(service, method, path, headers, body.len() as u64);
        let mut request = Request::builder().method(method).uri(url).body(body.to_vec()).unwrap();
        *request.headers_mut() = headers;
        let answer = self.agent.run(request).ok()?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec().ok()?;
        Some(answered(head.status.as_u16(), head.headers, body))
    }

    /// Sends a head that announces a body of `length_bytes`, and waits for what the service says to that alone:
    /// `100 Continue`, or a refusal.
    pub fn announce(
        &self,
        service: Service,
        path: &str,
        headers: &[(&str, &str)],
        length_bytes: u64,
    ) -> Answer {
        let expecting: Vec<(&str, &str)> = headers.iter().copied().chain([("expect", "100-continue")]).collect();
        let (url, headers) = self.signed(service, "PUT", path, &expecting, length_bytes);
        let mut stream = TcpStream::connect(self.address(service)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let target = url.path_and_query().unwrap();
        let mut head = format!("PUT {target} HTTP/1.1\r\nhost: {}\r\n", url.authority().unwrap());
        for (name, value) in &headers {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).unwrap();
            bytes.extend_from_slice(&buffer[..count]);
            let mut found = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut found);
            if response.parse(&bytes).unwrap().is_complete() {
                let pairs = response.headers.iter();
                let headers = pairs.map(|h| (h.name.parse().unwrap(), h.value.try_into().unwrap())).collect();
                return answered(response.code.unwrap(), headers, Vec::new());
            }
            assert!(count > 0, "the connection ended without an answer");
        }
    }

    fn address(&self, service: Service) -> SocketAddr {
        let [blob, queue, table] = self.addresses;
        match service {
            Service::Blob => blob,
            Service::Queue => queue,
            Service::Table => table,
        }
    }

    fn signed(
        &self,
        service: Service,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length_bytes: u64,
    ) -> (Uri, HeaderMap) {
        let url: Uri = format!("http://{}/{DEV_ACCOUNT}{path}", self.address(service)).parse().unwrap();
        let mut map: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let now = http_date(Timestamp::from(SystemTime::now()));
        map.insert("x-ms-date", now.parse().unwrap());
        map.entry("x-ms-version").or_insert_with(|| "2021-10-04".parse().unwrap());
        map.insert("content-length", length_bytes.into());
        let key = AccountKey::from_base64(DEV_KEY).unwrap();
        let method: Method = method.parse().unwrap();
        let value = shared_key::authorize(DEV_ACCOUNT, &key, service, &method, &url, &map).unwrap();
        map.insert("authorization", value.parse().unwrap());
        (url, map)
    }
}

fn answered(status: u16, headers: HeaderMap, body: Vec<u8>) -> Answer {
    let code = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    Answer { status, code, headers, body }
}
