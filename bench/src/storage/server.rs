//! The two servers of the Azure Storage protocol.

use std::path::Path;

use crate::storage::account::Account;
use crate::storage::error::StorageError;
use crate::storage::process::{Process, Program};

/// The first of the three ports that Azurite has when nothing is said.
const FIRST_PORT: u16 = 10_000;
const SERVICES: u16 = 3;
/// Azurite closes a connection after 5 s without a request, and a request that waits because its one thread is
/// busy does not count: long listings would end connections that are in use.
const KEEP_ALIVE_S: u64 = 600;

/// A running server, and the account on it.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Process,
    /// The account on it.
    pub account: Account,
}

/// `welkin storage --dev`: durable, as always. `data` may be there already.
pub async fn start_welkin(
    path: &Path,
    folder: &Path,
    data: &Path,
    port_offset: u16,
) -> Result<Server, StorageError> {
    let arguments = ["storage", "--dev", "--data"].map(str::to_owned);
    let mut arguments: Vec<String> = arguments.into();
    arguments.extend([data.display().to_string(), "--port-offset".to_owned(), port_offset.to_string()]);
    // A log of each request would be measured too, and Azurite writes none either.
    let environment = vec![("RUST_LOG", "warn".to_owned())];
    let program =
        Program { name: "Welkin", path: path.to_owned(), arguments, environment, ..Program::default() };
    start(program, folder, FIRST_PORT + port_offset).await
}

/// Azurite as it is when nothing is said: on disk, without a sync.
pub async fn start_azurite(
    node: &Path,
    script: &Path,
    folder: &Path,
    port_offset: u16,
) -> Result<Server, StorageError> {
    let first = FIRST_PORT + port_offset;
    let mut arguments = vec![script.display().to_string()];
    arguments.extend(["--silent", "--skipApiVersionCheck", "--disableTelemetry"].map(str::to_owned));
    arguments.extend(["--location".to_owned(), folder.join("azurite").display().to_string()]);
    for (number, service) in (0..).zip(["blob", "queue", "table"]) {
        arguments.extend([format!("--{service}Port"), (first + number).to_string()]);
        arguments.extend([format!("--{service}KeepAliveTimeout"), KEEP_ALIVE_S.to_string()]);
    }
    let program = Program { name: "Azurite", path: node.to_owned(), arguments, ..Program::default() };
    start(program, folder, first).await
}

async fn start(program: Program, folder: &Path, first_port: u16) -> Result<Server, StorageError> {
    let ports: Vec<u16> = (first_port..first_port + SERVICES).collect();
    let process = program.start(folder, &ports).await?;
    Ok(Server { process, account: Account::new(first_port)? })
}
