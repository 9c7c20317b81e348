//! The control socket: a Unix socket in the data folder by which an operator on the machine reaches the running
//! service, for what the protocol has no operation. Whoever may write in the folder may use it, and no one else.
//!
//! It speaks HTTP: `GET /stats`, `POST /backup`, which streams a backup, and `POST /check`, which streams lines of JSON.
//!
//! * [`client`]: the other end. [`access`]: a store's folder, by the service that has it open or by itself.

pub mod access;
pub mod client;

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use welkin_storage::check::{Checked, Finding};
use welkin_storage::{EngineError, Storage};
use welkin_store::StoreStats;
use welkin_transport::{Body, json, stream, text};

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "control.sock";
/// A client that sends no request for this long is given up.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Pieces of a backup or findings that wait for a slow reader.
const WAITING_PIECES: usize = 4;

/// Figures of a storage service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How long the service has been running; none when it does not run.
    pub uptime_s: Option<u64>,
    /// Storage accounts.
    pub accounts: u64,
    /// What the store counts since it was opened, and its sizes.
    pub store: StoreStats,
}

/// A line of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Finding(Finding),
    Done(Checked),
    Failed(String),
}

/// The socket, not answering yet.
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

/// Makes the socket in a folder that this process has locked, in place of one that a crash left.
pub(crate) fn bind(folder: &Path) -> io::Result<Control> {
    let path = folder.join(SOCKET_FILE);
    // Nobody connects before it has its mode and its name.
    let unnamed = folder.join("control.new");
    match std::fs::remove_file(&unnamed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unnamed)?;
    std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unnamed, &path)?;
    Ok(Control { listener, path })
}

impl Control {
    /// Answers until `ended` says true; what is under way then ends there.
    pub(crate) async fn serve(self, storage: Storage, mut ended: watch::Receiver<bool>) {
        let started = Instant::now();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = ended.wait_for(|ended| *ended) => break,
            };
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let storage = storage.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let storage = storage.clone();
                    async move { Ok::<_, Infallible>(answer(&storage, started, &request).await) }
                });
                let served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = served.await {
                    tracing::debug!(%error, "a client of the control socket went away");
                }
            });
        }
        connections.shutdown().await;
        // The next start does so too.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(storage: &Storage, started: Instant, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    tracing::info!(method = %request.method(), path, "control");
    match (request.method(), path) {
        (&Method::GET, "/stats") => match stats(storage, Some(started)).await {
            Ok(stats) => json(StatusCode::OK, &stats),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        (&Method::POST, "/backup") => backup(storage.clone()).await,
        (&Method::POST, "/check") => check(storage.clone()),
        _ => text(StatusCode::NOT_FOUND, "there is no such call"),
    }
}

pub(crate) async fn stats(storage: &Storage, started: Option<Instant>) -> Result<Stats, EngineError> {
    let accounts = storage.accounts().await?.len() as u64;
    let uptime_s = started.map(|started| started.elapsed().as_secs());
    Ok(Stats { uptime_s, accounts, store: storage.store().stats() })
}

async fn backup(storage: Storage) -> Response<Body> {
    let snapshot = match storage.store().snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    tokio::spawn(async move {
        match storage.store().backup(&snapshot, SystemTime::now(), &sender).await {
            Ok(totals) => tracing::info!(?totals, "a backup was taken"),
            Err(error) => tracing::error!(%error, "a backup could not be taken"),
        }
    });
    streamed(receiver)
}

fn check(storage: Storage) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    tokio::spawn(async move {
        let (report, mut findings) = mpsc::channel(WAITING_PIECES);
        let tell = async {
            while let Some(finding) = findings.recv().await {
                if sender.send(line(&Line::Finding(finding))).await.is_err() {
                    break;
                }
            }
            // Whoever went away is not reported to: the check ends.
            drop(findings);
        };
        let (checked, ()) = tokio::join!(storage.check(report), tell);
        let last = match checked {
            Ok(checked) => Line::Done(checked),
            Err(error) => Line::Failed(error.to_string()),
        };
        // Nobody may wait for it any more.
        let _ = sender.send(line(&last)).await;
    });
    streamed(receiver)
}

fn line(line: &Line) -> Bytes {
    // Plain values always can be written.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

fn streamed(mut receiver: mpsc::Receiver<Bytes>) -> Response<Body> {
    let pieces =
        futures_util::stream::poll_fn(move |context| receiver.poll_recv(context).map(|next| next.map(Ok)));
    Response::new(stream(pieces))
}
