//! A storage service for tests: its administration over mutual TLS, and an HTTP endpoint with blobs to fetch.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use welkin_pki::{ClientAuth, Identity, Thumbprint, server_config};
use welkin_storage_wire::admin::AccountKeys;
use welkin_transport::{Body, empty, json, serve};

use crate::fabric::Trap;
use crate::rig::base64;

/// The bytes of the public blob `/public/c/p.cspkg`, of the same blob of every account that management makes, and
/// of `/signed/c/p.cspkg?sig=right`.
pub const PACKAGE: &[u8] = b"a service package, as far as management can tell";

/// The bytes of `p2.cspkg` beside it.
pub const PACKAGE_2: &[u8] = b"another package";

/// The storage service.
pub struct TestStorage {
    /// Where its administration is.
    pub address: SocketAddr,
    /// Its certificate.
    pub thumbprint: Thumbprint,
    /// Where its blobs are.
    pub blob_endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, AccountKeys>,
    keys_made: u32,
    /// Answers 503 to everything.
    silent: bool,
    /// What becomes of the next account that is made, changed or deleted.
    trap: Option<Trap>,
    /// Blobs that were written, by path.
    written: BTreeMap<String, Bytes>,
    /// Blocks that are in no blob yet, by path and id.
    blocks: BTreeMap<(String, String), Bytes>,
}

impl State {
    fn new_key(&mut self) -> String {
        self.keys_made += 1;
        base64(&format!("{:064}", self.keys_made))
    }
}

impl TestStorage {
    /// Serves whoever has the certificate `client`, and blobs to everybody.
    pub fn start(runtime: &Handle, client: Thumbprint) -> Self {
        let identity = Identity::self_signed("storage").unwrap();
        let tls = server_config(&identity, ClientAuth::Pinned(vec![client])).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let handler = move |_, request: Request<Incoming>| {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let shared = Arc::clone(&shared);
            async move { administer_or_not(&shared, &method, &path).await }
        };
        runtime.spawn(async move { serve(listener, tls, handler, std::future::pending()).await });
        let blobs = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let blob_endpoint = format!("http://{}", blobs.local_addr().unwrap());
        runtime.spawn(serve_blobs(blobs, Arc::clone(&state)));
        Self { address, thumbprint: identity.thumbprint(), blob_endpoint, state }
    }

    /// From now on its administration answers that it cannot, or answers again.
    pub fn set_silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    /// What becomes of the next account that is made or deleted.
    pub fn set_trap(&self, trap: Trap) {
        self.state.lock().unwrap().trap = Some(trap);
    }

    /// Whether something fell into the trap.
    pub fn is_caught(&self) -> bool {
        self.state.lock().unwrap().trap.is_none()
    }

    /// Names of the accounts that there are.
    pub fn accounts(&self) -> Vec<String> {
        self.state.lock().unwrap().accounts.keys().cloned().collect()
    }

    /// A blob that was written.
    pub fn written(&self, path: &str) -> Option<Bytes> {
        self.state.lock().unwrap().written.get(path).cloned()
    }

    /// Paths of the blobs that were written and are there.
    pub fn blobs(&self) -> Vec<String> {
        self.state.lock().unwrap().written.keys().cloned().collect()
    }

    /// Makes an account that management does not know.
    pub fn make_foreign(&self, name: &str) {
        administer(&mut self.state.lock().unwrap(), &Method::PUT, &format!("/v1/accounts/{name}"));
    }
}

async fn administer_or_not(state: &Mutex<State>, method: &Method, path: &str) -> Response<Body> {
    let changes = *method != Method::GET;
    let trap = if changes { state.lock().unwrap().trap.take() } else { None };
    match trap {
        Some(Trap::Fails) => return empty(StatusCode::SERVICE_UNAVAILABLE),
        Some(Trap::Refused) => return empty(StatusCode::BAD_REQUEST),
        Some(Trap::EndsBefore) => return std::future::pending().await,
        _ => {}
    }
    let answer = administer(&mut state.lock().unwrap(), method, path);
    match trap {
        Some(Trap::Lost) => empty(StatusCode::SERVICE_UNAVAILABLE),
        Some(Trap::EndsAfter) => std::future::pending().await,
        _ => answer,
    }
}

fn administer(state: &mut State, method: &Method, path: &str) -> Response<Body> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(2).collect();
    if state.silent {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    match (method, parts.as_slice()) {
        (&Method::PUT, [name]) if state.accounts.contains_key(*name) => empty(StatusCode::CONFLICT),
        (&Method::PUT, [name]) => {
            let keys = AccountKeys { primary: state.new_key(), secondary: state.new_key() };
            let answer = json(StatusCode::CREATED, &keys);
            state.accounts.insert((*name).to_owned(), keys);
            answer
        }
        (&Method::DELETE, [name]) => match state.accounts.remove(*name) {
            Some(_) => empty(StatusCode::NO_CONTENT),
            None => empty(StatusCode::NOT_FOUND),
        },
        (&Method::GET, [name, "keys"]) => match state.accounts.get(*name) {
            Some(keys) => json(StatusCode::OK, keys),
            None => empty(StatusCode::NOT_FOUND),
        },
        (&Method::POST, [name, "keys", which]) => {
            let key = state.new_key();
            let Some(keys) = state.accounts.get_mut(*name) else { return empty(StatusCode::NOT_FOUND) };
            let changed = if *which == "primary" { &mut keys.primary } else { &mut keys.secondary };
            *changed = key;
            json(StatusCode::OK, keys)
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

async fn serve_blobs(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&state);
            async move {
                let answer = match *request.method() {
                    Method::PUT => write_blob(&state, request).await,
                    Method::DELETE => delete_blob(&state, &request),
                    _ => blob(&state.lock().unwrap(), &request),
                };
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Takes a blob of the account's owner, unless it is there and may not be.
async fn write_blob(state: &Mutex<State>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let bytes = welkin_transport::read_body(body, 1 << 20).await.unwrap();
    let account = path.split('/').nth(1).unwrap().to_owned();
    let mut state = state.lock().unwrap();
    let authorization = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let by_owner = state.accounts.contains_key(&account)
        && authorization.is_some_and(|value| value.starts_with(&format!("SharedKey {account}:")));
    let status = match by_owner {
        false => 403,
        true if head.headers.contains_key("if-none-match") && state.written.contains_key(&path) => 409,
        true => {
            state.write(path, head.uri.query().unwrap_or(""), bytes);
            201
        }
    };
    Response::builder().status(status).body(Full::default()).unwrap()
}

impl State {
    /// A blob, one block of it, or the list of its blocks.
    fn write(&mut self, path: String, query: &str, bytes: Bytes) {
        if let Some(id) = query.strip_prefix("comp=block&blockid=") {
            self.blocks.insert((path, id.to_owned()), bytes);
        } else if query == "comp=blocklist" {
            let list = String::from_utf8(bytes.to_vec()).unwrap();
            let ids = list.split("<Latest>").skip(1).map(|part| part.split_once('<').unwrap().0.to_owned());
            let blocks = ids.map(|id| self.blocks.remove(&(path.clone(), id)).unwrap());
            let whole = blocks.collect::<Vec<_>>().concat();
            self.written.insert(path, whole.into());
        } else if query != "restype=container" {
            self.written.insert(path, bytes);
        }
    }
}

fn delete_blob(state: &Mutex<State>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let removed = state.lock().unwrap().written.remove(request.uri().path());
    Response::builder().status(if removed.is_some() { 202 } else { 404 }).body(Full::default()).unwrap()
}

fn blob(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let account = request.uri().path().split('/').nth(1).unwrap();
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let by_owner = state.accounts.contains_key(account)
        && authorization.is_some_and(|value| value.starts_with(&format!("SharedKey {account}:")));
    let by_signature = account == "signed" && request.uri().query() == Some("sv=1&sig=right");
    if let Some(bytes) = state.written.get(request.uri().path()).filter(|_| by_owner) {
        return Response::new(Full::new(bytes.clone()));
    }
    let name = request.uri().path().strip_prefix(&format!("/{account}/c/"));
    let found = matches!(name, Some("p.cspkg" | "p2.cspkg"));
    let (status, bytes) = match (account == "public" || by_owner || by_signature, found) {
        (true, true) => (200, if name == Some("p.cspkg") { PACKAGE } else { PACKAGE_2 }),
        (true, false) => (404, &b""[..]),
        (false, _) => (403, &b""[..]),
    };
    Response::builder().status(status).body(Full::new(Bytes::from_static(bytes))).unwrap()
}
