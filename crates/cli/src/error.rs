//! What goes wrong at the command line, each with what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cloud::{Network, NetworkError};
use crate::part::Part;

/// An error of a command. `Display` is one line for people and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Not root.
    #[error(
        "`welkin {command}` makes network namespaces and user ids, so it must run as root: try `sudo welkin {command} …`"
    )]
    NotRoot {
        /// The command.
        command: &'static str,
    },
    /// A program that is needed is not installed.
    #[error(
        "{program} is missing: install it with `apt-get install {package}` (or run `./x up`, which does)"
    )]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// Debian's package that has it.
        package: &'static str,
    },
    /// A port is in use.
    #[error(
        "{address} ({purpose}) is taken by another program: end it, or move this cloud with `--port-offset`"
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// What we need it for.
        purpose: &'static str,
    },
    /// The network overlaps with one that the machine has.
    #[error(
        "the network {network} overlaps with {address} of interface {interface}: choose another with `--network`"
    )]
    NetworkTaken {
        /// Ours.
        network: Network,
        /// Theirs.
        address: String,
        /// Where.
        interface: String,
    },
    /// The text given for the network is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The cloud of this state folder runs already.
    #[error("the cloud in {state} runs already: see `welkin status`, or end it with `welkin down`")]
    AlreadyUp {
        /// Its folder.
        state: PathBuf,
    },
    /// There is no cloud in this folder.
    #[error("there is no cloud in {state}: start one with `welkin up --state {state}`")]
    NoCloud {
        /// The folder.
        state: PathBuf,
    },
    /// The cloud is not running.
    #[error("the cloud in {state} does not answer ({why}): start it with `welkin up`")]
    NotUp {
        /// Its folder.
        state: PathBuf,
        /// What was tried.
        why: String,
    },
    /// No such instance.
    #[error(
        "there is no part or role instance {name:?}: parts are storage, node0 (and so on), edge, fabric, management and up; there is {known}"
    )]
    NoInstance {
        /// What was asked for.
        name: String,
        /// Instances that there are.
        known: String,
    },
    /// No such node.
    #[error("there is no node {name:?}: there is {known}")]
    NoNode {
        /// What was asked for.
        name: String,
        /// Nodes that there are.
        known: String,
    },
    /// The fabric controller does not do to a node what it was asked to.
    #[error("{name}: {said}")]
    Node {
        /// Its name.
        name: String,
        /// The answer's status.
        status: u16,
        /// What the controller says.
        said: String,
    },
    /// No guest OS.
    #[error(
        "there is no guest OS image in {folder}: build one with `./x image`, or name its folder with `--images`"
    )]
    NoImage {
        /// Where we looked.
        folder: PathBuf,
    },
    /// A folder that other users must pass through is closed to them.
    #[error(
        "{folder} is closed to other users, and the cloud's parts run as users of their own: \
             open it (chmod o+x), or choose another state folder with `--state`"
    )]
    Closed {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file.
    #[error("{path} cannot be read: {why}")]
    Config {
        /// Which.
        path: PathBuf,
        /// Why, with the line.
        why: String,
    },
    /// A program that we ran failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// Its command line.
        command: String,
        /// What it said.
        why: String,
    },
    /// A part ended while it should run.
    #[error("{part} did not start: {why} (its log: {log})")]
    Part {
        /// Which.
        part: Part,
        /// The end of what it said.
        why: String,
        /// Its log.
        log: PathBuf,
    },
    /// A part does not answer in time.
    #[error("{part} did not answer within {seconds} s (its log: {log})")]
    PartSilent {
        /// Which.
        part: Part,
        /// How long we waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// `up --detach` did not come up.
    #[error("{0}")]
    Detached(String),
    /// The cloud refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] crate::client::ClientError),
    /// A deployment did not come to its end.
    #[error(transparent)]
    Deploy(#[from] crate::deploy::DeployError),
    /// A command of the management API.
    #[error(transparent)]
    Manage(#[from] crate::manage::ManageError),
    /// A package was not made.
    #[error(transparent)]
    Package(#[from] crate::package::MakeError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] welkin_pki::PkiError),
    /// Interrupted by the user while starting.
    #[error("interrupted")]
    Interrupted,
    /// A check found damage.
    #[error(
        "{things} damaged, as told above: delete or write anew what is named, or restore a backup with `welkin storage restore`"
    )]
    Damaged {
        /// How many findings.
        things: u64,
    },
    /// A service ended with an error.
    #[error("{0}")]
    Service(String),
}

/// The whole chain of an error on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors print their source themselves.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
