//! Programs of the system that we run.

use std::process::{Command, Output, Stdio};

use crate::error::CliError;

/// Every program that a cloud on one machine needs, with Debian's package that has it.
const PROGRAMS: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("mksquashfs", "squashfs-tools"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// Fails when a program that the cloud needs is not installed.
pub fn check_installed() -> Result<(), CliError> {
    match PROGRAMS.into_iter().find(|(program, _)| !is_installed(program)) {
        Some((program, package)) => Err(CliError::MissingProgram { program, package }),
        None => Ok(()),
    }
}

/// Whether a program is in the path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a program to its end and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, CliError> {
    let output = output(program, arguments)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CliError::Command {
        command: line(program, arguments),
        why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Runs a program to its end; whether it succeeded.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    output(program, arguments).is_ok_and(|output| output.status.success())
}

fn output(program: &str, arguments: &[&str]) -> Result<Output, CliError> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CliError::Command { command: line(program, arguments), why: error.to_string() })
}

fn line(program: &str, arguments: &[&str]) -> String {
    format!("{program} {}", arguments.join(" "))
}
