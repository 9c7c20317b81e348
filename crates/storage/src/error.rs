//! What can go wrong beneath every noun.

use welkin_store::{Commit, CommitError, Store, StoreError, Version};

/// A change is computed anew at most this often when others change the same rows in between. Each lost round
/// means that another change won, so that many lost in a row mean a crowd, not bad luck.
pub(crate) const COMMIT_TRIES_MAX: usize = 200;

/// The engine cannot do what was asked, whatever it was.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row does not hold what it must.
    #[error("a {noun} is damaged: {why}")]
    Damaged {
        /// What the row should hold.
        noun: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Too many change the same thing at once.
    #[error("too many changes of one thing at once")]
    Busy,
}

/// Commits; `None` when a check did not hold, so that the caller reads again and decides anew.
pub(crate) async fn try_commit(store: &Store, commit: Commit) -> Result<Option<Version>, EngineError> {
    match store.commit(commit).await {
        Ok(version) => Ok(Some(version)),
        Err(CommitError::Conflict { .. }) => Ok(None),
        Err(CommitError::Store(error)) => Err(error.into()),
    }
}
