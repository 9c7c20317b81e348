//! Asking an instance what its goal has it asked, in place of the load balancers. The instance is hostile: what it answers
//! is bounded in length and time, and nothing of it is kept but yes or no.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use welkin_agent_wire::{ProbeGoal, ProbeKind};
use welkin_node::probe::answer_ms;
use welkin_node::{Answer, Answers};

use crate::shared::{Clock, Shared};

/// The head of an answer, in bytes, at most: hyper's least.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How the classic load balancer names itself to instances.
const USER_AGENT: &str = "Load Balancer Agent";

/// The probes of one VM. Dropping it ends them.
#[derive(Debug)]
pub struct Probes {
    address: Option<Ipv4Addr>,
    tasks: BTreeMap<ProbeGoal, JoinHandle<()>>,
    answers: Arc<Mutex<BTreeMap<ProbeGoal, Answers>>>,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

impl Probes {
    /// Nothing is asked yet.
    pub fn new(clock: Clock, shared: Arc<Shared>) -> Self {
        Self { address: None, tasks: BTreeMap::new(), answers: Arc::default(), clock, shared }
    }

    /// Has the instance at `address` asked these, and nothing else.
    pub fn ask(&mut self, address: Ipv4Addr, wanted: &[ProbeGoal]) {
        if self.address != Some(address) {
            self.tasks.values().for_each(JoinHandle::abort);
            self.tasks.clear();
            self.address = Some(address);
        }
        self.tasks.retain(|probe, task| {
            let stays = wanted.contains(probe);
            if !stays {
                task.abort();
            }
            stays
        });
        lock(&self.answers).retain(|probe, _| wanted.contains(probe));
        for probe in wanted {
            if !self.tasks.contains_key(probe) {
                let (answers, shared) = (Arc::clone(&self.answers), Arc::clone(&self.shared));
                let asking = keep_asking(address, probe.clone(), answers, self.clock, shared);
                self.tasks.insert(probe.clone(), tokio::spawn(asking));
            }
        }
    }

    /// What the instance answered so far.
    pub fn answers(&self) -> BTreeMap<ProbeGoal, Answers> {
        lock(&self.answers).clone()
    }
}

async fn keep_asking(
    address: Ipv4Addr,
    probe: ProbeGoal,
    answers: Arc<Mutex<BTreeMap<ProbeGoal, Answers>>>,
    clock: Clock,
    shared: Arc<Shared>,
) {
    loop {
        let begin = Instant::now();
        let answer = ask(SocketAddr::from((address, probe.port)), &probe).await;
        let now_ms = clock.now_ms();
        let (before, after, interval_ms) = {
            let mut answers = lock(&answers);
            let held = answers.entry(probe.clone()).or_default();
            let before = held.passes(&probe, now_ms);
            held.note(answer, now_ms);
            (before, held.passes(&probe, now_ms), held.interval_ms(&probe))
        };
        if before != after {
            tracing::info!(%address, probe = probe.name, passes = after, "a probe has another answer");
            shared.wake.notify_one();
        }
        sleep_until(begin + Duration::from_millis(interval_ms)).await;
    }
}

/// Asks once.
async fn ask(to: SocketAddr, probe: &ProbeGoal) -> Answer {
    let asked = async {
        match TcpStream::connect(to).await {
            Ok(stream) => match &probe.kind {
                ProbeKind::Tcp => Answer::Yes,
                ProbeKind::Http { path } => get(stream, to, path).await,
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Answer::No,
            // Nothing is known of the instance: it may have no address yet.
            Err(_) => Answer::Silent,
        }
    };
    timeout(Duration::from_millis(answer_ms(probe)), asked).await.unwrap_or(Answer::Silent)
}

/// Whether `GET` of the path has status 200. What breaks off, or is no HTTP, is an answer other than 200.
async fn get(stream: TcpStream, to: SocketAddr, path: &str) -> Answer {
    let request = Request::get(path)
        .header(header::HOST, to.to_string())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return Answer::No };
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return Answer::No };
    let answered = sender.send_request(request);
    tokio::pin!(answered);
    // Once the head is there, what drives the connection is dropped with it: the body is not read.
    let response = tokio::select! {
        biased;
        response = &mut answered => response,
        // It ended, perhaps with an answer just before.
        _ = connection => answered.await,
    };
    match response {
        Ok(response) if response.status() == StatusCode::OK => Answer::Yes,
        _ => Answer::No,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn http(path: &str) -> ProbeKind {
        ProbeKind::Http { path: path.to_owned() }
    }

    /// What an instance that says `said` to whoever connects, or nothing, is taken to mean within a second.
    async fn check(kind: ProbeKind, said: Option<Vec<u8>>, expected: Answer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let serve = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let said = said.clone();
                tokio::spawn(async move {
                    let mut heard = [0; 1024];
                    let read = stream.read(&mut heard).await.unwrap();
                    assert!(heard[..read].starts_with(b"GET /live?x=1 HTTP/1.1\r\n") || read == 0);
                    match said {
                        Some(said) => drop(stream.write_all(&said).await),
                        None => std::future::pending().await,
                    }
                });
            }
        });
        let probe = ProbeGoal {
            name: "live:1".into(),
            kind,
            port: to.port(),
            interval_seconds: 1,
            timeout_seconds: 11,
        };
        assert_eq!(ask(to, &probe).await, expected, "{probe:?}");
        serve.abort();
    }

    #[tokio::test]
    async fn answers_of_instances() {
        let live = || http("/live?x=1");
        let said = |text: &str| Some(text.as_bytes().to_vec());
        check(live(), said("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Answer::Yes).await;
        check(live(), said("HTTP/1.0 200 fine\r\n\r\nany body"), Answer::Yes).await;
        // A body without end is not waited for.
        check(live(), said("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"), Answer::Yes).await;
        check(live(), said("HTTP/1.1 204 No Content\r\n\r\n"), Answer::No).await;
        check(live(), said("HTTP/1.1 503 busy\r\nContent-Length: 0\r\n\r\n"), Answer::No).await;
        check(live(), said("HTTP/1.1 301 away\r\nLocation: /\r\n\r\n"), Answer::No).await;
        check(live(), said("SSH-2.0-OpenSSH\r\n"), Answer::No).await;
        check(live(), said(""), Answer::No).await;
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        check(live(), said(&long), Answer::No).await;
        check(live(), None, Answer::Silent).await;
        check(ProbeKind::Tcp, None, Answer::Yes).await;
    }

    #[tokio::test]
    async fn nobody_listens() {
        let to = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for kind in [ProbeKind::Tcp, http("/")] {
            let probe =
                ProbeGoal { name: "a:1".into(), kind, port: 1, interval_seconds: 5, timeout_seconds: 11 };
            assert_eq!(ask(to, &probe).await, Answer::No);
        }
    }
}
