//! The server's side.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use welkin_pki::PeerCertificate;

use crate::body::Body;
use crate::bucket::Rate;
use crate::handshakes::Handshakes;
use crate::seat::{Seat, Seats};
use crate::{CONNECTIONS_MAX, HANDSHAKE_TIMEOUT_MS};

/// A head must arrive within this time, or the connection is closed: slow clients hold nothing.
const HEAD_TIMEOUT_MS: u64 = 15_000;
/// A head in bytes, at most. Clients send some hundred.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// At shutdown, calls that run get this long to end.
const DRAIN_TIMEOUT_MS: u64 = 10_000;
/// After a failed accept (too many open files) the server breathes before it tries again.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Who calls.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The peer's address.
    pub address: SocketAddr,
    /// The certificate that it showed and whose key it proved.
    pub certificate: Option<PeerCertificate>,
}

/// How many a server lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Connections at once. When there are more, those without a call in hand give way to newcomers.
    pub connections_max: usize,
    /// Connections that one address begins; a network of 64 bits counts as one. Without it, as many as it likes.
    pub handshakes: Option<Rate>,
}

/// Serves up to [`CONNECTIONS_MAX`] connections until `shutdown` resolves, then lets running calls end.
pub async fn serve<H, F>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    handler: H,
    shutdown: impl Future<Output = ()>,
) where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let room = Room { connections_max: CONNECTIONS_MAX, handshakes: None };
    serve_many(listener, tls, room, handler, shutdown).await;
}

/// Serves as many as there is room for until `shutdown` resolves, then lets running calls end.
pub async fn serve_many<H, F>(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    room: Room,
    handler: H,
    shutdown: impl Future<Output = ()>,
) where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(tls);
    let seats = Seats::new(room.connections_max);
    let mut handshakes = room.handshakes.map(Handshakes::new);
    let (drain, draining) = tokio::sync::watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            loop {
                let (stream, address) = listener.accept().await?;
                let handshakes = handshakes.as_mut();
                if handshakes.is_none_or(|all| all.may_begin(address.ip(), Instant::now())) {
                    let taken = seats.take(address.ip()).await;
                    return Ok::<_, std::io::Error>(((stream, address), taken));
                }
                tracing::debug!(%address, "the address begins too many connections");
            }
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok(((stream, address), taken)) => {
                let seat = Arc::clone(&taken.seat);
                let connection = connection(
                    acceptor.clone(),
                    stream,
                    address,
                    Arc::clone(&seat),
                    handler.clone(),
                    draining.clone(),
                );
                tokio::spawn(async move {
                    tokio::select! {
                        () = connection => {}
                        () = seat.must_leave() => tracing::debug!(%address, "an idle connection gives way"),
                    }
                    drop(taken);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
    drop(draining);
    drop(listener);
    let _ = drain.send(());
    if tokio::time::timeout(Duration::from_millis(DRAIN_TIMEOUT_MS), drain.closed()).await.is_err() {
        tracing::warn!("calls were still running when the service stopped");
    }
}

async fn connection<H, F>(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    seat: Arc<Seat>,
    handler: H,
    mut draining: tokio::sync::watch::Receiver<()>,
) where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let handshake =
        tokio::time::timeout(Duration::from_millis(HANDSHAKE_TIMEOUT_MS), acceptor.accept(stream));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "handshake refused"),
        Err(_) => return tracing::debug!(%address, "handshake took too long"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = Peer {
        address,
        certificate: certificate.map(|der| PeerCertificate::from_der(der.as_ref().to_vec())),
    };
    let service = service_fn(move |request| {
        let (answer, in_hand) = (handler(peer.clone(), request), seat.begin());
        async move {
            let answer = answer.await;
            drop(in_hand);
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_TIMEOUT_MS))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        _ = draining.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection broke");
    }
}
