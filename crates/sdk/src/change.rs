//! Changes of the role environment while the role runs (`RoleEnvironmentChanging`).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::thread;
use std::time::Duration;

use welkin_agent_wire::EnvironmentChange;
use welkin_agent_wire::role::ENV_SOCKET;

use crate::role_socket;

/// After the guest agent did not answer, so long is waited.
const PAUSE: Duration = Duration::from_secs(1);

/// What a role does about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It takes it as it runs.
    Accept,
    /// It wants to be started again.
    Restart,
}

/// Has `decide` called for each change of the role environment, on a thread of its own. The role environment is the new
/// one already when it is called. A role that does not call this is started again when its settings change.
///
/// Outside a VM nothing changes, and nothing is done.
///
/// # Errors
/// When there can be no other thread.
pub fn on_change(decide: impl FnMut(&EnvironmentChange) -> Answer + Send + 'static) -> io::Result<()> {
    let Some(socket) = env::var_os(ENV_SOCKET) else { return Ok(()) };
    let builder = thread::Builder::new().name("environment changes".to_owned());
    builder.spawn(move || follow(&socket, decide)).map(drop)
}

fn follow(socket: &OsStr, mut decide: impl FnMut(&EnvironmentChange) -> Answer) {
    loop {
        if step(socket, &mut decide).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

fn step(socket: &OsStr, decide: &mut impl FnMut(&EnvironmentChange) -> Answer) -> io::Result<()> {
    let json = role_socket::changes(socket)?;
    if json.is_empty() {
        return Ok(());
    }
    let change: EnvironmentChange = serde_json::from_slice(&json).map_err(io::Error::other)?;
    let answer = match decide(&change) {
        Answer::Accept => "accept",
        Answer::Restart => "restart",
    };
    role_socket::answer(socket, change.number, answer)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_change_is_decided_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("role.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let agent = thread::spawn(move || {
            let body = r#"{"number":3,"settings":["Colour"],"topology":false}"#;
            let mut heard = Vec::new();
            for answer in [
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                heard.push(line.trim().to_owned());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            heard
        });
        let mut seen = Vec::new();
        let mut decide = |change: &EnvironmentChange| {
            seen.extend(change.settings.clone());
            Answer::Accept
        };
        step(socket.as_os_str(), &mut decide).unwrap();
        step(socket.as_os_str(), &mut decide).unwrap();
        assert_eq!(seen, ["Colour"]);
        assert_eq!(
            agent.join().unwrap(),
            ["GET /v1/changes HTTP/1.1", "GET /v1/changes HTTP/1.1", "POST /v1/changes/3/accept HTTP/1.1"]
        );
    }
}
