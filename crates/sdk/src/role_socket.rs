//! The guest agent's local socket: one small HTTP request for each connection.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use welkin_agent_wire::limits::GUEST_LINE_BYTES_MAX;
use welkin_agent_wire::role::ENV_SOCKET;

/// The guest agent answers at once or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);
/// It answers who waits for a change after 20 s at the latest.
const WAIT_TIMEOUT: Duration = Duration::from_secs(40);
const HEADERS_MAX: usize = 32;
/// Room for an answer's head.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// Says that the role takes traffic. Outside a VM there is nobody to tell, and that is fine.
///
/// # Errors
/// When the guest agent does not answer.
pub fn ready() -> io::Result<()> {
    say("/v1/ready")
}

/// Says that the role takes no traffic for now.
///
/// # Errors
/// When the guest agent does not answer.
pub fn busy() -> io::Result<()> {
    say("/v1/busy")
}

fn say(path: &str) -> io::Result<()> {
    match env::var_os(ENV_SOCKET) {
        Some(socket) => call(&socket, "POST", path, &[]).map(drop),
        None => Ok(()),
    }
}

/// The role environment as JSON.
pub(crate) fn environment(socket: &OsStr) -> io::Result<Vec<u8>> {
    call(socket, "GET", "/v1/environment", &[])
}

/// The next change of the role environment, as JSON; nothing when there was none for a while.
pub(crate) fn changes(socket: &OsStr) -> io::Result<Vec<u8>> {
    call_within(socket, "GET", "/v1/changes", &[], WAIT_TIMEOUT)
}

/// Answers a change.
pub(crate) fn answer(socket: &OsStr, number: u64, answer: &str) -> io::Result<()> {
    call(socket, "POST", &format!("/v1/changes/{number}/{answer}"), &[]).map(drop)
}

/// One call; what it answers with.
pub(crate) fn call(socket: &OsStr, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    call_within(socket, method, path, body, TIMEOUT)
}

fn call_within(
    socket: &OsStr,
    method: &str,
    path: &str,
    body: &[u8],
    timeout: Duration,
) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: role\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take((HEAD_BYTES_MAX + GUEST_LINE_BYTES_MAX) as u64).read_to_end(&mut answer)?;
    body_of(&answer)
}

fn body_of(answer: &[u8]) -> io::Result<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head.parse(answer).map_err(io::Error::other)?;
    let httparse::Status::Complete(length) = parsed else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    match head.code {
        Some(200..=299) => Ok(answer[length..].to_vec()),
        code => Err(io::Error::other(format!("status {}", code.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use super::body_of;

    #[test]
    fn answers_are_read() {
        let check = |answer: &str, expected: Option<&str>| {
            let body = body_of(answer.as_bytes()).ok();
            assert_eq!(body.as_deref(), expected.map(str::as_bytes), "{answer:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Some("{}"));
        check("HTTP/1.1 204 No Content\r\n\r\n", Some(""));
        check("HTTP/1.1 404 Not Found\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n", None);
        check("nonsense", None);
    }
}
