//! The role's local socket: HTTP/1.1, one request for each connection.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/environment` | the role environment as JSON |
//! | `POST /v1/ready` | 204: the role takes traffic |
//! | `POST /v1/busy` | 204: the role takes none |

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use welkin_agent_wire::role::ROLE_SOCKET;

use crate::console;
use crate::environment::FOLDER;
use crate::error::{Doing, GuestError};
use crate::process::ROLE_UID;

/// A request's head; honest ones have some hundred bytes.
const HEAD_BYTES_MAX: usize = 4 << 10;
const HEADERS_MAX: usize = 32;
/// A role that connects and says nothing holds a thread so long.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// More connections at once are closed unanswered.
const CONNECTIONS_MAX: usize = 16;

/// What the role says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It takes traffic.
    Ready,
    /// It takes none.
    Busy,
}

/// The JSON of the newest role environment.
pub type Published = Arc<Mutex<String>>;

/// Listens on [`ROLE_SOCKET`] on a thread of its own.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(published: Published, hear: impl Fn(Said) + Send + Sync + 'static) -> Result<(), GuestError> {
    let bind = || -> io::Result<UnixListener> {
        fs::create_dir_all(FOLDER)?;
        let listener = UnixListener::bind(ROLE_SOCKET)?;
        chown(ROLE_SOCKET, Some(0), Some(ROLE_UID))?;
        fs::set_permissions(ROLE_SOCKET, fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    };
    let listener = bind().doing(|| format!("listen on {ROLE_SOCKET}"))?;
    std::thread::spawn(move || accept(&listener, &published, &Arc::new(hear)));
    Ok(())
}

fn accept(listener: &UnixListener, published: &Published, hear: &Arc<impl Fn(Said) + Send + Sync + 'static>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (open, published, hear) = (Arc::clone(&open), Arc::clone(published), Arc::clone(hear));
        std::thread::spawn(move || {
            if let Err(error) = answer(stream, &published, &*hear) {
                console::say(&format!("role socket: {error}"));
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(mut stream: UnixStream, published: &Published, hear: &dyn Fn(Said)) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    let (status, body) = match read_head(&mut stream)? {
        Some(Request::Environment) => {
            ("200 OK", published.lock().unwrap_or_else(PoisonError::into_inner).clone())
        }
        Some(Request::Say(said)) => {
            hear(said);
            ("204 No Content", String::new())
        }
        None => ("404 Not Found", String::new()),
    };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let head =
        format!("HTTP/1.1 {status}\r\n{kind}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Environment,
    Say(Said),
}

fn read_head(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut bytes = [0; HEAD_BYTES_MAX];
    let mut length = 0;
    while length < bytes.len() {
        let read = stream.read(&mut bytes[length..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += read;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&bytes[..length]).map_err(io::Error::other)?;
        if parsed.is_complete() {
            return Ok(match (request.method, request.path) {
                (Some("GET"), Some("/v1/environment")) => Some(Request::Environment),
                (Some("POST"), Some("/v1/ready")) => Some(Request::Say(Said::Ready)),
                (Some("POST"), Some("/v1/busy")) => Some(Request::Say(Said::Busy)),
                _ => None,
            });
        }
    }
    Err(io::Error::other("the request's head is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let check = |head: &str, expected: Result<Option<Request>, ()>| {
            assert_eq!(read_head(&mut head.as_bytes()).map_err(|_| ()), expected, "{head:?}");
        };
        check("GET /v1/environment HTTP/1.1\r\nHost: role\r\n\r\n", Ok(Some(Request::Environment)));
        check("POST /v1/ready HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Ok(Some(Request::Say(Said::Ready))));
        check("POST /v1/busy HTTP/1.1\r\n\r\n", Ok(Some(Request::Say(Said::Busy))));
        check("GET /v1/ready HTTP/1.1\r\n\r\n", Ok(None));
        check("GET /v1/environment HTTP/1.1\r\n", Err(()));
        check("nonsense\r\n\r\n", Err(()));
        check(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), Err(()));
    }
}
