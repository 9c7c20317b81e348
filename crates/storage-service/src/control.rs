//! The control socket: a Unix socket in the data folder by which an operator on the machine reaches the running
//! service, for what the protocol has no operation. Whoever may write in the folder may use it, and no one else.
//!
//! It speaks HTTP: `GET /stats`, `POST /backup`, which streams a backup, and `POST /check`, which streams lines of JSON.
//!
//! * [`client`]: the other end. [`access`]: a store's folder, by the service that has it open or by itself.

pub mod access;
pub mod client;

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use welkin_storage::check::{Checked, Finding};
use welkin_storage::{EngineError, Storage};
use welkin_store::StoreStats;
use welkin_transport::control::ControlSocket;
use welkin_transport::{Body, json, stream, text};

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

/// Answers at the socket until `ended` says true; what is under way then ends there.
pub(crate) async fn serve(socket: ControlSocket, storage: Storage, mut ended: watch::Receiver<bool>) {
    let started = Instant::now();
    let handler = move |request| {
        let storage = storage.clone();
        async move { answer(&storage, started, &request).await }
    };
    let ended = async move { drop(ended.wait_for(|ended| *ended).await) };
    socket.serve(handler, ended).await;
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
