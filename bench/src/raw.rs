//! What the disk can do, with nothing but system calls: the limits that the engine is measured against.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::load::BenchError;

const LOG_BYTES: u64 = 64 * 1024 * 1024;
const MIB: usize = 1024 * 1024;

/// Appends to a zeroed file; all that wait share one write and one `fdatasync`.
#[derive(Debug, Clone)]
pub struct RawLog {
    sender: mpsc::UnboundedSender<(Bytes, oneshot::Sender<()>)>,
}

impl RawLog {
    /// Makes the file and starts the thread that appends.
    pub fn start(path: &Path) -> Result<Self, BenchError> {
        let file = File::create_new(path)?;
        for offset in (0..LOG_BYTES).step_by(MIB) {
            file.write_all_at(&vec![0; MIB], offset)?;
        }
        file.sync_all()?;
        let (sender, receiver) = mpsc::unbounded_channel();
        std::thread::spawn(move || append_all(&file, receiver));
        Ok(Self { sender })
    }

    /// Appends `bytes`; durable when it returns.
    pub async fn append(&self, bytes: Bytes) -> Result<(), BenchError> {
        let (done, is_done) = oneshot::channel();
        // A failed thread drops the answer, which is seen below.
        let _ = self.sender.send((bytes, done));
        is_done.await.map_err(|_| BenchError::Task("the raw log cannot write".to_owned()))
    }
}

type Appends = mpsc::UnboundedReceiver<(Bytes, oneshot::Sender<()>)>;

fn append_all(file: &File, mut appends: Appends) {
    let mut offset = 0;
    let mut group = Vec::new();
    while let Some(first) = appends.blocking_recv() {
        group.clear();
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some((bytes, done)) = next {
            group.extend_from_slice(&bytes);
            waiting.push(done);
            next = appends.try_recv().ok();
        }
        if offset + group.len() as u64 > LOG_BYTES {
            offset = 0;
        }
        if file.write_all_at(&group, offset).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        offset += group.len() as u64;
        for done in waiting {
            // The submitter may have ended.
            let _ = done.send(());
        }
    }
}

/// A preallocated file that one submitter writes again and again.
#[derive(Debug, Clone)]
pub struct RawFile {
    file: Arc<File>,
    places: u64,
}

impl RawFile {
    /// Preallocates room for `places` writes of `bytes` bytes.
    pub fn create(path: &Path, bytes: usize, places: u64) -> Result<Self, BenchError> {
        let file = File::options().create_new(true).read(true).write(true).open(path)?;
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, flags, 0, bytes as u64 * places).map_err(std::io::Error::from)?;
        file.sync_all()?;
        Ok(Self { file: Arc::new(file), places })
    }

    /// Writes `bytes` at the next place; durable when it returns.
    pub async fn write(&self, bytes: Bytes, number: u64) -> Result<(), BenchError> {
        let (file, places) = (self.file.clone(), self.places);
        blocking(move || {
            file.write_all_at(&bytes, number % places * bytes.len() as u64)?;
            file.sync_data()
        })
        .await
    }

    /// Reads `bytes` bytes from the start, in pieces.
    pub fn read(&self, bytes: usize, piece: usize) -> Result<(), BenchError> {
        for offset in (0..bytes).step_by(piece) {
            let mut buffer = Vec::with_capacity(piece.min(bytes - offset));
            let spare = rustix::buffer::spare_capacity(&mut buffer);
            rustix::io::pread(&*self.file, spare, offset as u64).map_err(std::io::Error::from)?;
            std::hint::black_box(&buffer);
        }
        Ok(())
    }
}

async fn blocking(run: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), BenchError> {
    let result = tokio::task::spawn_blocking(run).await;
    Ok(result.map_err(|error| BenchError::Task(error.to_string()))??)
}
