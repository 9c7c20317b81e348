//! Pages on their way to becoming an extent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::StoreError;
use crate::local::extents::space::Run;
use crate::local::extents::{Extents, lock};
use crate::local::run_blocking;

/// Pages taken for an extent that does not exist yet. They are free again when the last holder
/// drops this, unless the extent came to exist.
#[derive(Debug)]
pub(crate) struct Reservation {
    extents: Arc<Extents>,
    runs: Mutex<Vec<Run>>,
    is_kept: AtomicBool,
}

impl Reservation {
    pub(crate) fn new(extents: Arc<Extents>) -> Self {
        Self { extents, runs: Mutex::default(), is_kept: AtomicBool::new(false) }
    }

    /// Takes a run of `pages` pages, or of some times `pages_min` when what is free is in pieces.
    pub(crate) async fn reserve(self: &Arc<Self>, pages: u32, pages_min: u32) -> Result<Run, StoreError> {
        if let Some(run) = self.reserve_free(pages, pages_min) {
            return Ok(run);
        }
        let reservation = self.clone();
        run_blocking(move || {
            let run = reservation.extents.allocate(pages, pages_min)?;
            lock(&reservation.runs).push(run);
            Ok(run)
        })
        .await
    }

    /// As [`Self::reserve`], of what is free now.
    pub(crate) fn reserve_free(&self, pages: u32, pages_min: u32) -> Option<Run> {
        let run = lock(&self.extents.space).allocate(pages, pages_min)?;
        lock(&self.runs).push(run);
        Some(run)
    }

    /// Gives back all but the first `used` pages of `run`.
    pub(crate) fn trim(&self, run: Run, used: u32) {
        for reserved in lock(&self.runs).iter_mut().filter(|reserved| **reserved == run) {
            reserved.pages = used;
            self.extents.free(&[Run { page: run.page + used, pages: run.pages - used, ..run }]);
        }
    }

    pub(crate) fn keep(&self) {
        self.is_kept.store(true, Ordering::SeqCst);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::SeqCst) {
            self.extents.free(&lock(&self.runs));
        }
    }
}
