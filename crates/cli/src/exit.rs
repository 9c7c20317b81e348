//! Exit codes: what a script can tell apart without reading a message.

use std::process::ExitCode;

use crate::client::ClientError;
use crate::deploy::DeployError;
use crate::error::CliError;
use crate::manage::ManageError;

/// What `welkin help` says of them.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  it failed, as the message tells
  2  the arguments are wrong
  3  there is no such thing
  4  it contradicts what there is: the name is taken, or another operation holds it
  5  not allowed: the certificate is not registered
  6  the cloud does not answer, or asks to come again later
  7  the time is up; what was asked goes on by itself

Examples:
  welkin up                                   start a cloud on this machine
  welkin deploy shop --folder shop            package and run a service
  welkin service list --json                  for programs
  welkin completion bash > /etc/bash_completion.d/welkin";

const FAILED: u8 = 1;
const WRONG: u8 = 2;
const NOT_FOUND: u8 = 3;
const CONFLICT: u8 = 4;
const NOT_ALLOWED: u8 = 5;
const NO_ANSWER: u8 = 6;
const TIMED_OUT: u8 = 7;

/// The exit code of an error.
pub fn code(error: &CliError) -> ExitCode {
    ExitCode::from(number(error))
}

fn number(error: &CliError) -> u8 {
    match error {
        CliError::NotUp { .. } => NO_ANSWER,
        CliError::NoInstance { .. } | CliError::NoCloud { .. } | CliError::NoNode { .. } => NOT_FOUND,
        CliError::Node { status: 404, .. } => NOT_FOUND,
        CliError::Node { status: 409, .. } => CONFLICT,
        CliError::PartSilent { .. } => TIMED_OUT,
        CliError::Client(error) => of_client(error),
        CliError::Deploy(error) => of_deploy(error),
        CliError::Manage(ManageError::Client(error)) => of_client(error),
        CliError::Manage(ManageError::Deploy(error)) => of_deploy(error),
        CliError::Manage(ManageError::Wrong(_)) => WRONG,
        _ => FAILED,
    }
}

fn of_deploy(error: &DeployError) -> u8 {
    match error {
        DeployError::Step { source, .. } => of_client(source),
        DeployError::NotReady { .. } => TIMED_OUT,
        DeployError::NoPackage | DeployError::Folder { .. } => WRONG,
        _ => FAILED,
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Refused { status, code, .. } => match (*status, code.as_str()) {
            (404, _) | (_, "ResourceNotFound") => NOT_FOUND,
            (409, _) | (_, "ConflictError") => CONFLICT,
            (401 | 403, _) => NOT_ALLOWED,
            (503, _) => NO_ANSWER,
            _ => FAILED,
        },
        ClientError::Unreachable { .. } => NO_ANSWER,
        ClientError::TimedOut { .. } => TIMED_OUT,
        ClientError::NoProfile { .. } => NOT_ALLOWED,
        _ => FAILED,
    }
}

/// What to do about an error, where its message does not say so.
pub fn advice(error: &CliError) -> Option<String> {
    let client = match error {
        CliError::Client(error) | CliError::Manage(ManageError::Client(error)) => error,
        CliError::Deploy(DeployError::Step { source, .. })
        | CliError::Manage(ManageError::Deploy(DeployError::Step { source, .. })) => source,
        _ => return None,
    };
    match client {
        ClientError::Refused { status: 401 | 403, .. } => Some(
            "the cloud does not know your certificate: `welkin login` shows it and how it is registered"
                .to_owned(),
        ),
        ClientError::Refused { status: 404, .. } => {
            Some("see what there is: `welkin service list`, `welkin deployment list`".to_owned())
        }
        ClientError::Refused { status: 409, message, .. } => Some(match operation(message) {
            Some(id) => format!("wait for the other operation: `welkin operation wait {id}`"),
            None => "look at what there is, then ask again: `welkin status`".to_owned(),
        }),
        ClientError::Refused { status: 501, .. } => {
            Some("`docs/management.md` lists what this cloud does".to_owned())
        }
        ClientError::Refused { status: 503, .. } => {
            Some("the cloud is asked too much at once: ask again in a minute".to_owned())
        }
        ClientError::TimedOut { .. } => {
            Some("it goes on by itself: `welkin operation list` shows how".to_owned())
        }
        _ => None,
    }
}

/// The id of an operation that a message names: 32 hexadecimal digits, or a GUID.
fn operation(message: &str) -> Option<&str> {
    let is_id = |word: &&str| {
        let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
        digits == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> CliError {
        let (code, message) = (code.to_owned(), message.to_owned());
        CliError::Client(ClientError::Refused { what: "the cloud", status, code, message })
    }

    #[test]
    fn each_refusal_has_a_code_and_advice() {
        let held = "operation 0123456789abcdef0123456789abcdef holds the deployment";
        let rows = [
            (refused(400, "BadRequest", ""), 1, None),
            (refused(404, "ResourceNotFound", ""), 3, Some("`welkin service list`")),
            (refused(409, "ConflictError", held), 4, Some("wait 0123456789abcdef0123456789abcdef`")),
            (refused(409, "ConflictError", "taken"), 4, Some("`welkin status`")),
            (refused(400, "ConflictError", ""), 4, None),
            (refused(403, "ForbiddenError", ""), 5, Some("`welkin login`")),
            (refused(503, "TooManyRequests", ""), 6, Some("ask again")),
            (refused(501, "NotImplemented", ""), 1, Some("docs/management.md")),
            (CliError::Manage(ManageError::Wrong(String::new())), 2, None),
        ];
        for (error, code, part) in rows {
            assert_eq!(number(&error), code, "{error}");
            let advice = advice(&error);
            match part {
                Some(part) => assert!(advice.as_ref().is_some_and(|text| text.contains(part)), "{advice:?}"),
                None => assert_eq!(advice, None),
            }
        }
    }
}
