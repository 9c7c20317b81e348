//! Calls of etcd's gateway: to one member after another, as long as that is safe.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};
use welkin_pki::{Identity, PkiError, ServerAuth, client_config};
use welkin_transport::{CallError, Client, full, read_body};

use crate::error::StoreError;
use crate::etcd::EtcdMember;
use crate::etcd::wire::Failure;

/// A member that has not answered for so long is left for the next. Under load a write takes 0.2 s at the 99th
/// percentile; an election of etcd's own takes 1 to 2.6 s, during which every member waits.
const TRY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The rest of an answer that has begun, which may be long.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A member that is there takes a connection within this.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// A call that may be sent again is given up after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);
/// A commit is waited for so long: it is not sent again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(4);
/// When no member answers, so long is waited before all are asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// An answer in bytes, at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Statuses of gRPC that say that the member cannot answer now: `Canceled`, `DeadlineExceeded` and `Unavailable`.
const NOT_NOW: [u32; 3] = [1, 4, 14];
/// `ResourceExhausted`: the database has no space left, or the request is too large.
const EXHAUSTED: u32 = 8;

/// The members, and which of them answered last.
#[derive(Debug)]
pub(crate) struct Members {
    clients: Vec<Client>,
    preferred: AtomicUsize,
}

/// Why a member gave no answer.
pub(crate) enum NoAnswer {
    /// Another may, or this one later.
    NotNow(String),
    /// The answer is longer than is taken.
    TooLarge,
    /// No member will.
    Refused(StoreError),
}

impl From<NoAnswer> for StoreError {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::NotNow(why) => Self::Unavailable(why),
            NoAnswer::TooLarge => Self::TooLarge {
                what: "an answer of etcd",
                length_bytes: ANSWER_BYTES_MAX as u64 + 1,
                length_bytes_max: ANSWER_BYTES_MAX as u64,
            },
            NoAnswer::Refused(error) => error,
        }
    }
}

impl Members {
    pub fn new(members: &[EtcdMember], identity: &Identity) -> Result<Self, PkiError> {
        let client = |member: &EtcdMember| {
            let tls = client_config(Some(identity), ServerAuth::Pinned(member.thumbprint))?;
            Ok(Client::new(member.address, tls))
        };
        let clients = members.iter().map(client).collect::<Result<_, PkiError>>()?;
        Ok(Self { clients, preferred: AtomicUsize::new(0) })
    }

    /// A call that may happen twice: members are asked in turn until one answers or it takes too long.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, NoAnswer> {
        let body = encode(question)?;
        let until = Instant::now() + CALL_TIMEOUT;
        let mut why = "no member is configured".to_owned();
        loop {
            for _ in &self.clients {
                match self.within(TRY_TIMEOUT, self.preferred(), path, body.clone()).await {
                    Err(NoAnswer::NotNow(reason)) => why = reason,
                    other => return other,
                }
                self.prefer_next();
                if Instant::now() >= until {
                    return Err(NoAnswer::NotNow(why));
                }
            }
            if self.clients.is_empty() {
                return Err(NoAnswer::NotNow(why));
            }
            sleep(PAUSE).await;
        }
    }

    /// A call that must not happen twice: it is sent to the first member that takes a connection, and not again.
    pub async fn ask_once<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, NoAnswer> {
        let body = encode(question)?;
        let mut why = "no member is configured".to_owned();
        for _ in &self.clients {
            let member = self.preferred();
            match timeout(CONNECT_TIMEOUT, member.connect()).await {
                Ok(Ok(())) => {
                    let answer = self.within(COMMIT_TIMEOUT, member, path, body).await;
                    if matches!(answer, Err(NoAnswer::NotNow(_))) {
                        self.prefer_next();
                    }
                    return answer;
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = format!("{} takes no connection", member.address()),
            }
            self.prefer_next();
        }
        Err(NoAnswer::NotNow(why))
    }

    fn preferred(&self) -> &Client {
        let index = self.preferred.load(Ordering::Relaxed) % self.clients.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
        &self.clients[index]
    }

    fn prefer_next(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    async fn within<A: DeserializeOwned>(
        &self,
        limit: Duration,
        member: &Client,
        path: &str,
        body: Vec<u8>,
    ) -> Result<A, NoAnswer> {
        let late = |_| NoAnswer::NotNow(format!("{} did not answer in time", member.address()));
        let sent =
            timeout(limit, Box::pin(member.send(Method::POST, path, full(body)))).await.map_err(late)?;
        let response = sent.map_err(|error| NoAnswer::NotNow(error.to_string()))?;
        timeout(BODY_TIMEOUT, Box::pin(read(member, response))).await.map_err(late)?
    }
}

fn encode<Q: Serialize>(question: &Q) -> Result<Vec<u8>, NoAnswer> {
    serde_json::to_vec(question).map_err(|error| NoAnswer::Refused(StoreError::Etcd(error.to_string())))
}

async fn read<A: DeserializeOwned>(member: &Client, response: Response<Incoming>) -> Result<A, NoAnswer> {
    let status = response.status();
    let bytes = read_body(response.into_body(), ANSWER_BYTES_MAX).await.map_err(|error| match error {
        welkin_transport::BodyError::TooLarge { .. } => NoAnswer::TooLarge,
        other => NoAnswer::NotNow(other.to_string()),
    })?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&bytes)
            .map_err(|error| refused(CallError::Malformed(error.to_string())));
    }
    match serde_json::from_slice::<Failure>(&bytes) {
        Ok(failure) if NOT_NOW.contains(&failure.code) => {
            Err(NoAnswer::NotNow(format!("{}: {}", member.address(), failure.error)))
        }
        Ok(failure) if failure.code == EXHAUSTED && failure.error.contains("space") => {
            Err(NoAnswer::Refused(StoreError::Full))
        }
        Ok(failure) => Err(refused(failure.error)),
        Err(_) if status.is_server_error() => {
            Err(NoAnswer::NotNow(format!("{}: {status}", member.address())))
        }
        Err(_) => Err(refused(status)),
    }
}

fn refused(why: impl std::fmt::Display) -> NoAnswer {
    NoAnswer::Refused(StoreError::Etcd(why.to_string()))
}
