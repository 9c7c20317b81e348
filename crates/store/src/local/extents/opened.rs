//! Files and free pages at the start of the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Notify, Semaphore};

use crate::error::StoreError;
use crate::local::counters::Counters;
use crate::local::extents::cache::ReadCache;
use crate::local::extents::file::ExtentFile;
use crate::local::extents::layout::{EXTENTS, Layout, PAGE_BYTES, damaged};
use crate::local::extents::space::{Run, Space};
use crate::local::extents::writer::PERMIT_BYTES;
use crate::local::extents::{Extents, file_path, parse_id, parse_layout};
use crate::local::folder::create_folder;
use crate::local::health::Health;
use crate::local::options::LocalOptions;
use crate::local::pace::Pace;
use crate::local::queue::Queue;
use crate::local::tables::Tables;

/// Files and their free pages, before the store runs.
pub(crate) struct Opened {
    folder: PathBuf,
    options: LocalOptions,
    health: Arc<Health>,
    files: HashMap<u32, Arc<ExtentFile>>,
    space: Space,
    extent_bytes: Arc<AtomicU64>,
    next_id: u64,
}

impl Opened {
    /// Opens the files of `folder`, and finds what is free by the rows in `tables`.
    pub(crate) fn open(
        folder: &Path,
        tables: &Tables,
        options: &LocalOptions,
        health: Arc<Health>,
        extent_bytes: Arc<AtomicU64>,
        next_commit: u64,
    ) -> Result<Self, StoreError> {
        create_folder(folder)?;
        let mut opened = Self {
            folder: folder.to_owned(),
            options: options.clone(),
            health,
            files: HashMap::new(),
            space: Space::default(),
            extent_bytes,
            // Each extent takes a commit of its own, so numbers of commits are ahead of all ids.
            next_id: next_commit,
        };
        opened.open_files()?;
        // Nobody can use the store yet, so that the time of this counts, row by row.
        tables.each(&tables.moment(), EXTENTS, |key, value| {
            let id = parse_id(key)?;
            opened.mark_used(id, &parse_layout(id, value)?)
        })?;
        Ok(opened)
    }

    fn open_files(&mut self) -> Result<(), StoreError> {
        for number in 1.. {
            let path = file_path(&self.folder, number);
            if !path.exists() {
                break;
            }
            let file = ExtentFile::open(&path, self.health.clone())?;
            let bytes = file.bytes()?;
            let pages = (bytes / PAGE_BYTES as u64) as u32;
            // A file that was just opened has no pages yet, so nothing overlaps.
            let _ = self.space.free(Run { file: number, page: 0, pages });
            self.extent_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.files.insert(number, Arc::new(file));
        }
        Ok(())
    }

    fn mark_used(&mut self, id: u64, layout: &Layout) -> Result<(), StoreError> {
        for &run in &layout.runs {
            if !self.space.take(run) {
                let offset = u64::from(run.page) * PAGE_BYTES as u64;
                let why =
                    format!("extent {id} should have {} pages here, which are taken or missing", run.pages);
                return Err(damaged(&file_path(&self.folder, run.file), offset, why));
            }
        }
        Ok(())
    }

    /// The extents of a running store.
    pub(crate) fn connect(
        self,
        tables: Arc<Tables>,
        queue: Arc<Queue>,
        pace: Arc<Pace>,
        counters: Arc<Counters>,
    ) -> Extents {
        Extents {
            cache: ReadCache::new(self.options.read_cache_bytes),
            write_room: Arc::new(Semaphore::new(self.options.write_buffer_bytes as usize / PERMIT_BYTES)),
            folder: self.folder,
            options: self.options,
            health: self.health,
            tables,
            queue,
            pace,
            files: RwLock::new(self.files),
            space: Mutex::new(self.space),
            deferred: Mutex::default(),
            growth: Mutex::default(),
            unlogged: Mutex::default(),
            logged: Notify::new(),
            extent_bytes: self.extent_bytes,
            counters,
            next_id: AtomicU64::new(self.next_id),
            first_id: self.next_id,
        }
    }
}
