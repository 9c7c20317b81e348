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
//! | `GET /v1/certificates` | list of [`RoleCertificate`](welkin_agent_wire::RoleCertificate) as JSON |
//! | `POST /v1/certificates/<name>/sign?scheme=<number>` | the signature of the body by the certificate's private key; the number is a TLS signature scheme. 403 for a process that is not elevated, where only such may |

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use welkin_agent_wire::role::{ROLE_SOCKET, SIGNED_BYTES_MAX};

use crate::certificate::{Certificates, Refusal};
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
/// More connections at once are closed unanswered. Each TLS handshake of a role takes one for a moment.
const CONNECTIONS_MAX: usize = 128;

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

/// What the socket tells of.
pub type Served = (Arc<Published>, Certificates);

/// Listens on [`ROLE_SOCKET`] on a thread of its own.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(served: Served, hear: impl Fn(Said) + Send + Sync + 'static) -> Result<(), GuestError> {
    let bind = || -> io::Result<UnixListener> {
        fs::create_dir_all(FOLDER)?;
        let listener = UnixListener::bind(ROLE_SOCKET)?;
        chown(ROLE_SOCKET, Some(0), Some(ROLE_UID))?;
        fs::set_permissions(ROLE_SOCKET, fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    };
    let listener = bind().doing(|| format!("listen on {ROLE_SOCKET}"))?;
    std::thread::spawn(move || accept(&listener, &served, &Arc::new(hear)));
    Ok(())
}

fn accept(listener: &UnixListener, served: &Served, hear: &Arc<impl Fn(Said) + Send + Sync + 'static>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (open, served, hear) = (Arc::clone(&open), served.clone(), Arc::clone(hear));
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, &served, &*hear) {
                console::say(&format!("role socket: {error}"));
            }
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn converse(mut stream: UnixStream, served: &Served, hear: &dyn Fn(Said)) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    // Whoever runs as root is elevated. The kernel says who is at the other end.
    let elevated = rustix::net::sockopt::socket_peercred(&stream)?.uid.is_root();
    let request = read_request(&mut stream)?;
    let Answer { status, kind, body } = answer(request, served, elevated, hear);
    let kind = if body.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let head =
        format!("HTTP/1.1 {status}\r\n{kind}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn status(status: &'static str) -> Self {
        Self { status, kind: "", body: Vec::new() }
    }

    fn json(body: Vec<u8>) -> Self {
        Self { status: "200 OK", kind: "application/json", body }
    }
}

fn answer(request: Option<Request>, served: &Served, elevated: bool, hear: &dyn Fn(Said)) -> Answer {
    let (published, certificates) = served;
    match request {
        Some(Request::Environment) => Answer::json(published.told().environment.clone().into_bytes()),
        Some(Request::Changes) => {
            hear(Said::Listens);
            match published.wait_for_offer() {
                Some(offer) => Answer::json(offer.into_bytes()),
                None => Answer::status("204 No Content"),
            }
        }
        Some(Request::Say(said)) => {
            hear(said);
            Answer::status("204 No Content")
        }
        Some(Request::Certificates) => {
            Answer::json(serde_json::to_vec(&certificates.list(elevated)).unwrap_or_default())
        }
        Some(Request::Sign { name, scheme, message }) => {
            match certificates.sign(&name, scheme, &message, elevated) {
                Ok(body) => Answer { status: "200 OK", kind: "application/octet-stream", body },
                Err(Refusal::Unknown) => Answer::status("404 Not Found"),
                Err(Refusal::NotElevated) => Answer::status("403 Forbidden"),
                Err(Refusal::Scheme) => Answer::status("400 Bad Request"),
            }
        }
        None => Answer::status("404 Not Found"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Request {
    Environment,
    Changes,
    Say(Said),
    Certificates,
    Sign { name: String, scheme: u16, message: Vec<u8> },
}

fn read_request(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut bytes = vec![0; HEAD_BYTES_MAX];
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
        if let httparse::Status::Complete(head) = parsed {
            let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
            return Ok(match (method, path) {
                ("GET", "/v1/environment") => Some(Request::Environment),
                ("GET", "/v1/changes") => Some(Request::Changes),
                ("POST", "/v1/ready") => Some(Request::Say(Said::Ready)),
                ("POST", "/v1/busy") => Some(Request::Say(Said::Busy)),
                ("GET", "/v1/certificates") => Some(Request::Certificates),
                ("POST", path) => match sign_of(path) {
                    Some((name, scheme)) => {
                        let name = name.to_owned();
                        let message = read_body(&request, &bytes[head..length], stream)?;
                        Some(Request::Sign { name, scheme, message })
                    }
                    None => answer_to_change(path).map(Request::Say),
                },
                _ => None,
            });
        }
    }
    Err(io::Error::other("the request's head is too long"))
}

/// Name and scheme of `/v1/certificates/{name}/sign?scheme={number}`.
fn sign_of(path: &str) -> Option<(&str, u16)> {
    let (name, scheme) = path.strip_prefix("/v1/certificates/")?.split_once("/sign?scheme=")?;
    Some((name, scheme.parse().ok()?))
}

fn read_body(
    request: &httparse::Request<'_, '_>,
    begun: &[u8],
    stream: &mut impl Read,
) -> io::Result<Vec<u8>> {
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length =
        length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
    let length = length.filter(|length| (begun.len()..=SIGNED_BYTES_MAX).contains(length));
    let length = length.ok_or_else(|| io::Error::other("the message has no length, or is too long"))?;
    let mut message = begun.to_vec();
    message.resize(length, 0);
    stream.read_exact(&mut message[begun.len()..])?;
    Ok(message)
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
            assert_eq!(read_request(&mut head.as_bytes()).map_err(|_| ()), expected, "{head:?}");
        };
        check("GET /v1/environment HTTP/1.1\r\nHost: role\r\n\r\n", Ok(Some(Request::Environment)));
        check("POST /v1/ready HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Ok(Some(Request::Say(Said::Ready))));
        check("POST /v1/busy HTTP/1.1\r\n\r\n", Ok(Some(Request::Say(Said::Busy))));
        check("GET /v1/changes HTTP/1.1\r\n\r\n", Ok(Some(Request::Changes)));
        let answers = |accepts| Request::Say(Said::Answers { number: 7, accepts });
        check("POST /v1/changes/7/accept HTTP/1.1\r\n\r\n", Ok(Some(answers(true))));
        check("POST /v1/changes/7/restart HTTP/1.1\r\n\r\n", Ok(Some(answers(false))));
        check("POST /v1/changes/x/accept HTTP/1.1\r\n\r\n", Ok(None));
        check("GET /v1/certificates HTTP/1.1\r\n\r\n", Ok(Some(Request::Certificates)));
        let sign = |name: &str, scheme, message: &str| {
            Ok(Some(Request::Sign { name: name.to_owned(), scheme, message: message.as_bytes().to_vec() }))
        };
        let post = |rest: &str| format!("POST /v1/certificates/{rest}");
        check(
            &post("tls.a/sign?scheme=2052 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
            sign("tls.a", 2052, "abc"),
        );
        check(&post("a/sign?scheme=1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n"), sign("a", 1, ""));
        check(&post("a/sign?scheme=1 HTTP/1.1\r\n\r\n"), Err(()));
        check(&post("a/sign?scheme=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nab"), Err(()));
        check(&post("a/sign?scheme=1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nab"), Err(()));
        check(&post("a/sign?scheme=1 HTTP/1.1\r\nContent-Length: 99999999\r\n\r\nab"), Err(()));
        check(&post("a/sign?scheme=70000 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), Ok(None));
        check(&post("a/key HTTP/1.1\r\n\r\n"), Ok(None));
        check("GET /v1/ready HTTP/1.1\r\n\r\n", Ok(None));
        check("GET /v1/environment HTTP/1.1\r\n", Err(()));
        check("nonsense\r\n\r\n", Err(()));
        check(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), Err(()));
    }
}
