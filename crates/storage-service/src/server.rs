//! Connections: accepted, served with keep-alive, and ended gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::dispatch::FrontEnd;

/// A request's head must be complete this soon after it began, or after the connection became idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(120);
/// A connection buffers at most this much: heads may have 8 KiB of metadata and long signatures.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Connections of one listener at a time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 4096;
/// A TLS handshake is done within this time.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// After the end is asked for, requests in flight have this long.
const GRACE: Duration = Duration::from_secs(20);
/// A listener that cannot accept (no file descriptors left) tries again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one listener until `ended` says true, then finishes what is in flight.
///
/// Over TLS when there is a certificate.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    front_end: FrontEnd,
    mut ended: watch::Receiver<bool>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let front_end = Arc::new(front_end);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        let Some((stream, peer, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connected = front_end.metrics.connection(front_end.service);
        let (front_end, acceptor, watcher) = (front_end.clone(), acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            match acceptor {
                None => connection(stream, peer, front_end, watcher).await,
                Some(acceptor) => secured(acceptor, stream, peer, front_end, watcher).await,
            }
            drop((place, connected));
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight at the end");
    }
}

/// Shakes hands, which is not the listener's to wait for, and serves. Who speaks plain HTTP is told so.
async fn secured(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    front_end: Arc<FrontEnd>,
    watcher: Watcher,
) {
    let hands = async {
        match is_plain(&stream).await? {
            true => Ok(Hands::Plain(stream)),
            false => acceptor.accept(stream).await.map(|stream| Hands::Shaken(Box::new(stream))),
        }
    };
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, hands).await {
        Ok(Ok(Hands::Shaken(stream))) => connection(stream, peer, front_end, watcher).await,
        Ok(Ok(Hands::Plain(stream))) => {
            let refusing = FrontEnd { plain_at_https: true, ..(*front_end).clone() };
            connection(stream, peer, Arc::new(refusing), watcher).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
        Err(_) => tracing::debug!(%peer, "a handshake took too long"),
    }
}

/// How a connection to an address of HTTPS begins.
enum Hands {
    Shaken(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// Whether the client begins with a method, not with a handshake.
async fn is_plain(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    front_end: Arc<FrontEnd>,
    watcher: Watcher,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let front_end = front_end.clone();
        async move { Ok::<_, Infallible>(front_end.answer(peer, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(%peer, %error, "a connection ended with an error");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            None
        }
    }
}
