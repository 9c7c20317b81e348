//! Programs of the system that the agent calls, and the Debian packages that they come from.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Each program that the agent needs, and its Debian package.
pub const NEEDED: [(&str, &str); 8] = [
    (welkin_node::vm::QEMU, "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Output of a program that an error shows.
const OUTPUT_CHARS_MAX: usize = 600;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("{program} is missing: install the Debian package {package}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// It cannot be started.
    #[error("{program} cannot be started: {why}")]
    Start {
        /// Its name.
        program: &'static str,
        /// What the system says.
        why: std::io::Error,
    },
    /// It failed.
    #[error("{command} failed: {output}")]
    Failed {
        /// The program and its first arguments.
        command: String,
        /// What it said.
        output: String,
    },
}

/// The needed programs that are not there.
pub fn missing() -> Vec<ProgramError> {
    let absent = NEEDED.iter().filter(|(program, _)| find(program).is_none());
    absent.map(|(program, package)| ProgramError::Missing { program, package }).collect()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a program to its end and returns what it printed.
pub async fn run(program: &'static str, arguments: &[&str]) -> Result<String, ProgramError> {
    run_with_input(program, arguments, "").await
}

/// Runs a program to its end with `input` as its standard input.
pub async fn run_with_input(
    program: &'static str,
    arguments: &[&str],
    input: &str,
) -> Result<String, ProgramError> {
    let start = |why: std::io::Error| match NEEDED.iter().find(|(name, _)| *name == program) {
        Some((program, package)) if why.kind() == std::io::ErrorKind::NotFound => {
            ProgramError::Missing { program, package }
        }
        _ => ProgramError::Start { program, why },
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why on its error output.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(ProgramError::Failed {
        command: format!("{program} {}", arguments.join(" ")),
        output: text.trim().chars().take(OUTPUT_CHARS_MAX).collect(),
    })
}
