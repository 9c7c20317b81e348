//! The extent files grow in steps when no page is free, and are cut when many are.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::error::StoreError;
use crate::local::extents::file::ExtentFile;
use crate::local::extents::layout::PAGE_BYTES;
use crate::local::extents::space::Run;
use crate::local::extents::{Extents, file_path, lock};
use crate::local::folder::sync_folder;

impl Extents {
    /// Takes pages; the files grow when there are none. See [`Reservation::reserve`].
    pub(crate) fn allocate(&self, pages: u32, pages_min: u32) -> Result<Run, StoreError> {
        let _growth = lock(&self.growth);
        loop {
            {
                let mut space = lock(&self.space);
                if let Some(run) = space.allocate(pages, pages_min) {
                    return Ok(run);
                }
                // Whoever writes needs it more than the file system does.
                if space.offer() {
                    continue;
                }
            }
            self.grow(pages)?;
        }
    }

    /// Makes a file longer, or begins a new one.
    fn grow(&self, pages: u32) -> Result<(), StoreError> {
        let step = self.options.extent_step_bytes.max(u64::from(pages) * PAGE_BYTES as u64);
        let step = step.next_multiple_of(PAGE_BYTES as u64);
        if self.options.disk_bytes_max.is_some_and(|max| self.disk_bytes() + step > max) {
            return Err(StoreError::Full);
        }
        let file_bytes_max = self.options.extent_file_bytes.max(step);
        for number in 1.. {
            let (file, offset) = match self.file(number) {
                Ok(file) => (file.clone(), file.bytes()?),
                Err(_) => (self.begin_file(number)?, 0),
            };
            if offset + step <= file_bytes_max {
                file.grow(offset, step)?;
                self.extent_bytes.fetch_add(step, Ordering::Relaxed);
                let page = (offset / PAGE_BYTES as u64) as u32;
                self.free(&[Run { file: number, page, pages: (step / PAGE_BYTES as u64) as u32 }]);
                break;
            }
        }
        Ok(())
    }

    fn begin_file(&self, number: u32) -> Result<Arc<ExtentFile>, StoreError> {
        let file = Arc::new(ExtentFile::open(&file_path(&self.folder, number), self.health.clone())?);
        sync_folder(&self.folder)?;
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(number, file.clone());
        Ok(file)
    }

    /// Disk space of extents and tables.
    fn disk_bytes(&self) -> u64 {
        self.extent_bytes.load(Ordering::Relaxed) + self.tables.disk_bytes()
    }

    /// Whether rows are refused because of a full disk.
    pub(crate) fn is_short(&self) -> bool {
        self.health.is_full() || self.options.disk_bytes_max.is_some_and(|max| self.disk_bytes() >= max)
    }

    /// Gives the free end of what is withheld back to the file system; answers how many bytes.
    /// The file stays, be it empty: files are numbered without a gap.
    pub(crate) fn cut(&self) -> Result<u64, StoreError> {
        let _growth = lock(&self.growth);
        let tail = {
            let mut space = lock(&self.space);
            let tail = space.withheld().and_then(|region| space.free_end(region));
            tail.filter(|&tail| space.take(tail))
        };
        let Some(tail) = tail else {
            return Ok(0);
        };
        let bytes = u64::from(tail.pages) * PAGE_BYTES as u64;
        if let Err(error) = self.file(tail.file)?.cut(u64::from(tail.page) * PAGE_BYTES as u64) {
            self.free(&[tail]);
            return Err(error);
        }
        self.extent_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Lengths of the files in pages, by their numbers.
    pub(crate) fn file_pages(&self) -> Result<Vec<(u32, u32)>, StoreError> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|(&number, file)| Ok((number, (file.bytes()? / PAGE_BYTES as u64) as u32))).collect()
    }

    /// Bytes of the files that no extent has.
    pub(crate) fn free_bytes(&self) -> u64 {
        lock(&self.space).pages() * PAGE_BYTES as u64
    }

    /// Frees pages that rows named until now, when no [`Hold`] keeps them.
    pub(crate) fn give_back(&self, runs: &[Run]) {
        if !lock(&self.deferred).keep(runs) {
            self.free(runs);
        }
    }

    pub(crate) fn free(&self, runs: &[Run]) {
        let mut space = lock(&self.space);
        for &run in runs {
            if let Err(overlap) = space.free(run) {
                // A bug: better to lose the pages until the next start than to give them out twice.
                tracing::error!(?run, ?overlap, "pages of an extent are free already");
            }
        }
    }
}
