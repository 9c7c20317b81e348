//! A storage service in a process of its own, and signed requests to it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, Method, Request, Uri};
use tempfile::TempDir;
use welkin_base::Timestamp;
use welkin_storage_service::{DEV_ACCOUNT, DEV_KEY};
use welkin_storage_wire::operation::Service;
use welkin_storage_wire::queue::message::http_date;
use welkin_storage_wire::shared_key::{self, AccountKey};

/// The service starts, and answers, within this time, unless it never does.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The version of the protocol that the clients speak.
const VERSION: &str = "2021-10-04";
/// More than any answer has.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// A running service and its data.
pub struct Server {
    child: Child,
    folder: TempDir,
    addresses: [SocketAddr; 3],
}

impl Server {
    /// Starts it on free ports, over an empty folder.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // All three are taken before any is given back, so that they differ.
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.map(|listener| listener.local_addr().unwrap());
        let child = spawn(&folder, addresses);
        let mut server = Self { child, folder, addresses };
        server.wait();
        server
    }

    /// Ends the process as a crash would (SIGKILL), in the middle of whatever it does. It is dead afterwards.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, over the same data and at the same addresses.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder, self.addresses);
        self.wait();
    }

    /// Starts it again, and kills it after a time in which it may not even have read its log.
    pub fn restart_in_vain(&mut self, after: Duration) {
        self.child = spawn(&self.folder, self.addresses);
        std::thread::sleep(after);
        self.kill();
    }

    /// A client with a connection of its own to each of the three services.
    pub fn client(&self) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_idle_connections_per_host(1)
            .proxy(None)
            .build();
        let key = AccountKey::from_base64(DEV_KEY).unwrap();
        Client { agent: config.into(), addresses: self.addresses, key, unanswered: AtomicBool::new(false) }
    }

    fn wait(&mut self) {
        let end = Instant::now() + LIMIT;
        while !self.addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            assert!(self.child.try_wait().unwrap().is_none(), "the storage service ended");
            assert!(Instant::now() < end, "the storage service does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, addresses: [SocketAddr; 3]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_storage-server"))
        .arg(folder.path().join("data"))
        .args(addresses.map(|address| address.to_string()))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The error code, or nothing.
    pub fn code(&self) -> &str {
        self.header("x-ms-error-code")
    }

    /// The texts of all elements of this name in a body of XML.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(self.body.trim_start_matches('\u{feff}')).unwrap();
        let nodes = document.descendants().filter(|node| node.tag_name().name() == name);
        nodes.map(|node| node.text().unwrap_or("").to_owned()).collect()
    }
}

/// Sends signed requests of the development account. It sends none twice.
pub struct Client {
    agent: ureq::Agent,
    addresses: [SocketAddr; 3],
    key: AccountKey,
    unanswered: AtomicBool,
}

impl Client {
    /// Whether a request since the last question had no answer.
    pub fn was_unanswered(&self) -> bool {
        self.unanswered.swap(false, Ordering::Relaxed)
    }

    /// Sends a request; `None` when no answer came, or not all of it.
    pub fn send(
        &self,
        service: Service,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let answer = self.try_send(service, method, target, headers, body);
        self.unanswered.fetch_or(answer.is_none(), Ordering::Relaxed);
        if let Some(answer) = &answer {
            assert!(answer.status < 500, "{method} {target}: {answer:?}");
        }
        answer
    }

    fn try_send(
        &self,
        service: Service,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Answer> {
        let address = self.addresses[match service {
            Service::Blob => 0,
            Service::Queue => 1,
            Service::Table => 2,
        }];
        let url: Uri = format!("http://{address}/{DEV_ACCOUNT}{target}").parse().unwrap();
        let method: Method = method.parse().unwrap();
        let headers = self.signed(service, &method, &url, headers, body.len());
        let mut request = Request::builder().method(method.clone()).uri(url).body(body.to_owned()).unwrap();
        *request.headers_mut() = headers;
        let answer = match method {
            // These say nothing of a body, not even that it is empty.
            Method::GET | Method::DELETE => self.agent.run(request.map(|_| ())),
            _ => self.agent.run(request),
        };
        let (head, mut body) = answer.ok()?.into_parts();
        let body = body.with_config().limit(BODY_BYTES_MAX).read_to_vec().ok()?;
        let body = String::from_utf8(body).unwrap();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    fn signed(
        &self,
        service: Service,
        method: &Method,
        url: &Uri,
        headers: &[(&str, &str)],
        length_bytes: usize,
    ) -> HeaderMap {
        let mut map: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let now = http_date(Timestamp::from(SystemTime::now()));
        map.insert("x-ms-date", now.parse().unwrap());
        map.insert("x-ms-version", VERSION.parse().unwrap());
        if length_bytes > 0 {
            map.insert("content-length", length_bytes.into());
            let octets = || "application/octet-stream".parse().unwrap();
            map.entry("content-type").or_insert_with(octets);
        }
        let value = shared_key::authorize(DEV_ACCOUNT, &self.key, service, method, url, &map).unwrap();
        map.insert("authorization", value.parse().unwrap());
        map
    }
}

/// A value as it stands in a query.
pub fn encoded(text: &str) -> String {
    text.replace('%', "%25").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
