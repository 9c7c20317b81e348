//! Why the controller cannot start, or something that it was asked cannot be done.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use welkin_base::Digest;
use welkin_fabric::row::RowError;
use welkin_pki::PkiError;
use welkin_store::StoreError;

use crate::row::RowsError;

/// A file or folder that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {source}")]
pub struct FileError {
    /// What was being done, as a verb.
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Says what was being done when an I/O error came.
pub(crate) fn on<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError { doing, path: path.to_owned(), source }
}

/// Why the controller ends, or does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration contradicts itself.
    #[error("the fabric controller's configuration is wrong: {0}")]
    Config(String),
    /// The port is taken, or the address is not of this machine.
    #[error("cannot listen on {address}: {source}; end what listens there, or configure another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// `mksquashfs` does not run.
    #[error("cannot run mksquashfs, which makes application images: {0}; install the package squashfs-tools")]
    NoMksquashfs(io::Error),
    /// The guest OS folder is not what it should be.
    #[error("the guest OS in {path} is not complete: {why}; build it again")]
    GuestOs {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A key cannot be read.
    #[error(
        "{0} is not a key; restore it from a backup: packages or certificates sent before cannot be opened without it"
    )]
    Key(PathBuf),
    /// One of several controllers has no key.
    #[error("{0} is missing; copy it from another fabric controller, for all have the same")]
    NoKey(PathBuf),
    /// The keys are not those of the controllers that led before.
    #[error(
        "this fabric controller has another package.key or certificate.key than those that led before; copy both from \
         one of them"
    )]
    OtherKeys,
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The store.
    #[error("the fabric controller's store failed: {0}")]
    Store(#[from] StoreError),
    /// A row of the store.
    #[error("the fabric controller's store: {0}")]
    Row(#[from] RowError),
    /// Content.
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl From<RowsError> for RunError {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Store(error) => Self::Store(error),
            RowsError::Row(error) => Self::Row(error),
            RowsError::Conflict => Self::Config("two fabric controllers use one store".to_owned()),
        }
    }
}

/// Why content is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It has another digest than it was sent under.
    #[error("the bytes have the digest {found}, and were sent as {expected}: send them again")]
    OtherDigest {
        /// What was said.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// It is too long.
    #[error("there are more than {bytes_max} bytes, which is the most that is taken")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The sender broke off.
    #[error("the body broke off: {0}")]
    Broken(String),
    /// Files.
    #[error(transparent)]
    File(#[from] FileError),
}
