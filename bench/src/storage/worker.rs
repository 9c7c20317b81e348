//! A worker of a storage work, and what must be there before it starts.

use bytes::Bytes;
use http::{Method, StatusCode};
use welkin_storage_wire::Service;

use crate::storage::account::{Account, Call};
use crate::storage::connection::{Answer, Connection, Keep};
use crate::storage::error::StorageError;
use crate::storage::slice::Worker;
use crate::storage::work::{LARGE_BYTES, LISTED, ROW_BYTES, SMALL_BYTES, Work};

/// Blobs of each size that are read: few enough to stay in memory.
const READ_SMALL: usize = 256;
const READ_LARGE: usize = 8;
const READ_ENTITIES: usize = 256;
/// Large blobs that a worker writes in turn: so a run needs little room.
const LARGE_NAMES: u64 = 4;
/// Connections that put what is there before the start.
const SEEDERS: usize = 16;
/// Content of an entity or message, so that with keys and markup it is about [`ROW_BYTES`].
const TEXT_BYTES: usize = ROW_BYTES - 128;

/// How often a worker asks for a message before the queue counts as broken.
const ASKS_MAX: usize = 1000;

const BLOCK_BLOB: &[(&str, &str)] = &[("x-ms-blob-type", "BlockBlob")];
const INSERT: &[(&str, &str)] = &[
    ("accept", "application/json;odata=nometadata"),
    ("content-type", "application/json"),
    ("dataserviceversion", "3.0"),
    ("prefer", "return-no-content"),
];
const QUERY: &[(&str, &str)] =
    &[("accept", "application/json;odata=nometadata"), ("dataserviceversion", "3.0")];
const XML: &[(&str, &str)] = &[("content-type", "application/xml")];

/// One connection that does one work on one server.
#[derive(Debug)]
pub struct StorageWorker {
    work: Work,
    account: Account,
    connection: Connection,
    /// Begins the names of what it makes.
    prefix: String,
    content: Bytes,
    number: u64,
}

impl StorageWorker {
    /// Connects. No two workers of a run may have the same `prefix`.
    pub async fn new(work: Work, account: &Account, prefix: String) -> Result<Self, StorageError> {
        let connection = account.connect(work.service()).await?;
        let content = match work {
            Work::PutBlob(bytes) => vec![0x5A; bytes],
            _ => vec![b'z'; TEXT_BYTES],
        };
        Ok(Self { work, account: account.clone(), connection, prefix, content: content.into(), number: 0 })
    }

    async fn call(&mut self, call: Call<'_>, wanted: StatusCode, keep: Keep) -> Result<Answer, StorageError> {
        self.account.call(&mut self.connection, self.work.service(), call, wanted, keep).await
    }

    async fn put_blob(&mut self, target: &str) -> Result<u64, StorageError> {
        let body = self.content.clone();
        let call = Call { method: Method::PUT, target, headers: BLOCK_BLOB, body };
        self.call(call, StatusCode::CREATED, Keep::Length).await?;
        Ok(self.content.len() as u64)
    }

    async fn get(&mut self, target: &str, headers: &[(&'static str, &str)]) -> Result<u64, StorageError> {
        let call = Call { target, headers, ..Call::default() };
        Ok(self.call(call, StatusCode::OK, Keep::Length).await?.length)
    }

    async fn list(&mut self) -> Result<u64, StorageError> {
        let target = "/listed?restype=container&comp=list&maxresults=5000";
        let answer = self.call(Call { target, ..Call::default() }, StatusCode::OK, Keep::Body).await?;
        let names = String::from_utf8_lossy(&answer.body).matches("<Name>").count();
        expect(names == LISTED, || format!("it lists {names} blobs, not {LISTED}"))?;
        Ok(answer.length)
    }

    async fn insert(&mut self, row: &str) -> Result<u64, StorageError> {
        let text = String::from_utf8_lossy(&self.content);
        let entity = serde_json::json!({
            "PartitionKey": self.prefix, "RowKey": row, "Number": self.number, "Flag": true, "Text": text,
        });
        let body = Bytes::from(entity.to_string());
        let bytes = body.len() as u64;
        let call = Call { method: Method::POST, target: "/bench", headers: INSERT, body };
        self.call(call, StatusCode::NO_CONTENT, Keep::Length).await?;
        Ok(bytes)
    }

    async fn put_message(&mut self, queue: &str) -> Result<u64, StorageError> {
        let text = String::from_utf8_lossy(&self.content);
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>").into();
        let target = format!("/{queue}/messages");
        let call = Call { method: Method::POST, target: &target, headers: XML, body };
        self.call(call, StatusCode::CREATED, Keep::Length).await?;
        Ok(self.content.len() as u64)
    }

    /// Takes one message, whoever put it. A queue may answer that it has none while others take the first
    /// ones; a client asks again then, and the time counts.
    async fn take_message(&mut self, queue: &str) -> Result<(), StorageError> {
        let target = format!("/{queue}/messages?numofmessages=1&visibilitytimeout=300");
        for _ in 0..ASKS_MAX {
            let call = Call { target: &target, ..Call::default() };
            let answer = self.call(call, StatusCode::OK, Keep::Body).await?;
            let xml = String::from_utf8_lossy(&answer.body);
            if let Some(id) = element(&xml, "MessageId") {
                let missing = || StorageError::Answer(format!("there is no PopReceipt: {xml}"));
                let receipt = element(&xml, "PopReceipt").ok_or_else(missing)?;
                return self.delete_message(queue, id, receipt).await;
            }
        }
        Err(StorageError::Answer(format!("the queue has no message, asked {ASKS_MAX} times after a put")))
    }

    async fn delete_message(&mut self, queue: &str, id: &str, receipt: &str) -> Result<(), StorageError> {
        let receipt = receipt.replace('%', "%25").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let target = format!("/{queue}/messages/{id}?popreceipt={receipt}");
        let call = Call { method: Method::DELETE, target: &target, ..Call::default() };
        self.call(call, StatusCode::NO_CONTENT, Keep::Length).await?;
        Ok(())
    }
}

impl Worker for StorageWorker {
    async fn work(&mut self) -> Result<u64, StorageError> {
        self.number += 1;
        let number = self.number;
        match self.work {
            Work::PutBlob(LARGE_BYTES) => {
                self.put_blob(&format!("/bench/{}-{}", self.prefix, number % LARGE_NAMES)).await
            }
            Work::PutBlob(_) => self.put_blob(&format!("/bench/{}-{number:08}", self.prefix)).await,
            Work::GetBlob(bytes) => {
                let read = if bytes == LARGE_BYTES { READ_LARGE } else { READ_SMALL };
                let target = format!("/read/{bytes}-{}", rand::random_range(0..read));
                let length = self.get(&target, &[]).await?;
                expect(length == bytes as u64, || format!("the blob has {length} bytes, not {bytes}"))?;
                Ok(length)
            }
            Work::ListBlobs => self.list().await,
            Work::InsertEntity => self.insert(&format!("{number:08}")).await,
            Work::GetEntity => {
                let row = rand::random_range(0..READ_ENTITIES);
                let length = self.get(&format!("/bench(PartitionKey='read',RowKey='{row}')"), QUERY).await?;
                expect(length > TEXT_BYTES as u64, || format!("the entity has {length} bytes"))?;
                Ok(length)
            }
            Work::PutMessage => self.put_message("put").await,
            Work::PassMessage => {
                let bytes = self.put_message("pass").await?;
                self.take_message("pass").await?;
                Ok(bytes)
            }
        }
    }
}

/// Makes what a service's works need. Not measured.
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
            for row in 0..READ_ENTITIES {
                worker.insert(&row.to_string()).await?;
            }
            Ok(())
        }
        Service::Blob => {
            put_all(account, SMALL_BYTES, READ_SMALL, |number| format!("/read/{SMALL_BYTES}-{number}"))
                .await?;
            put_all(account, LARGE_BYTES, READ_LARGE, |number| format!("/read/{LARGE_BYTES}-{number}"))
                .await?;
            put_all(account, 1, LISTED, |number| format!("/listed/blob-{number:08}")).await
        }
    }
}

async fn make(worker: &mut StorageWorker, service: Service, name: &str) -> Result<(), StorageError> {
    let (target, wanted) = match service {
        Service::Blob => (format!("/{name}?restype=container"), StatusCode::CREATED),
        Service::Queue => (format!("/{name}"), StatusCode::CREATED),
        Service::Table => ("/Tables".to_owned(), StatusCode::NO_CONTENT),
    };
    let call = match service {
        Service::Table => {
            let body = serde_json::json!({ "TableName": name }).to_string().into();
            Call { method: Method::POST, target: &target, headers: INSERT, body }
        }
        _ => Call { method: Method::PUT, target: &target, ..Call::default() },
    };
    worker.call(call, wanted, Keep::Length).await?;
    Ok(())
}

async fn put_all(
    account: &Account,
    bytes: usize,
    count: usize,
    target: impl Fn(usize) -> String + Clone + Send + 'static,
) -> Result<(), StorageError> {
    let mut tasks = tokio::task::JoinSet::new();
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

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    after.split_once("</").map(|(inside, _)| inside)
}

fn expect(is_right: bool, wrong: impl FnOnce() -> String) -> Result<(), StorageError> {
    if is_right { Ok(()) } else { Err(StorageError::Answer(wrong())) }
}
