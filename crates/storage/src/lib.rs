//! What an account, a container, a blob, a table and a queue mean, over the store.
//!
//! Every change reads rows, computes, and commits if they are unchanged; who loses reads again. Nothing here
//! knows HTTP or XML, reads a clock, or draws random numbers: those are arguments.
//!
//! * [`account`]: storage accounts, their keys and settings. [`service`]: properties of their services.
//! * [`blob`]: containers, block blobs, their blocks and contents.
//! * [`table`]: tables and their entities. [`queue`]: queues and their messages.
//! * `due`: what ceases to exist at a moment. [`cleaner`]: removes what lies under deleted things.
//! * [`check`]: looks at everything, and says what is damaged.
//! * [`release`]: when the bytes of an extent may go. `orphan`: extents that a crash left.
//! * [`record`], [`space`], [`uid`]: how all of it lies in the store.

pub mod account;
pub mod blob;
pub mod check;
pub mod cleaner;
mod due;
pub mod error;
mod exchange;
mod orphan;
pub mod queue;
pub mod record;
pub mod release;
pub mod service;
pub mod space;
pub mod table;
pub mod uid;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use welkin_store::{Store, StoreError};

pub use account::{Account, AccountError, AccountSettings, KeyName, NewKeys};
pub use error::EngineError;
pub use uid::Uid;

/// The storage engine. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    releaser: release::Releaser,
    releasing: Mutex<Option<JoinHandle<()>>>,
    live_queues: queue::live::LiveQueues,
    named: orphan::Named,
    staged_counts: blob::staged::StagedCounts,
    cleaned: cleaner::Cleaned,
}

impl Storage {
    /// The engine over a store. Call it within a tokio runtime, which it uses to release space.
    #[must_use]
    pub fn over(store: Store) -> Self {
        let (releaser, freed) = release::Releaser::new();
        let releasing = Mutex::new(Some(tokio::spawn(release::run(store.clone(), freed))));
        let live_queues = queue::live::LiveQueues::default();
        let staged_counts = blob::staged::StagedCounts::default();
        let named = orphan::Named::default();
        let cleaned = cleaner::Cleaned::default();
        let inner = Inner { store, releaser, releasing, live_queues, named, staged_counts, cleaned };
        Self { inner: Arc::new(inner) }
    }

    /// The store beneath.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Ends background work and closes the store. Call it when no request is in flight; later ones fail.
    ///
    /// # Errors
    /// When the last flush fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.releaser.end();
        let releasing = self.inner.releasing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = releasing
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the release of space ended badly");
        }
        self.inner.store.close().await
    }

    pub(crate) fn releaser(&self) -> &release::Releaser {
        &self.inner.releaser
    }

    pub(crate) fn cleaned(&self) -> &cleaner::Cleaned {
        &self.inner.cleaned
    }

    pub(crate) fn named(&self) -> &orphan::Named {
        &self.inner.named
    }

    pub(crate) fn live_queues(&self) -> &queue::live::LiveQueues {
        &self.inner.live_queues
    }

    pub(crate) fn staged_counts(&self) -> &blob::staged::StagedCounts {
        &self.inner.staged_counts
    }
}
