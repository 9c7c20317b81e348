//! Commits after which rows name new extents, or no longer name old ones.
//!
//! A request may end at any moment, because its client is gone; what it sent to the store happens
//! nevertheless. So what follows a commit is not left to the request: commit and what comes of it
//! run to their end together, and then each extent is named by a row or on its way to be released.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use welkin_store::{Commit, CommitError, ExtentRef, StoreError};

use crate::Storage;
use crate::error::EngineError;

/// A durable extent that no row names yet. It is given back when the last holder drops it, unless a
/// row came to name it.
#[derive(Debug)]
pub(crate) struct Unnamed {
    extent: ExtentRef,
    storage: Storage,
    is_named: AtomicBool,
}

impl Unnamed {
    pub(crate) fn new(extent: ExtentRef, storage: Storage) -> Arc<Self> {
        Arc::new(Self { extent, storage, is_named: AtomicBool::new(false) })
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !*self.is_named.get_mut() {
            self.storage.releaser().discard(vec![self.extent.clone()]);
        }
    }
}

/// A commit, and what it means for extents.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) commit: Commit,
    /// Named by no row before, and by one after it.
    pub(crate) new: Vec<Arc<Unnamed>>,
    /// Named by one row before and by another one after it.
    pub(crate) moved: Vec<ExtentRef>,
    /// Named by no row after it.
    pub(crate) freed: Vec<ExtentRef>,
}

impl Exchange {
    /// A commit that means nothing for extents yet.
    pub(crate) fn of(commit: Commit) -> Self {
        Self { commit, new: Vec::new(), moved: Vec::new(), freed: Vec::new() }
    }

    async fn run(self, storage: &Storage) -> Result<bool, EngineError> {
        // A search for extents that no row names may have read the rows that these go into.
        let _noted = storage.named().add(self.moved.iter()).await;
        match storage.store().commit(self.commit).await {
            Ok(_) => {
                self.new.iter().for_each(|extent| extent.is_named.store(true, Ordering::SeqCst));
                storage.releaser().free(self.freed);
                Ok(true)
            }
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(CommitError::Store(error)) => {
                if !is_refused(&error) {
                    // Not known whether a row names them: the next start finds out.
                    self.new.iter().for_each(|extent| extent.is_named.store(true, Ordering::SeqCst));
                }
                Err(error.into())
            }
        }
    }
}

/// Whether the store did nothing, for sure.
fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Full | StoreError::TooLarge { .. })
}

impl Storage {
    /// Commits, and gives back what is free then; false when a check did not hold. All of that happens also when
    /// the caller does not wait for it.
    pub(crate) async fn exchange(&self, exchange: Exchange) -> Result<bool, EngineError> {
        if exchange.new.is_empty() && exchange.moved.is_empty() && exchange.freed.is_empty() {
            return exchange.run(self).await;
        }
        let storage = self.clone();
        let task = tokio::spawn(async move { exchange.run(&storage).await });
        task.await.map_err(|_| StoreError::Closed)?
    }
}
