//! A connection's bytes under watch: its seat learns what happens, and a client that takes its answer too slowly is
//! given up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::seat::Seat;
use crate::pace::Allowance;

/// A stream under watch.
pub(crate) struct Paced<S> {
    stream: S,
    seat: Arc<Seat>,
    allowance: Allowance,
    /// While the client takes nothing: since when, and until when it may.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Paced<S> {
    /// A client has `time_per_mib` for each MiB of what it is sent.
    pub(crate) fn new(stream: S, seat: Arc<Seat>, time_per_mib: Duration) -> Self {
        Self { stream, seat, allowance: Allowance::new(time_per_mib), stalled: None }
    }

    /// What comes of a write, unless the client was too slow.
    fn paced(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                if let Some((since, _)) = self.stalled.take() {
                    self.allowance.spend(since.elapsed());
                }
                if let Ok(bytes) = written {
                    self.allowance.earn(bytes);
                }
                Poll::Ready(written)
            }
            Poll::Pending => {
                let left = self.allowance.left();
                let stalled =
                    self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
                ready!(stalled.1.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client takes its answer too slowly",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.seat.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.paced(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A stream of TLS writes what it holds when it is flushed.
        let flushed = Pin::new(&mut this.stream).poll_flush(context).map_ok(|()| 0);
        ready!(this.paced(context, flushed))?;
        this.seat.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
