//! Why the storage benchmark cannot go on.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use crate::load::BenchError;

/// Everything that ends a run. No answer but the expected one is forgiven: rates of failures say nothing.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A limit of the disk cannot be measured.
    #[error("{0}")]
    Limit(#[from] BenchError),
    /// A server's program cannot be started.
    #[error("cannot start {program}: {source}; build it, or say where it is")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A server does not answer.
    #[error("{server} does not answer on port {port} after {} s; it said: {said}", waited.as_secs())]
    Silent {
        /// Its name.
        server: &'static str,
        /// The port that was tried last.
        port: u16,
        /// For how long it was tried.
        waited: Duration,
        /// The end of its log.
        said: String,
    },
    /// Another program has the port.
    #[error("port {0} is taken by another program: end it, or choose another `--port-offset`")]
    PortTaken(u16),
    /// A peer cannot be set up.
    #[error("{0}")]
    Peer(String),
    /// The engine, which is loaded without a server, failed.
    #[error("{0}")]
    Engine(String),
    /// PostgreSQL, or the connection to it, failed.
    #[error("{0}: {detail}", detail = .0.as_db_error().map_or("", |error| error.message()))]
    Sql(#[from] tokio_postgres::Error),
    /// RabbitMQ, or the connection to it, failed.
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    /// The connection broke, or the request could not be made.
    #[error("the request failed: {0}")]
    Http(String),
    /// No answer came.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The server answered with another status than it should.
    #[error("the answer is {status}, not {wanted}: {body}")]
    Status {
        /// What came.
        status: u16,
        /// What should have come.
        wanted: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// The server answered with another body than it should.
    #[error("the answer is wrong: {0}")]
    Answer(String),
    /// The error of one measurement, with its place.
    #[error("{work} at {connections} connections, {server}: {source}")]
    Work {
        /// What was done.
        work: String,
        /// At how many connections.
        connections: usize,
        /// To which server.
        server: &'static str,
        /// Why it failed.
        source: Box<StorageError>,
    },
}

impl StorageError {
    /// Whether the server says that it has no such operation.
    pub fn is_not_built(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == StatusCode::NOT_IMPLEMENTED.as_u16(),
            Self::Work { source, .. } => source.is_not_built(),
            _ => false,
        }
    }
}
