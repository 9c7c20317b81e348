//! What the disk can do with the same bytes, in the same run.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use crate::load::rate;
use crate::raw::{RawFile, RawLog};
use crate::storage::error::StorageError;
use crate::storage::work::{LARGE_BYTES, Work};

/// Places that a raw writer writes in turn.
const PLACES: u64 = 4;
const WRITERS_MAX: usize = 16;

/// The raw files, made once.
#[derive(Debug)]
pub struct Limit {
    log: RawLog,
    files: Vec<RawFile>,
    contents: HashMap<usize, Bytes>,
}

impl Limit {
    /// Makes the files in `folder`.
    pub fn prepare(folder: &Path) -> Result<Self, StorageError> {
        let files = (0..WRITERS_MAX)
            .map(|number| RawFile::create(&folder.join(format!("raw-{number}")), LARGE_BYTES, PLACES))
            .collect::<Result<_, _>>()?;
        let sizes = Work::ALL.iter().filter_map(|work| work.durable_bytes());
        let contents = sizes.map(|bytes| (bytes, Bytes::from(vec![0x5A; bytes]))).collect();
        Ok(Self { log: RawLog::start(&folder.join("raw-log"))?, files, contents })
    }

    /// Operations per second: small ones share one write and one `fdatasync`, each large one has its own.
    pub async fn rate(
        &self,
        work: Work,
        connections: usize,
        duration: Duration,
    ) -> Result<Option<f64>, StorageError> {
        let Some(content) = work.durable_bytes().and_then(|bytes| self.contents.get(&bytes)).cloned() else {
            return Ok(None);
        };
        let (log, files) = (self.log.clone(), self.files.clone());
        let is_large = content.len() == LARGE_BYTES;
        let limit = rate(connections, duration, move |submitter, number| {
            let (log, content) = (log.clone(), content.clone());
            let file = files.get(submitter).filter(|_| is_large).cloned();
            async move {
                match file {
                    Some(file) => file.write(content, number).await,
                    None => log.append(content).await,
                }
            }
        });
        Ok(Some(limit.await?))
    }
}
