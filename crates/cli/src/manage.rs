//! What the management API does, as commands: a noun, then a verb.

mod affinity_group;
mod certificate;
pub mod deployment;
mod instance;
mod listing;
mod location;
mod operation;
mod place;
mod service;
mod service_certificate;
mod storage_account;
pub mod subscription;
mod wait;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::client::{Answer, Client, ClientError};
use crate::deploy::DeployError;
use listing::Column;

pub use affinity_group::AffinityGroup;
pub use certificate::Certificate;
pub use deployment::Deployment;
pub use instance::Instance;
pub use location::{GuestOs, Location, RoleSize};
pub use operation::Operation;
pub use service::Service;
pub use service_certificate::ServiceCertificate;
pub use storage_account::StorageAccount;

/// How a result is printed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// For programs: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The cloud refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Uploading.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A file.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something of the command line or of a file is not what it should be.
    #[error("{0}")]
    Wrong(String),
    /// Standard output is closed.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

/// Prints to standard output; whoever reads it may have gone away.
fn print(text: &str) -> Result<(), ManageError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(ManageError::Print(error)),
        _ => Ok(()),
    }
}

/// Prints the items of a listing.
fn print_list(
    answer: &Answer,
    path: &str,
    columns: &[Column],
    output: Output,
    empty: &str,
) -> Result<(), ManageError> {
    let items = listing::items(answer, path, columns)?;
    print(&listing::list(&items, columns, output.json, empty))
}

/// Prints the one thing that an answer is.
fn print_one(answer: &Answer, columns: &[Column], output: Output) -> Result<(), ManageError> {
    print(&listing::one(&only(answer, columns)?, columns, output.json))
}

fn only(answer: &Answer, columns: &[Column]) -> Result<Map<String, Value>, ManageError> {
    Ok(listing::items(answer, "", columns)?.into_iter().next().unwrap_or_default())
}

fn read(path: &Path) -> Result<Vec<u8>, ManageError> {
    std::fs::read(path).map_err(|source| ManageError::File { path: path.to_owned(), source })
}

/// A service configuration from a file, in any encoding that editors write.
fn read_configuration(path: &Path) -> Result<String, ManageError> {
    let text = welkin_service_model::text::decode(&read(path)?);
    text.ok_or_else(|| {
        ManageError::Wrong(format!("{} is neither UTF-8 nor UTF-16; save it as UTF-8", path.display()))
    })
}

/// Whether a name is free, as the classic name checks answer.
fn print_availability(client: &Client, path: &str, name: &str, output: Output) -> Result<(), ManageError> {
    const COLUMNS: &[Column] = &[
        listing::form("available", "available", "Result", listing::Form::Flag),
        listing::text("reason", "reason", "Reason"),
    ];
    let answer = client.get(&format!("{path}/operations/isavailable/{name}"))?;
    print_one(&answer, COLUMNS, output)
}
