//! What can go wrong in the guest: each says what was being done.

use std::io;

/// A step of the guest that failed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The kernel or a file refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// The step, as "mount /app".
        doing: String,
        /// The refusal.
        source: io::Error,
    },
    /// A program that the guest OS brings ended badly.
    #[error("{program} ended with {status}: {output}")]
    Program {
        /// Its name and arguments.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote to its standard error.
        output: String,
    },
    /// A virtual drive or port that the node must attach is not there.
    #[error("{0} is not attached to this virtual machine")]
    Missing(String),
    /// The goal asks for something that cannot be.
    #[error("{0}")]
    Goal(String),
}

/// Adds to an error what was being done.
pub trait Doing<T> {
    /// Names the step that failed.
    fn doing(self, step: impl FnOnce() -> String) -> Result<T, GuestError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, step: impl FnOnce() -> String) -> Result<T, GuestError> {
        self.map_err(|source| GuestError::Io { doing: step(), source: source.into() })
    }
}
