//! What must be there before the works start. Not measured.

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::JoinSet;
use welkin_storage_wire::Service;

use crate::storage::account::{Account, Call};
use crate::storage::connection::Keep;
use crate::storage::error::StorageError;
use crate::storage::work::{LARGE_BYTES, LISTED, QUERIED, SMALL_BYTES, Work};
use crate::storage::worker::{INSERT, StorageWorker};

/// Small blobs, or files, that are read: few enough to stay in memory.
pub const READ_SMALL: usize = 256;
/// Large blobs, or files, that are read.
pub const READ_LARGE: usize = 8;
/// Entities that are read one by one; as many again lie around a range of [`QUERIED`] in their middle.
pub const READ_ENTITIES: usize = 256;
/// Connections that put what is there before the start.
const SEEDERS: usize = 16;

/// Makes what a service's works need.
pub async fn seed(account: &Account, service: Service) -> Result<(), StorageError> {
    let (work, made): (Work, &[&str]) = match service {
        Service::Blob => (Work::PutBlob(SMALL_BYTES), &["bench", "read", "listed"]),
        Service::Queue => (Work::PutMessage, &["put", "pass"]),
        Service::Table => (Work::InsertEntity, &["bench"]),
    };
    let mut worker = StorageWorker::new(work, account, "read".to_owned()).await?;
    for name in made {
        make(&mut worker, service, name).await?;
    }
    match service {
        Service::Queue => Ok(()),
        Service::Table => {
            for row in 0..QUERIED + READ_ENTITIES {
                worker.insert(&format!("{row:08}")).await?;
            }
            Ok(())
        }
        Service::Blob => {
            put_blobs(account, SMALL_BYTES, READ_SMALL, |number| format!("/read/{SMALL_BYTES}-{number}"))
                .await?;
            put_blobs(account, LARGE_BYTES, READ_LARGE, |number| format!("/read/{LARGE_BYTES}-{number}"))
                .await?;
            put_blobs(account, 1, LISTED, |number| format!("/listed/blob-{number:08}")).await
        }
    }
}

/// Makes a container, queue or table with a worker of the service.
pub async fn make(worker: &mut StorageWorker, service: Service, name: &str) -> Result<(), StorageError> {
    let (target, wanted) = match service {
        Service::Blob => (format!("/{name}?restype=container"), StatusCode::CREATED),
        Service::Queue => (format!("/{name}"), StatusCode::CREATED),
        Service::Table => ("/Tables".to_owned(), StatusCode::NO_CONTENT),
    };
    let (method, headers, body) = match service {
        Service::Table => {
            let body = serde_json::json!({ "TableName": name }).to_string();
            (Method::POST, INSERT, Bytes::from(body))
        }
        _ => (Method::PUT, [].as_slice(), Bytes::new()),
    };
    let call = Call { method, target: &target, headers, ..Call::default() };
    worker.call(call, &body, wanted, Keep::Length).await?;
    Ok(())
}

/// Puts blobs over several connections.
pub async fn put_blobs(
    account: &Account,
    bytes: usize,
    count: usize,
    target: impl Fn(usize) -> String + Clone + Send + 'static,
) -> Result<(), StorageError> {
    let mut tasks = JoinSet::new();
    for first in 0..SEEDERS {
        let mut worker = StorageWorker::new(Work::PutBlob(bytes), account, String::new()).await?;
        let target = target.clone();
        tasks.spawn(async move {
            for number in (first..count).step_by(SEEDERS) {
                worker.put_blob(&target(number)).await?;
            }
            Ok::<_, StorageError>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(|error| StorageError::Http(error.to_string()))??;
    }
    Ok(())
}
