//! Who may take how much of the service, so that one account, or one hot blob, queue or table, starves no other.
//!
//! * An account, and one partition of it, have so many requests in hand, answers that are still sent among them.
//! * Lists and queries of an account take turns: each keeps a processor busy for a while. One processor is left to others;
//!   while there is nothing but lists and queries, it is theirs as well.
//! * Queries of contents, which keep a thread as long as their client reads, are few.
//! * What is read ahead of clients has room of a fixed size; who finds none is read for piece by piece.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use welkin_storage::Uid;
use welkin_storage_wire::{
    BlobOperation, ErrorCode, Operation, ProtocolError, QueueOperation, RequestHead, Service, TableOperation,
};

use crate::config::Config;
use crate::throttle::{Handled, Throttle};

/// A client that finds the server busy is told to wait this long.
const RETRY_AFTER_S: &str = "1";
/// Queries of contents of one account at a time, and of all: each keeps one of the 512 threads that may block, which
/// all reads of the disk need too.
const ACCOUNT_QUERIES_MAX: usize = 16;
const QUERIES_MAX: usize = 128;
/// Accounts whose turns are remembered although none of them waits.
const IDLE_TURNS_MAX: usize = 1024;
/// One permit of the room for reading ahead stands for so many bytes.
const PERMIT_BYTES: usize = 64 * 1024;

/// What is in hand of a request: dropped when it is answered, or when its answer is sent.
#[derive(Debug)]
pub(crate) struct InHand(#[allow(dead_code, reason = "held, never read")] Handled<Uid>);

/// What is held while a request is handled.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) in_hand: InHand,
    _partition: Handled<(Uid, u64)>,
    _turn: Turn,
}

/// How a request came to be handled now.
#[derive(Debug)]
#[allow(dead_code, reason = "held, never read")]
enum Turn {
    /// It is one that takes turns, and holds one.
    Its(OwnedSemaphorePermit),
    /// It takes none, and is counted.
    Free(Counted),
    /// The service ends.
    Over,
}

/// Counts one, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a query of contents holds.
#[derive(Debug)]
pub(crate) struct InQuery {
    _account: Handled<Uid>,
    _all: OwnedSemaphorePermit,
}

/// The limits, and what is taken of them.
#[derive(Debug)]
pub(crate) struct Admission {
    accounts: Arc<Throttle<Uid>>,
    partitions: Arc<Throttle<(Uid, u64)>>,
    account_queries: Arc<Throttle<Uid>>,
    queries: Arc<Semaphore>,
    turns: Mutex<HashMap<Uid, Arc<Semaphore>>>,
    turns_at_once: usize,
    /// The turn on the processor that is left to requests that take no turns.
    spare: Arc<Semaphore>,
    /// Requests that take no turns and are handled now.
    others: Arc<AtomicUsize>,
    read_ahead: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        // One processor is left for everyone else, where there are several.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            accounts: Throttle::new(config.account_requests_max),
            partitions: Throttle::new(config.partition_requests_max),
            account_queries: Throttle::new(ACCOUNT_QUERIES_MAX),
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            turns: Mutex::default(),
            turns_at_once: (processors - 1).max(1),
            spare: Arc::new(Semaphore::new(usize::from(processors > 1))),
            others: Arc::default(),
            read_ahead: Arc::new(Semaphore::new(config.read_ahead_bytes_max / PERMIT_BYTES)),
        })
    }

    /// Lets a request in, after its turn where its kind takes turns.
    pub(crate) async fn enter(
        &self,
        account: Uid,
        operation: Operation,
        head: &RequestHead,
    ) -> Result<Entered, ProtocolError> {
        let in_hand = InHand(self.accounts.enter(account).ok_or_else(busy)?);
        let partition = self.partitions.enter((account, partition(head))).ok_or_else(busy)?;
        let turn = match takes_turns(operation) {
            true => self.turn(account).await,
            false => Turn::Free(Counted::one(&self.others)),
        };
        Ok(Entered { in_hand, _partition: partition, _turn: turn })
    }

    /// Lets a query of contents in.
    pub(crate) fn query(&self, account: Uid) -> Result<InQuery, ProtocolError> {
        let of_account = self.account_queries.enter(account).ok_or_else(busy)?;
        let all = self.queries.clone().try_acquire_owned().map_err(|_| busy())?;
        Ok(InQuery { _account: of_account, _all: all })
    }

    /// Room for so many bytes that are read ahead of a client, if there is.
    pub(crate) fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).ok()?;
        self.read_ahead.clone().try_acquire_many_owned(permits).ok()
    }

    async fn turn(&self, account: Uid) -> Turn {
        let turns = self.turns_of(account);
        let turn = async {
            // Nobody needs what is left to others. One that comes now waits for a turn at most.
            if turns.available_permits() == 0 && self.others.load(Ordering::Relaxed) == 0 {
                tokio::select! {
                    biased;
                    turn = turns.acquire_owned() => turn,
                    spare = self.spare.clone().acquire_owned() => spare,
                }
            } else {
                turns.acquire_owned().await
            }
        };
        turn.await.map_or(Turn::Over, Turn::Its)
    }

    fn turns_of(&self, account: Uid) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= IDLE_TURNS_MAX {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        turns.entry(account).or_insert_with(|| Arc::new(Semaphore::new(self.turns_at_once))).clone()
    }
}

fn busy() -> ProtocolError {
    ProtocolError::from(ErrorCode::ServerBusy).with_header("retry-after", RETRY_AFTER_S)
}

/// What a request is about: a blob, a queue with its messages, an entity or table; as a number, in which two things
/// rarely meet, and then only share a limit.
fn partition(head: &RequestHead) -> u64 {
    let mut hasher = DefaultHasher::new();
    head.service.as_str().hash(&mut hasher);
    let path = match head.service {
        Service::Queue => head.path.split_once("/messages").map_or(&head.path[..], |(queue, _)| queue),
        _ => &head.path[..],
    };
    path.hash(&mut hasher);
    hasher.finish()
}

/// Operations that read many rows, and write a long answer out of them.
fn takes_turns(operation: Operation) -> bool {
    use BlobOperation as Op;
    matches!(
        operation,
        Operation::Blob(
            Op::ListContainers
                | Op::ListBlobs
                | Op::FindBlobsByTags
                | Op::FindBlobsByTagsInContainer
                | Op::GetBlockList
                | Op::GetPageRanges
        ) | Operation::Queue(QueueOperation::ListQueues)
            | Operation::Table(TableOperation::QueryTables | TableOperation::QueryEntities)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Operation = Operation::Blob(BlobOperation::ListBlobs);
    const GET: Operation = Operation::Blob(BlobOperation::GetBlob);

    fn head(service: Service, path: &str) -> RequestHead {
        let uri = format!("/account{path}").parse().unwrap();
        RequestHead::parse(service, http::Method::GET, &uri, http::HeaderMap::new(), &[]).unwrap()
    }

    fn blob(path: &str) -> RequestHead {
        head(Service::Blob, path)
    }

    fn admission() -> Arc<Admission> {
        let config = Config { account_requests_max: 8, partition_requests_max: 3, ..Config::default() };
        let mut admission = Arc::into_inner(Admission::new(&config)).unwrap();
        admission.turns_at_once = 1;
        admission.spare = Arc::new(Semaphore::new(1));
        Arc::new(admission)
    }

    #[tokio::test]
    async fn a_hot_partition_leaves_room_for_the_rest_of_its_account() {
        let admission = admission();
        let [a, b] = [1, 2].map(|n| Uid::from_bytes([n; 16]));
        let mut held = Vec::new();
        for (account, path, enters) in [
            (a, "/c/hot", true),
            (a, "/c/hot", true),
            (a, "/c/hot?comp=metadata", true),
            (a, "/c/hot", false),
            (b, "/c/hot", true),
            (a, "/c/other", true),
            (a, "/c/1", true),
            (a, "/c/2", true),
            (a, "/c/3", true),
            (a, "/c/4", true),
            (a, "/c/5", false),
            (b, "/c/5", true),
        ] {
            match admission.enter(account, GET, &blob(path)).await {
                Ok(entered) => {
                    assert!(enters, "{path}");
                    held.push(entered);
                }
                Err(error) => {
                    assert!(!enters && error.code_text() == "ServerBusy", "{path}: {error}");
                    assert!(error.headers().iter().any(|(name, _)| *name == "retry-after"));
                }
            }
        }
        // What is refused by the partition does not stay counted by the account.
        held.clear();
        assert!(admission.enter(a, GET, &blob("/c/hot")).await.is_ok());
    }

    #[tokio::test]
    async fn lists_of_an_account_take_turns_and_nobody_else_waits() {
        let admission = admission();
        let [a, b] = [1, 2].map(|n| Uid::from_bytes([n; 16]));
        let list = blob("/c?restype=container&comp=list");
        let other = admission.enter(b, GET, &blob("/c/b")).await.unwrap();
        let first = admission.enter(a, LIST, &list).await.unwrap();
        let mut second = Box::pin(admission.enter(a, LIST, &list));
        let soon = tokio::time::timeout(std::time::Duration::from_millis(20), &mut second).await;
        assert!(soon.is_err(), "it waits for its turn");
        assert!(admission.enter(a, GET, &blob("/c/b")).await.is_ok());
        assert!(admission.enter(b, LIST, &list).await.is_ok());
        drop(first);
        assert!(second.await.is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn lists_take_the_last_processor_while_nothing_else_is_handled() {
        let admission = admission();
        let account = Uid::from_bytes([1; 16]);
        let list = blob("/c?restype=container&comp=list");
        let enter = || admission.enter(account, LIST, &list);
        let first = enter().await.unwrap();
        let second = enter().await.unwrap();
        let soon = tokio::time::timeout(std::time::Duration::from_millis(20), enter()).await;
        assert!(soon.is_err(), "both processors are taken");
        let waiting = tokio::spawn({
            let (admission, list) = (admission.clone(), list.clone());
            async move { admission.enter(account, LIST, &list).await.is_ok() }
        });
        drop(second);
        assert!(waiting.await.unwrap());
        drop(first);
    }

    #[test]
    fn partitions() {
        let number = |service, path| partition(&head(service, path));
        for (service, one, other, same) in [
            (Service::Queue, "/q/messages", "/q/messages/id?popreceipt=x", true),
            (Service::Queue, "/q/messages", "/q?comp=metadata", true),
            (Service::Queue, "/q/messages", "/r/messages", false),
            (Service::Blob, "/c/messages/a", "/c/messages/b", false),
            (Service::Table, "/T(PartitionKey='a',RowKey='b')", "/T(PartitionKey='a',RowKey='c')", false),
        ] {
            assert_eq!(number(service, one) == number(service, other), same, "{one} {other}");
        }
    }

    #[test]
    fn queries_and_room_are_bounded() {
        let admission = admission();
        let of = |n: u8| admission.query(Uid::from_bytes([n; 16]));
        let held: Vec<_> = (0..9).flat_map(|n| (0..17).map(move |_| n)).filter_map(|n| of(n).ok()).collect();
        assert_eq!(held.len(), QUERIES_MAX, "of sixteen each");
        let room: Vec<_> = std::iter::from_fn(|| admission.room(1 << 20)).collect();
        assert_eq!(room.len() << 20, crate::config::READ_AHEAD_BYTES_MAX);
        assert!(admission.room(1).is_none());
        drop(room);
        assert!(admission.room(1).is_some());
    }
}
