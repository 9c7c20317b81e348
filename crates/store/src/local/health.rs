//! Whether the store may still write.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;

/// Shared by everything that writes.
#[derive(Debug, Default)]
pub(crate) struct Health {
    poisoned: AtomicBool,
    full: AtomicBool,
}

impl Health {
    /// Refuses all writes from now on: after a failed flush the kernel may have dropped the
    /// pages, so a later flush that succeeds proves nothing.
    pub(crate) fn poison(&self, why: &dyn std::fmt::Display) {
        if !self.poisoned.swap(true, Ordering::SeqCst) {
            tracing::error!(%why, "the store refuses writes from now on; restart to recover");
        }
    }

    /// Notes that the disk is full, or has room again.
    pub(crate) fn set_full(&self, full: bool) {
        if self.full.swap(full, Ordering::SeqCst) != full {
            tracing::warn!(full, "disk space of the store changed");
        }
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Whether the store refuses writes.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }

    /// Fails when poisoned.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_poisoned() { Err(StoreError::Poisoned) } else { Ok(()) }
    }
}
