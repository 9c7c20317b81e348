//! Connections: accepted, served with keep-alive, and ended gracefully.
//!
//! * [`places`]: how many there are, and which one gives way. [`seat`]: what each is at.
//! * [`paced`]: its bytes under watch. [`answer`]: an answer that says when it ends.

mod answer;
mod paced;
mod places;
mod seat;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Timeouts;
use crate::dispatch::FrontEnd;
use answer::Answer;
use paced::Paced;
pub(crate) use places::Places;
use seat::{InHand, Seat};

/// A connection buffers at most this much: heads may have 8 KiB of metadata and long signatures.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A TLS handshake is done within this time.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// A listener that cannot accept (no file descriptors left) tries again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one listener until `ended` says true, then finishes what is in hand.
///
/// Over TLS when there is a certificate.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    front_end: FrontEnd,
    places: Arc<Places>,
    mut ended: watch::Receiver<bool>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let front_end = Arc::new(front_end);
    let mut connections = JoinSet::new();
    loop {
        // A client is accepted before there is a place for it, so that nobody gives way to no one.
        let accepted = async {
            let (stream, peer) = accept(&listener).await?;
            Some((stream, peer, places.take().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        while connections.try_join_next().is_some() {}
        let Some((stream, peer, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connected = front_end.metrics.connection(front_end.service);
        let (front_end, acceptor) = (front_end.clone(), acceptor.clone());
        connections.spawn(async move {
            match acceptor {
                None => connection(stream, peer, front_end, &place.seat).await,
                Some(acceptor) => secured(acceptor, stream, peer, front_end, &place.seat).await,
            }
            drop((place, connected));
        });
    }
    drop(listener);
    places.end();
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(front_end.timeouts.grace(), all).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were still in hand at the end");
        // None of them writes any more when the store closes.
        connections.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Small answers must not wait for more.
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            None
        }
    }
}

/// Shakes hands, which is not the listener's to wait for, and serves. Who speaks plain HTTP is told so.
async fn secured(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    front_end: Arc<FrontEnd>,
    seat: &Arc<Seat>,
) {
    let hands = async {
        match is_plain(&stream).await? {
            true => Ok(Hands::Plain(stream)),
            false => acceptor.accept(stream).await.map(|stream| Hands::Shaken(Box::new(stream))),
        }
    };
    let hands = tokio::select! {
        hands = tokio::time::timeout(HANDSHAKE_TIME_MAX, hands) => hands,
        () = seat.asked_to_go() => return,
    };
    match hands {
        Ok(Ok(Hands::Shaken(stream))) => connection(stream, peer, front_end, seat).await,
        Ok(Ok(Hands::Plain(stream))) => {
            let refusing = FrontEnd { plain_at_https: true, ..(*front_end).clone() };
            connection(stream, peer, Arc::new(refusing), seat).await;
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
    seat: &Arc<Seat>,
) {
    let timeouts = front_end.timeouts.clone();
    let stream = Paced::new(stream, seat.clone(), timeouts.answer_per_mib());
    let entered = seat.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (front_end, in_hand) = (front_end.clone(), InHand::new(entered.clone()));
        // In a box, which an idle connection does not keep.
        Box::pin(async move {
            let response = front_end.answer(peer, request).await;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, in_hand)))
        })
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // The seat's deadlines are in its place: one for heads, and another for who waits between two.
        .header_read_timeout(None)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match supervised(served, seat, &timeouts).await {
        Ended::ByClient(Ok(())) => {}
        Ended::ByClient(Err(error)) => tracing::debug!(%peer, %error, "a connection ended with an error"),
        Ended::Late => tracing::debug!(%peer, "a client was silent for too long"),
        Ended::Asked => tracing::debug!(%peer, "a connection gave way"),
    }
}

/// How a connection ended.
enum Ended {
    ByClient(hyper::Result<()>),
    /// The client did not send its request in time.
    Late,
    /// It was asked to go, and had nothing in hand.
    Asked,
}

/// Drives a connection until it ends, its client is late, or it is asked to go and has no request in hand.
async fn supervised<C>(connection: C, seat: &Seat, timeouts: &Timeouts) -> Ended
where
    C: Future<Output = hyper::Result<()>> + Graceful,
{
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(tokio::time::Instant::now() + timeouts.head().min(timeouts.idle())));
    let mut is_told = false;
    poll_fn(|context| {
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(Ended::ByClient(ended));
        }
        if seat.poll_must_go(context.waker()) {
            if seat.may_close() {
                return Poll::Ready(Ended::Asked);
            }
            if !is_told {
                is_told = true;
                connection.as_mut().end_gracefully();
                context.waker().wake_by_ref();
            }
        }
        // The timer is not set anew for each request, but when it fires, or would fire too late.
        while let Some(deadline) = seat.deadline(timeouts) {
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(context).is_pending() {
                break;
            }
            if timer.deadline() >= deadline {
                return Poll::Ready(Ended::Late);
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// A connection that can be told to end when its request is answered.
trait Graceful {
    fn end_gracefully(self: std::pin::Pin<&mut Self>);
}

impl<S, V, B> Graceful for http1::Connection<TokioIo<S>, V>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: hyper::service::HttpService<Incoming, ResBody = B>,
    V::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end_gracefully(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
