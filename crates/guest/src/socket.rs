//! The role's local socket: HTTP/1.1, one request for each connection.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/environment` | the role environment as JSON |
//! | `POST /v1/ready` | 204: the role takes traffic |
//! | `POST /v1/busy` | 204: the role takes none |
//! | `GET /v1/changes` | an [`EnvironmentChange`](welkin_agent_wire::EnvironmentChange) as soon as there is one; 204 after a while without |
//! | `POST /v1/changes/<number>/accept` | 204: the role takes it as it runs |
//! | `POST /v1/changes/<number>/restart` | 204: the role wants to be started again |

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
/// Who waits for a change is answered after so long at the latest.
pub const WAIT_MS_MAX: u64 = 20_000;
/// More connections at once are closed unanswered.
const CONNECTIONS_MAX: usize = 16;

/// What the role says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It takes traffic.
    Ready,
    /// It takes none.
    Busy,
    /// It waits for changes.
    Listens,
    /// It answers a change that it was offered.
    Answers {
        /// The change's number.
        number: u64,
        /// It takes it as it runs.
        accepts: bool,
    },
}

/// What the role is told, as JSON.
#[derive(Default)]
pub struct Published {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    environment: String,
    offer: Option<String>,
}

impl Published {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest role environment.
    pub fn publish(&self, environment: String) {
        self.told().environment = environment;
    }

    /// The change that the role is offered; `None` once it is settled.
    pub fn offer(&self, offer: Option<String>) {
        self.told().offer = offer;
        self.changed.notify_all();
    }

    fn wait_for_offer(&self) -> Option<String> {
        let wait = Duration::from_millis(WAIT_MS_MAX);
        let waited = self.changed.wait_timeout_while(self.told(), wait, |told| told.offer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.offer.clone()
    }
}

/// Listens on [`ROLE_SOCKET`] on a thread of its own.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(
    published: Arc<Published>,
    hear: impl Fn(Said) + Send + Sync + 'static,
) -> Result<(), GuestError> {
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

fn accept(
    listener: &UnixListener,
    published: &Arc<Published>,
    hear: &Arc<impl Fn(Said) + Send + Sync + 'static>,
) {
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
        Some(Request::Environment) => ("200 OK", published.told().environment.clone()),
        Some(Request::Changes) => {
            hear(Said::Listens);
            match published.wait_for_offer() {
                Some(offer) => ("200 OK", offer),
                None => ("204 No Content", String::new()),
            }
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
    Changes,
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
                (Some("GET"), Some("/v1/changes")) => Some(Request::Changes),
                (Some("POST"), Some("/v1/ready")) => Some(Request::Say(Said::Ready)),
                (Some("POST"), Some("/v1/busy")) => Some(Request::Say(Said::Busy)),
                (Some("POST"), Some(path)) => answer_to_change(path).map(Request::Say),
                _ => None,
            });
        }
    }
    Err(io::Error::other("the request's head is too long"))
}

/// What `/v1/changes/<number>/accept` and `…/restart` say.
fn answer_to_change(path: &str) -> Option<Said> {
    let (number, answer) = path.strip_prefix("/v1/changes/")?.split_once('/')?;
    let accepts = match answer {
        "accept" => true,
        "restart" => false,
        _ => return None,
    };
    Some(Said::Answers { number: number.parse().ok()?, accepts })
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
        check("GET /v1/changes HTTP/1.1\r\n\r\n", Ok(Some(Request::Changes)));
        let answers = |accepts| Request::Say(Said::Answers { number: 7, accepts });
        check("POST /v1/changes/7/accept HTTP/1.1\r\n\r\n", Ok(Some(answers(true))));
        check("POST /v1/changes/7/restart HTTP/1.1\r\n\r\n", Ok(Some(answers(false))));
        check("POST /v1/changes/x/accept HTTP/1.1\r\n\r\n", Ok(None));
        check("GET /v1/ready HTTP/1.1\r\n\r\n", Ok(None));
        check("GET /v1/environment HTTP/1.1\r\n", Err(()));
        check("nonsense\r\n\r\n", Err(()));
        check(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), Err(()));
    }
}
