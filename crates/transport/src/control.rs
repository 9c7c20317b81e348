//! A control socket: a Unix socket in a service's data folder by which an operator on the machine reaches the running
//! service, in HTTP. Whoever may write in the folder may use it, and no one else.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::body::{Body, BoxError};

/// The socket's name in the data folder.
pub const SOCKET_FILE: &str = "control.sock";
/// Its name until it has its mode.
const UNNAMED_FILE: &str = "control.new";
/// A client that sends no request for this long is given up.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files) the service breathes before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket, not answering yet. Dropping it removes its file.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket in a folder that this process has locked, in place of one that a crash left.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET_FILE);
        // Nobody connects before it has its mode and its name.
        let unnamed = folder.join(UNNAMED_FILE);
        match std::fs::remove_file(&unnamed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&unnamed)?;
        std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&unnamed, &path)?;
        Ok(Self { listener, path })
    }

    /// Answers until `ended` resolves; what is under way then ends there.
    pub async fn serve<H, F>(self, handler: H, ended: impl Future<Output = ()>)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        let mut ended = std::pin::pin!(ended);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut ended => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, handler.clone()))),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        connections.shutdown().await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The next start does so too.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse<H, F>(stream: UnixStream, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client of the control socket went away");
    }
}

/// Sends the one request of a connection to a control socket; the answer's body is still to be read.
///
/// # Errors
/// When the service went away.
pub async fn send(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Body,
) -> Result<Response<Incoming>, BoxError> {
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Its errors are those of the body.
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost").body(body)?;
    Ok(sender.send_request(request).await?)
}
