//! One preallocated extent file.
//!
//! Written with direct I/O, which needs a third of the CPU and leaves nothing to write back at
//! the flush; read through the page cache. File systems without direct I/O are written buffered.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::local::extents::layout::PAGE_BYTES;
use crate::local::health::Health;

/// An open extent file.
#[derive(Debug)]
pub(crate) struct ExtentFile {
    pub(crate) path: PathBuf,
    reader: File,
    writer: File,
    flushes: Mutex<Flushes>,
    health: Arc<Health>,
}

/// Who waits for the next flush, and whether one runs.
#[derive(Debug, Default)]
struct Flushes {
    is_running: bool,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl ExtentFile {
    /// Opens the file, which is made when missing.
    pub(crate) fn open(path: &Path, health: Arc<Health>) -> Result<Self, StoreError> {
        let io = || StoreError::io("open", path);
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let direct = options.clone().custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32).open(path);
        let writer = match direct {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                options.open(path).map_err(io())?
            }
            Err(error) => return Err(io()(error)),
        };
        let reader = File::open(path).map_err(io())?;
        Ok(Self { path: path.to_owned(), reader, writer, flushes: Mutex::default(), health })
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.reader.metadata().map_err(StoreError::io("inspect", &self.path))?.len())
    }

    /// Preallocates from `offset` on, durably.
    pub(crate) fn grow(&self, offset: u64, bytes: u64) -> Result<(), StoreError> {
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.writer, flags, offset, bytes) {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP) => {
                self.writer.set_len(offset + bytes).map_err(StoreError::io("grow", &self.path))?;
            }
            Err(error) => return Err(StoreError::io("grow", &self.path)(error.into())),
        }
        self.writer.sync_all().map_err(StoreError::io("flush", &self.path))
    }

    /// Gives everything from `bytes` on back to the file system.
    pub(crate) fn cut(&self, bytes: u64) -> Result<(), StoreError> {
        self.writer.set_len(bytes).map_err(StoreError::io("shorten", &self.path))
    }

    /// Writes whole pages from an aligned buffer.
    pub(crate) fn write(&self, buffer: &AlignedBuffer, offset: u64) -> Result<(), StoreError> {
        self.writer.write_all_at(buffer.pages(), offset).map_err(StoreError::io("write", &self.path))
    }

    /// Appends `length` bytes from `offset` on to `out`.
    pub(crate) fn read(&self, out: &mut Vec<u8>, offset: u64, length: usize) -> Result<(), StoreError> {
        let io = || StoreError::io("read", &self.path);
        let end = out.len() + length;
        out.reserve_exact(length);
        while out.len() < end {
            let at = offset + (length - (end - out.len())) as u64;
            let missing = end - out.len();
            // `spare_capacity` may be larger than what was reserved, so the surplus is cut off below.
            let read = rustix::io::pread(&self.reader, rustix::buffer::spare_capacity(out), at)
                .map_err(|error| io()(error.into()))?;
            if read == 0 {
                return Err(io()(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if read > missing {
                out.truncate(end);
            }
        }
        Ok(())
    }

    /// Makes everything written before durable; all that wait at the same time share one flush.
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        let starts = {
            let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
            flushes.waiting.push(sender);
            !std::mem::replace(&mut flushes.is_running, true)
        };
        if starts {
            let file = self.clone();
            tokio::task::spawn_blocking(move || file.flush_all());
        }
        match receiver.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Poisoned),
            Err(_) => Err(StoreError::Closed),
        }
    }

    fn flush_all(&self) {
        loop {
            let waiting = {
                let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
                if flushes.waiting.is_empty() {
                    flushes.is_running = false;
                    return;
                }
                std::mem::take(&mut flushes.waiting)
            };
            let result = self.writer.sync_data().map_err(StoreError::io("flush", &self.path));
            if let Err(error) = &result {
                self.health.poison(error);
            }
            for sender in waiting {
                // A writer that was dropped does not wait any more.
                let _ = sender.send(result.is_ok());
            }
        }
    }
}

/// A buffer that begins at a page boundary in memory, as direct I/O asks for.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
}

impl AlignedBuffer {
    /// An empty buffer for `capacity` bytes, a multiple of a page.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut memory = Vec::<u8>::with_capacity(capacity + PAGE_BYTES);
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        memory.resize(start, 0);
        Self { memory, start, capacity }
    }

    /// The same bytes in a buffer of another capacity.
    pub(crate) fn with_capacity(&self, capacity: usize) -> Self {
        let mut larger = Self::new(capacity);
        larger.push(self.bytes());
        larger
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.bytes().len()
    }

    /// Appends bytes that fit.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
    }

    /// The bytes so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// Pads with zeros to whole pages, so that nothing of an older extent stays behind.
    pub(crate) fn pad(&mut self) {
        self.memory.resize(self.start + self.bytes().len().next_multiple_of(PAGE_BYTES), 0);
    }

    fn pages(&self) -> &[u8] {
        self.bytes()
    }
}
