//! A worker of a storage work on a server of the protocol.

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::storage::account::{Account, Call};
use crate::storage::connection::{Answer, Connection, Keep};
use crate::storage::error::StorageError;
use crate::storage::seed::{READ_ENTITIES, READ_LARGE, READ_SMALL};
use crate::storage::slice::Worker;
use crate::storage::work::{LARGE_BYTES, LISTED, QUERIED, ROW_BYTES, Work};

/// Large blobs that a worker writes in turn: so a run needs little room.
const LARGE_NAMES: u64 = 4;
/// Content of an entity or message, so that with keys and markup it is about [`ROW_BYTES`].
pub const TEXT_BYTES: usize = ROW_BYTES - 128;
/// How often a worker asks for a message before the queue counts as broken.
const ASKS_MAX: usize = 1000;

/// An answer with an entity is longer than this.
const ENTITY_BYTES_MIN: u64 = 100;

const BLOCK_BLOB: &[(&str, &str)] = &[("x-ms-blob-type", "BlockBlob")];
/// What an insert says.
pub const INSERT: &[(&str, &str)] = &[
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
    /// Heads of the requests that read, signed before the slice.
    reads: Vec<Bytes>,
    /// How long an answer is that was looked into.
    looked: Option<u64>,
}

impl StorageWorker {
    /// Connects. No two workers of a run may have the same `prefix`.
    pub async fn new(work: Work, account: &Account, prefix: String) -> Result<Self, StorageError> {
        Self::reading(work, account, prefix, read_targets(work)).await
    }

    /// Connects; what it reads is at one of `targets`.
    pub async fn reading(
        work: Work,
        account: &Account,
        prefix: String,
        targets: Vec<String>,
    ) -> Result<Self, StorageError> {
        let connection = account.connect(work.service()).await?;
        let content = match work {
            Work::PutBlob(bytes) => vec![0x5A; bytes],
            _ => vec![b'z'; TEXT_BYTES],
        };
        let headers = if matches!(work, Work::GetEntity | Work::QueryEntities) { QUERY } else { &[] };
        let sign = |target: String| {
            account.sign(work.service(), &Call { target: &target, headers, ..Call::default() })
        };
        let reads = targets.into_iter().map(sign).collect::<Result<_, _>>()?;
        let account = account.clone();
        Ok(Self {
            work,
            account,
            connection,
            prefix,
            content: content.into(),
            number: 0,
            reads,
            looked: None,
        })
    }

    /// Connects, to put blobs that are not of the run.
    pub async fn putting(account: &Account) -> Result<Self, StorageError> {
        Self::reading(Work::PutBlob(0), account, String::new(), Vec::new()).await
    }

    /// Sends a signed request; the answer must have the status `wanted`.
    pub async fn call(
        &mut self,
        call: Call<'_>,
        body: &Bytes,
        wanted: StatusCode,
        keep: Keep,
    ) -> Result<Answer, StorageError> {
        let call = Call { body_bytes: body.len(), ..call };
        let head = self.account.sign(self.work.service(), &call)?;
        self.connection.send(&head, body, wanted, keep).await
    }

    /// Puts the worker's content as a blob.
    pub async fn put_blob(&mut self, target: &str) -> Result<(), StorageError> {
        let (method, body) = (Method::PUT, self.content.clone());
        let call = Call { method, target, headers: BLOCK_BLOB, ..Call::default() };
        self.call(call, &body, StatusCode::CREATED, Keep::Length).await?;
        Ok(())
    }

    fn any_read(&self) -> Bytes {
        self.reads[rand::random_range(0..self.reads.len())].clone()
    }

    /// Reads one of what is there; its length must be as `is_right` says.
    async fn read(&mut self, is_right: impl FnOnce(u64) -> bool) -> Result<(), StorageError> {
        let head = self.any_read();
        let length = self.connection.send(&head, &Bytes::new(), StatusCode::OK, Keep::Length).await?.length;
        expect(is_right(length), || format!("the answer has {length} bytes"))
    }

    /// Reads many at once. The first answer must name as many as it should, and the others be about as long: the
    /// digits of times, and so the lengths, differ a little.
    async fn read_many(&mut self, mark: &str, many: usize) -> Result<(), StorageError> {
        if let Some(looked) = self.looked {
            return self.read(|length| length.abs_diff(looked) <= looked / 20).await;
        }
        let head = self.any_read();
        let answer = self.connection.send(&head, &Bytes::new(), StatusCode::OK, Keep::Body).await?;
        let named = String::from_utf8_lossy(&answer.body).matches(mark).count();
        expect(named == many, || format!("the answer has {named} of {mark}, not {many}"))?;
        self.looked = Some(answer.length);
        Ok(())
    }

    /// Inserts an entity into the worker's own partition.
    pub async fn insert(&mut self, row: &str) -> Result<(), StorageError> {
        let text = String::from_utf8_lossy(&self.content);
        let entity = serde_json::json!({
            "PartitionKey": self.prefix, "RowKey": row, "Number": self.number, "Flag": true, "Text": text,
        });
        let body = Bytes::from(entity.to_string());
        let call = Call { method: Method::POST, target: "/bench", headers: INSERT, ..Call::default() };
        self.call(call, &body, StatusCode::NO_CONTENT, Keep::Length).await?;
        Ok(())
    }

    async fn put_message(&mut self, queue: &str) -> Result<(), StorageError> {
        let text = String::from_utf8_lossy(&self.content);
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>").into();
        let target = format!("/{queue}/messages");
        let call = Call { method: Method::POST, target: &target, headers: XML, ..Call::default() };
        self.call(call, &body, StatusCode::CREATED, Keep::Length).await?;
        Ok(())
    }

    /// Takes one message, whoever put it. A queue may answer that it has none while others take the first
    /// ones; a client asks again then, and the time counts.
    async fn take_message(&mut self, queue: &str) -> Result<(), StorageError> {
        for _ in 0..ASKS_MAX {
            let head = self.reads[0].clone();
            let answer = self.connection.send(&head, &Bytes::new(), StatusCode::OK, Keep::Body).await?;
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
        self.call(call, &Bytes::new(), StatusCode::NO_CONTENT, Keep::Length).await?;
        Ok(())
    }
}

impl Worker for StorageWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        self.number += 1;
        let number = self.number;
        match self.work {
            Work::PutBlob(LARGE_BYTES) => {
                self.put_blob(&format!("/bench/{}-{}", self.prefix, number % LARGE_NAMES)).await
            }
            Work::PutBlob(_) => self.put_blob(&format!("/bench/{}-{number:08}", self.prefix)).await,
            Work::GetBlob(bytes) => self.read(|length| length == bytes as u64).await,
            Work::ListBlobs => self.read_many("<Name>", LISTED).await,
            Work::InsertEntity => self.insert(&format!("{number:08}")).await,
            Work::GetEntity => self.read(|length| length > ENTITY_BYTES_MIN).await,
            Work::QueryEntities => self.read_many("\"RowKey\"", QUERIED).await,
            Work::PutMessage => self.put_message("put").await,
            Work::PassMessage => {
                self.put_message("pass").await?;
                self.take_message("pass").await
            }
        }
    }
}

/// What a work reads, one of them at a time.
fn read_targets(work: Work) -> Vec<String> {
    match work {
        Work::GetBlob(LARGE_BYTES) => {
            (0..READ_LARGE).map(|number| format!("/read/{LARGE_BYTES}-{number}")).collect()
        }
        Work::GetBlob(bytes) => (0..READ_SMALL).map(|number| format!("/read/{bytes}-{number}")).collect(),
        Work::ListBlobs => vec![format!("/listed?restype=container&comp=list&maxresults={LISTED}")],
        Work::GetEntity => {
            (0..READ_ENTITIES).map(|row| format!("/bench(PartitionKey='read',RowKey='{row:08}')")).collect()
        }
        Work::QueryEntities => {
            let first = READ_ENTITIES / 2;
            let last = first + QUERIED;
            let filter = format!(
                "PartitionKey%20eq%20'read'%20and%20RowKey%20ge%20'{first:08}'%20and%20RowKey%20lt%20'{last:08}'"
            );
            vec![format!("/bench()?$filter={filter}")]
        }
        Work::PassMessage => vec!["/pass/messages?numofmessages=1&visibilitytimeout=300".to_owned()],
        Work::PutBlob(_) | Work::InsertEntity | Work::PutMessage => Vec::new(),
    }
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    after.split_once("</").map(|(inside, _)| inside)
}

/// What must be so, or the answer is wrong.
pub fn expect(is_right: bool, wrong: impl FnOnce() -> String) -> Result<(), StorageError> {
    if is_right { Ok(()) } else { Err(StorageError::Answer(wrong())) }
}
