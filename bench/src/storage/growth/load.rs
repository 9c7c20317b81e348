//! Loading many items, and where they are.

use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use tokio::task::JoinSet;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::table::Change;
use welkin_storage::{Storage, Uid};
use welkin_storage_wire::Service;
use welkin_storage_wire::table::{EntityKey, Value};
use welkin_store::Store;

use crate::storage::account::{self, Account};
use crate::storage::error::StorageError;
use crate::storage::seed::{make, put_blobs};
use crate::storage::work::{LISTED, QUERIED, SMALL_BYTES, Work};
use crate::storage::worker::StorageWorker;

/// Entities of one partition.
const PARTITION: usize = 10_000;
/// Entities of one commit: as many as an entity group transaction may have.
const TOGETHER: usize = 100;
/// Commits that wait at the same time.
const COMMITS: usize = 64;
/// Text of an entity.
const TEXT_BYTES: usize = 100;

/// Makes the container or table that is loaded.
pub async fn prepare(account: &Account, service: Service) -> Result<(), StorageError> {
    let work = if service == Service::Table { Work::InsertEntity } else { Work::PutBlob(SMALL_BYTES) };
    let mut worker = StorageWorker::new(work, account, String::new()).await?;
    make(&mut worker, service, "bench").await
}

/// Puts blobs, over the protocol.
pub async fn blobs(account: &Account, numbers: Range<usize>) -> Result<(), StorageError> {
    let first = numbers.start;
    put_blobs(account, SMALL_BYTES, numbers.len(), move |number| blob_target(first + number)).await
}

/// Inserts entities, through the engine: a load through the protocol would take long, and end in the same rows.
pub async fn entities(data: &Path, numbers: Range<usize>) -> Result<(), StorageError> {
    let storage = Storage::over(Store::open_local(data).await.map_err(|error| failed(&error))?);
    let name = AccountName::new(account::NAME).map_err(|error| failed(&error))?;
    let account = storage.account(&name).await.map_err(|error| failed(&error))?;
    let account =
        account.ok_or_else(|| StorageError::Engine("there is no development account".to_owned()))?;
    let mut tasks = JoinSet::new();
    for first in numbers.clone().step_by(TOGETHER) {
        if tasks.len() == COMMITS {
            ended(tasks.join_next().await)?;
        }
        let rows = first..numbers.end.min(first + TOGETHER);
        tasks.spawn(insert(storage.clone(), account.uid, rows));
    }
    while let Some(task) = tasks.join_next().await {
        ended(Some(task))?;
    }
    storage.close().await.map_err(|error| failed(&error))
}

type Ended = Option<Result<Result<(), StorageError>, tokio::task::JoinError>>;

fn ended(task: Ended) -> Result<(), StorageError> {
    task.map_or(Ok(()), |task| task.map_err(|error| failed(&error))?)
}

async fn insert(storage: Storage, account: Uid, numbers: Range<usize>) -> Result<(), StorageError> {
    let text = "z".repeat(TEXT_BYTES);
    let changes = numbers.map(|number| {
        let key = EntityKey { partition: partition(number), row: row(number) };
        let properties = [
            ("Number", Value::Int64(i64::try_from(number).unwrap_or(i64::MAX))),
            ("Flag", Value::Boolean(true)),
            ("Text", Value::String(text.clone())),
        ];
        (key, Change::Insert(properties.map(|(name, value)| (name.to_owned(), value)).into()))
    });
    let changes: Vec<_> = changes.collect();
    let now = Timestamp::from(SystemTime::now());
    let written = storage.change_entities(account, "bench", &changes, now).await;
    written.map(drop).map_err(|error| failed(&error.error))
}

fn failed(error: &dyn std::fmt::Display) -> StorageError {
    StorageError::Engine(error.to_string())
}

fn partition(number: usize) -> String {
    format!("p{:06}", number / PARTITION)
}

fn row(number: usize) -> String {
    format!("{number:09}")
}

/// A blob.
pub fn blob_target(number: usize) -> String {
    format!("/bench/grown-{number:09}")
}

/// As many blobs as one answer holds, from the one of this number or a little before.
pub fn list_target(number: usize) -> String {
    // Ten thousand blobs have the prefix, so that the answer is full wherever it begins.
    let prefix = number / 10_000;
    format!("/bench?restype=container&comp=list&maxresults={LISTED}&prefix=grown-{prefix:05}")
}

/// An entity.
pub fn entity_target(number: usize) -> String {
    format!("/bench(PartitionKey='{}',RowKey='{}')", partition(number), row(number))
}

/// As many entities of one partition as one answer holds, from the one of this number or a little before.
pub fn range_target(number: usize) -> String {
    let first = number / QUERIED * QUERIED;
    let (partition, first, end) = (partition(first), row(first), row(first + QUERIED));
    let filter = format!("PartitionKey eq '{partition}' and RowKey ge '{first}' and RowKey lt '{end}'");
    format!("/bench()?$filter={}", filter.replace(' ', "%20"))
}

/// What a folder takes on the disk.
pub fn disk_bytes(folder: &Path) -> Result<u64, StorageError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            // As stat(2) has it, in units of 512 bytes.
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}
