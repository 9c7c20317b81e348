//! Why the store cannot answer.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder is in use by another process.
    #[error("{path} is in use by another process; end it, or choose another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is on disk fails its checksum or cannot be: `what` names the place.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// The file and the place in it.
        what: String,
        /// What was found.
        why: String,
    },
    /// A flush failed before; nothing is acknowledged until the store is opened again.
    #[error("the store refuses writes since a flush failed; restart to recover")]
    Poisoned,
    /// The disk is full: writes are refused, reads and deletes go on.
    #[error("no space left for writes")]
    Full,
    /// A row, key or extent is larger than the store takes.
    #[error("{what} has {length_bytes} bytes; at most {length_bytes_max} are taken")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its length.
        length_bytes: u64,
        /// The limit.
        length_bytes_max: u64,
    },
    /// The space's number belongs to the store itself.
    #[error("space {name} has the number {id}, which the store keeps for itself")]
    ReservedSpace {
        /// The number.
        id: u16,
        /// The space's name.
        name: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The extent does not exist (it was released).
    #[error("extent {0} does not exist")]
    NoExtent(String),
    /// No member of etcd answers, or they have no majority. A commit may have happened all the same.
    #[error("etcd does not answer: {0}; see that a majority of its members runs and is reachable")]
    Unavailable(String),
    /// etcd refused.
    #[error("etcd refuses: {0}")]
    Etcd(String),
    /// Somebody else leads since: nothing was written.
    #[error("another process leads since, so that this one may not write")]
    Deposed,
    /// What only the embedded store has.
    #[error("a store over etcd has no {0}")]
    NotOverEtcd(&'static str),
    /// The table engine failed.
    #[error("the row tables failed: {0}")]
    Tables(String),
}

impl StoreError {
    /// Wraps an error of the operating system; a full disk is an error of its own.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, path: path.to_owned(), source },
        }
    }
}
