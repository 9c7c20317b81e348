//! Which replica of the FC leads, and calls of it that go on when another comes to lead.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::io::ReaderStream;
use welkin_fabric_wire::ControllerStatus;
use welkin_transport::{Body, CallError, Client, full, stream};

use crate::failure::Failure;

/// A replica that has not said by then who leads is left for the next.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// So long one that leads is looked for: longer than a failover takes, most of which is the lease (3 s).
const FIND_TIMEOUT: Duration = Duration::from_secs(12);
/// When none leads, so long is waited before all are asked again.
const PAUSE: Duration = Duration::from_millis(150);
/// While a call is under way, its replica is asked this often whether it leads.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// So many answers in a row must be missing before the call is given up.
const SILENCES: u32 = 2;
/// What a replica says of itself in bytes, at most.
const STATUS_BYTES_MAX: usize = 16 << 10;
/// Bytes of a file that are read from disk at once.
const PIECE_BYTES: usize = 64 << 10;

/// What is sent, as often as it must be.
#[derive(Debug, Clone)]
pub enum Sent<'a> {
    /// These bytes.
    Bytes(Bytes),
    /// What is in a file.
    File(&'a Path),
}

/// The replicas, and which of them led when one was asked last.
#[derive(Debug, Clone)]
pub struct Replicas {
    clients: Arc<[Client]>,
    leads: Arc<AtomicUsize>,
}

impl Replicas {
    /// Replicas of which none was asked yet.
    pub fn new(clients: Arc<[Client]>) -> Self {
        Self { clients, leads: Arc::default() }
    }

    /// Sends a request to the leader. When that dies on the way the next is asked, unless the request must not come twice.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        sent: Sent<'_>,
    ) -> Result<Response<Incoming>, Failure> {
        let until = Instant::now() + FIND_TIMEOUT;
        loop {
            let leader = self.leader().await.map_err(Failure::Fabric)?;
            let call = leader.send(method.clone(), path, sent.body().await?);
            let answer = tokio::select! {
                answer = Box::pin(call) => answer,
                () = self.silent(leader) => Err(CallError::TimedOut { address: leader.address() }),
            };
            let again = self.clients.len() > 1 && Instant::now() < until;
            match answer {
                Ok(response) if again && response.status() == StatusCode::MISDIRECTED_REQUEST => self.next(),
                Ok(response) if again && response.status() == StatusCode::SERVICE_UNAVAILABLE => self.next(),
                Err(error) if again && method != Method::POST && self.is_elsewhere(&error) => self.next(),
                answer => return answer.map_err(Failure::Fabric),
            }
        }
    }

    /// The replica that leads. The only one is not asked.
    async fn leader(&self) -> Result<&Client, CallError> {
        let until = Instant::now() + FIND_TIMEOUT;
        loop {
            let index = self.leads.load(Ordering::Relaxed);
            let client = self.client(index)?;
            if self.clients.len() == 1 {
                return Ok(client);
            }
            let why = match says(client).await {
                Ok(status) if status.leads => return Ok(client),
                Ok(status) => CallError::Refused {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    message: status.trouble.unwrap_or_else(|| format!("{} does not lead", status.name)),
                },
                Err(error) => error,
            };
            self.next();
            if Instant::now() >= until {
                return Err(why);
            }
            if (index + 1).is_multiple_of(self.clients.len()) {
                sleep(PAUSE).await;
            }
        }
    }

    /// Resolves when a replica no longer leads, or is silent: a call of it would hang until its time is over.
    async fn silent(&self, client: &Client) {
        if self.clients.len() == 1 {
            return std::future::pending().await;
        }
        let mut silences = 0;
        while silences < SILENCES {
            sleep(WATCH_INTERVAL).await;
            let leads = says(client).await.is_ok_and(|status| status.leads);
            silences = if leads { 0 } else { silences + 1 };
        }
    }

    fn client(&self, index: usize) -> Result<&Client, CallError> {
        let count = self.clients.len().max(1);
        let none = || CallError::Malformed("no fabric controller is configured".to_owned());
        self.clients.get(index % count).ok_or_else(none)
    }

    fn next(&self) {
        self.leads.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether another replica may answer what this one did not.
    fn is_elsewhere(&self, error: &CallError) -> bool {
        let status = match error {
            CallError::Unreachable { .. } | CallError::TimedOut { .. } => return self.clients.len() > 1,
            CallError::Refused { status, .. } => *status,
            CallError::TooLarge | CallError::Malformed(_) => return false,
        };
        self.clients.len() > 1
            && matches!(status, StatusCode::MISDIRECTED_REQUEST | StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl Sent<'_> {
    async fn body(&self) -> Result<Body, Failure> {
        match self {
            Self::Bytes(bytes) => Ok(full(bytes.clone())),
            Self::File(path) => {
                let open = tokio::fs::File::open(path).await;
                let file = open.map_err(|source| Failure::File { doing: "read a package", source })?;
                Ok(stream(ReaderStream::with_capacity(file, PIECE_BYTES)))
            }
        }
    }
}

async fn says(client: &Client) -> Result<ControllerStatus, CallError> {
    let asked = client.get_json("/v1/controller", STATUS_BYTES_MAX);
    let late = CallError::TimedOut { address: client.address() };
    timeout(ASK_TIMEOUT, Box::pin(asked)).await.unwrap_or(Err(late))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32};

    use tokio::net::TcpListener;
    use welkin_pki::{ClientAuth, Identity, ServerAuth, client_config, server_config};
    use welkin_transport::{json, serve, text};

    use super::*;

    /// A replica that counts what is asked of it.
    #[derive(Debug, Default)]
    struct Fake {
        leads: AtomicBool,
        /// Calls that it took, and whether it then dies on the way.
        calls: AtomicU32,
        dies: AtomicBool,
    }

    async fn start(fake: &Arc<Fake>) -> Client {
        let identity = Identity::self_signed("fabric").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = server_config(&identity, ClientAuth::Requested).unwrap();
        let fake = Arc::clone(fake);
        let handler = move |_, request: http::Request<Incoming>| {
            let fake = Arc::clone(&fake);
            async move {
                let leads = fake.leads.load(Ordering::Acquire);
                if request.uri().path() == "/v1/controller" {
                    let (name, leader, trouble) = ("fake".to_owned(), None, None);
                    return json(StatusCode::OK, &ControllerStatus { name, leads, leader, trouble });
                }
                fake.calls.fetch_add(1, Ordering::AcqRel);
                if fake.dies.load(Ordering::Acquire) {
                    fake.leads.store(false, Ordering::Release);
                    std::future::pending::<()>().await;
                }
                if leads { text(StatusCode::OK, "done") } else { text(StatusCode::MISDIRECTED_REQUEST, "no") }
            }
        };
        tokio::spawn(serve(listener, tls, handler, std::future::pending()));
        let tls = client_config(None, ServerAuth::Pinned(identity.thumbprint())).unwrap();
        Client::new(address, tls)
    }

    #[tokio::test]
    async fn the_leader_is_asked_whoever_it_is() {
        let fakes: Vec<Arc<Fake>> = (0..3).map(|_| Arc::default()).collect();
        let mut clients = Vec::new();
        for fake in &fakes {
            clients.push(start(fake).await);
        }
        let replicas = Replicas::new(clients.into());
        let call = |method: Method| {
            let replicas = replicas.clone();
            async move { replicas.send(method, "/v1/x", Sent::Bytes(Bytes::new())).await.map(|r| r.status()) }
        };
        for leader in [1, 2, 0] {
            fakes[leader].leads.store(true, Ordering::Release);
            assert_eq!(call(Method::PUT).await.unwrap(), StatusCode::OK);
            assert_eq!(fakes[leader].calls.swap(0, Ordering::AcqRel), 1);
            fakes[leader].leads.store(false, Ordering::Release);
        }
        // It dies with a call in hand: another takes the same, unless it must not come twice.
        for (method, again) in [(Method::PUT, true), (Method::POST, false)] {
            fakes[0].leads.store(true, Ordering::Release);
            fakes[0].dies.store(true, Ordering::Release);
            let follows = async {
                while fakes[0].calls.load(Ordering::Acquire) == 0 {
                    sleep(Duration::from_millis(5)).await;
                }
                fakes[1].leads.store(true, Ordering::Release);
            };
            let (answer, ()) = tokio::join!(call(method), follows);
            assert_eq!(answer.is_ok(), again, "{answer:?}");
            assert_eq!(fakes[1].calls.swap(0, Ordering::AcqRel), u32::from(again));
            fakes[0].calls.store(0, Ordering::Release);
            fakes[1].leads.store(false, Ordering::Release);
        }
    }
}
