//! Why there is no backup, or no store of one.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// A backup cannot be taken, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever took the backup's bytes takes no more.
    #[error("nobody takes the backup's bytes any more")]
    Abandoned,
    /// The store that the backup was to be taken of failed.
    #[error("the backup was not taken to its end: {why}")]
    Failed {
        /// What it said.
        why: String,
    },
    /// The bytes are no backup.
    #[error("this is no backup: it does not begin with \"welkin backup 1\"")]
    NoBackup,
    /// The backup is cut off.
    #[error("the backup ends at offset {offset}, before its end: it was cut off")]
    Cut {
        /// Its length.
        offset: u64,
    },
    /// The backup was changed.
    #[error("the backup is damaged at offset {offset}: {why}")]
    Damaged {
        /// Where the record is that is wrong.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// There is something where the store shall be.
    #[error("{path} is there and not an empty folder: name one that does not exist")]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// A restore did not end.
    #[error("{path} is left of a restore that did not end: remove it")]
    Unfinished {
        /// Where.
        path: PathBuf,
    },
    /// The backup cannot be read, or the folder not be made.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BackupError {
    pub(crate) fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        |source| Self::Io { doing, source }
    }
}
