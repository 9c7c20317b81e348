use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;
use welkin_store::Store;

use super::*;

const ACCOUNT: Uid = Uid::from_bytes([7; 16]);
const TIMEOUT: Duration = Duration::from_secs(30);

async fn storage() -> (TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
    storage.create_queue(ACCOUNT, "work", Uid::from_bytes([1; 16]), Vec::new(), at(0)).await.unwrap();
    (folder, storage)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ticks(17_000_000_000_000_000).plus(Duration::from_secs(seconds))
}

fn drawn() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn put(storage: &Storage, text: &str, visible: Timestamp, expires: Timestamp, now: Timestamp) -> Got {
    let id = MessageId(Uuid::from_u128(drawn().into()));
    let new = NewMessage { id, nonce: drawn(), text: text.to_owned(), visible, expires };
    storage.put_message(ACCOUNT, "work", new, now).await.unwrap()
}

async fn get(storage: &Storage, messages_max: usize, now: Timestamp) -> Vec<Got> {
    storage.get_messages(ACCOUNT, "work", messages_max, TIMEOUT, drawn(), || now).await.unwrap()
}

fn texts(messages: &[Got]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

async fn count(storage: &Storage, now: Timestamp) -> u64 {
    let queue = storage.queue(ACCOUNT, "work").await.unwrap();
    storage.approximate_messages_count(&queue, now).await.unwrap()
}

#[tokio::test]
async fn queues() {
    let (_folder, storage) = storage().await;
    let metadata = vec![("a".to_owned(), "1".to_owned())];
    let create = |name: &'static str, metadata: Metadata| {
        let uid = Uid::from_bytes(Uuid::from_u128(drawn().into()).into_bytes());
        storage.create_queue(ACCOUNT, name, uid, metadata, at(0))
    };
    assert_eq!(create("work", Vec::new()).await.unwrap(), Created::Same);
    assert!(matches!(create("work", metadata.clone()).await, Err(QueueError::QueueAlreadyExists)));
    storage.set_queue_metadata(ACCOUNT, "work", &metadata).await.unwrap();
    assert_eq!(create("work", metadata.clone()).await.unwrap(), Created::Same);
    for name in ["alpha", "wa", "wz"] {
        assert_eq!(create(name, Vec::new()).await.unwrap(), Created::New);
    }
    let names = |page: &QueuePage| page.queues.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let page = storage.list_queues(ACCOUNT, "w", "", 2).await.unwrap();
    assert_eq!((names(&page), page.next.as_deref()), (vec!["wa".into(), "work".into()], Some("wz")));
    let page = storage.list_queues(ACCOUNT, "w", "wz", 2).await.unwrap();
    assert_eq!((names(&page), page.next), (vec!["wz".to_owned()], None));
    storage.delete_queue(ACCOUNT, "work", at(1)).await.unwrap();
    assert!(matches!(storage.delete_queue(ACCOUNT, "work", at(1)).await, Err(QueueError::QueueNotFound)));
    assert!(matches!(
        storage.set_queue_metadata(ACCOUNT, "work", &metadata).await,
        Err(QueueError::QueueNotFound)
    ));
}

#[tokio::test]
async fn visibility_and_order() {
    let (_folder, storage) = storage().await;
    put(&storage, "a", at(1), at(100), at(1)).await;
    put(&storage, "later", at(10), at(100), at(1)).await;
    put(&storage, "b", at(2), at(100), at(2)).await;
    assert_eq!(texts(&storage.peek_messages(ACCOUNT, "work", 32, at(2)).await.unwrap()), ["a", "b"]);
    let got = get(&storage, 1, at(3)).await;
    assert_eq!((texts(&got), got[0].dequeue_count, got[0].visible), (vec!["a"], 1, at(33)));
    assert_eq!(texts(&get(&storage, 32, at(3)).await), ["b"]);
    assert_eq!(get(&storage, 32, at(4)).await, []);
    assert_eq!(texts(&get(&storage, 32, at(10)).await), ["later"]);
    let again = get(&storage, 1, at(33)).await;
    assert_eq!((texts(&again), again[0].dequeue_count), (vec!["a"], 2));
    assert_ne!(again[0].pop_receipt, got[0].pop_receipt);
    assert_eq!(count(&storage, at(34)).await, 3);
}

#[tokio::test]
async fn receipts() {
    let (_folder, storage) = storage().await;
    put(&storage, "a", at(0), at(100), at(0)).await;
    let first = get(&storage, 1, at(0)).await.remove(0);
    let second = get(&storage, 1, at(30)).await.remove(0);
    let delete = |got: &Got, now| storage.delete_message(ACCOUNT, "work", (got.id, got.pop_receipt), now);
    assert!(matches!(delete(&first, at(31)).await, Err(QueueError::PopReceiptMismatch)));
    let receipt = (second.id, second.pop_receipt);
    let update = (at(50), Some("b".to_owned()));
    let third =
        storage.update_message(ACCOUNT, "work", receipt, update.clone(), drawn(), at(31)).await.unwrap();
    let third = Got { pop_receipt: third, ..second.clone() };
    let stale = storage.update_message(ACCOUNT, "work", receipt, update, drawn(), at(31)).await;
    assert!(matches!(stale, Err(QueueError::PopReceiptMismatch)));
    assert_eq!(get(&storage, 1, at(49)).await, []);
    // Nobody got it since, so that its receipt holds although its visibility period is over.
    delete(&third, at(60)).await.unwrap();
    assert!(matches!(delete(&third, at(60)).await, Err(QueueError::MessageNotFound)));
    assert_eq!(get(&storage, 1, at(90)).await, []);
}

#[tokio::test]
async fn the_expired_are_gone() {
    let (_folder, storage) = storage().await;
    for n in 0..150 {
        put(&storage, &format!("old{n}"), at(0), at(10), at(0)).await;
    }
    let kept = put(&storage, "new", at(1), at(100), at(1)).await;
    assert_eq!(count(&storage, at(1)).await, 151);
    assert_eq!(texts(&storage.peek_messages(ACCOUNT, "work", 1, at(9)).await.unwrap()), ["old0"]);
    assert_eq!(texts(&get(&storage, 1, at(10)).await), ["new"]);
    let lost = storage.delete_message(ACCOUNT, "work", (kept.id, kept.pop_receipt), at(10)).await;
    assert!(matches!(lost, Err(QueueError::PopReceiptMismatch)));
}

/// Those that expired are not counted, whether anyone met them or not, and counting removes them.
#[tokio::test]
async fn the_expired_are_not_counted() {
    let (_folder, storage) = storage().await;
    for (visible, expires) in [(0, 10), (0, 100), (50, 10), (50, 100)] {
        put(&storage, "x", at(visible), at(expires), at(0)).await;
    }
    assert_eq!(count(&storage, at(1)).await, 4);
    assert_eq!(count(&storage, at(10)).await, 2);
    let rows = storage.store().scan(crate::space::MESSAGES, ScanFrom::Start, 100).await.unwrap();
    assert_eq!(rows.len(), 4, "two rows of each message that is left");
    put(&storage, "short", at(10), at(12), at(10)).await;
    assert_eq!((count(&storage, at(11)).await, count(&storage, at(12)).await), (3, 2));
}

/// A long text stays in its place while its message moves; an update replaces it by a short one and back.
#[tokio::test]
async fn texts_of_every_length() {
    let (_folder, storage) = storage().await;
    let long = "é".repeat(32 << 10);
    put(&storage, &long, at(0), at(1000), at(0)).await;
    let mut now = 0;
    for text in ["", "short", &long, "x"] {
        assert_eq!(storage.peek_messages(ACCOUNT, "work", 1, at(now)).await.unwrap().len(), 1);
        let got = get(&storage, 1, at(now)).await.remove(0);
        let receipt = (got.id, got.pop_receipt);
        let change = (at(now), Some(text.to_owned()));
        storage.update_message(ACCOUNT, "work", receipt, change, drawn(), at(now)).await.unwrap();
        now += 1;
        let got = get(&storage, 1, at(now)).await.remove(0);
        assert_eq!(got.text, text);
        now += 30;
    }
}

/// What was deleted at the head is not passed over again: each scan begins where the last one found something.
#[tokio::test]
async fn scans_begin_behind_what_was_deleted() {
    let (folder, storage) = storage().await;
    for n in 0..200 {
        put(&storage, &n.to_string(), at(n), at(10_000), at(n)).await;
    }
    let from = |storage: &Storage| storage.live_queues().scan(Uid::from_bytes([1; 16])).from;
    assert_eq!(from(&storage), Timestamp::MIN);
    for n in 0..100 {
        let got = get(&storage, 1, at(300)).await.remove(0);
        assert_eq!(got.text, n.to_string());
        storage.delete_message(ACCOUNT, "work", (got.id, got.pop_receipt), at(300)).await.unwrap();
        assert_eq!(from(&storage), at(n));
    }
    // One that is put before all others is seen, and so is everything after a restart.
    put(&storage, "first", at(1), at(10_000), at(300)).await;
    assert_eq!(from(&storage), at(1));
    assert_eq!(texts(&get(&storage, 2, at(300)).await), ["first", "100"]);
    storage.close().await.unwrap();
    drop(storage);
    let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
    assert_eq!(from(&storage), Timestamp::MIN);
    assert_eq!(texts(&get(&storage, 1, at(300)).await), ["101"]);
}

#[tokio::test]
async fn policies_last_and_old_shapes_are_read() {
    let (_folder, storage) = storage().await;
    let policy = StoredAccessPolicy {
        id: "p".into(),
        start: None,
        expiry: Some(at(9)),
        permissions: Some("r".into()),
    };
    storage.set_queue_policies(ACCOUNT, "work", std::slice::from_ref(&policy)).await.unwrap();
    storage.set_queue_metadata(ACCOUNT, "work", &Vec::new()).await.unwrap();
    assert_eq!(storage.queue_policies(ACCOUNT, "work").await.unwrap(), [policy]);
    assert!(matches!(storage.queue_policies(ACCOUNT, "none").await, Err(QueueError::QueueNotFound)));
    let old = QueueV1 { messages: ACCOUNT, created: at(1), metadata: Vec::new() };
    let bytes = postcard::to_extend(&old, vec![1]).unwrap();
    assert_eq!(record::decode::<QueueRecord>(&bytes).unwrap(), old.into());
}

#[tokio::test]
async fn clearing_is_immediate_and_leaves_no_rows() {
    let (_folder, storage) = storage().await;
    for n in 0..10 {
        put(&storage, &n.to_string(), at(0), at(100), at(0)).await;
    }
    storage.clear_messages(ACCOUNT, "work", Uid::from_bytes([2; 16]), at(1)).await.unwrap();
    assert_eq!((get(&storage, 32, at(1)).await, count(&storage, at(1)).await), (Vec::new(), 0));
    put(&storage, "kept", at(1), at(100), at(1)).await;
    while storage.clean(at(2)).await.unwrap() {}
    let left = storage.store().scan(crate::space::MESSAGES, ScanFrom::Start, 100).await.unwrap();
    assert_eq!(left.len(), 2, "the two rows of one message");
    assert_eq!(texts(&get(&storage, 32, at(2)).await), ["kept"]);
}

/// Many producers and consumers: each message is delivered once in a visibility period, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn delivered_once_to_many_consumers() {
    const MESSAGES: usize = 400;
    let (_folder, storage) = storage().await;
    let producers = (0..8).map(|producer| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for n in 0..MESSAGES / 8 {
                put(&storage, &format!("{producer}-{n}"), at(0), at(1000), at(0)).await;
            }
        })
    });
    let producers: Vec<_> = producers.collect();
    let consumers = (0..32).map(|consumer| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut got = Vec::new();
            let mut empty = 0;
            while empty < 50 {
                let messages = get(&storage, 1 + consumer % 3, at(1)).await;
                if messages.is_empty() {
                    empty += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                got.extend(messages);
            }
            got
        })
    });
    let consumers: Vec<_> = consumers.collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut all = Vec::new();
    for consumer in consumers {
        for message in consumer.await.unwrap() {
            *seen.entry(message.text.clone()).or_default() += 1;
            all.push(message);
        }
    }
    assert_eq!(seen.len(), MESSAGES, "no message is lost");
    assert!(seen.values().all(|count| *count == 1), "no message is delivered twice");
    assert_eq!(count(&storage, at(1)).await, MESSAGES as u64);
    for message in &all {
        let receipt = (message.id, message.pop_receipt);
        storage.delete_message(ACCOUNT, "work", receipt, at(2)).await.unwrap();
    }
    assert_eq!((count(&storage, at(2)).await, get(&storage, 32, at(500)).await), (0, Vec::new()));
}

/// Each worker puts a message and gets one: there is always one for each, whoever gets whose.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_messages_never_looks_empty() {
    let (_folder, storage) = storage().await;
    let clock = || Timestamp::from(std::time::SystemTime::now());
    let workers = (0..16).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                let now = clock();
                put(&storage, "mine or yours", now, Timestamp::MAX, now).await;
                let got = storage.get_messages(ACCOUNT, "work", 1, TIMEOUT, drawn(), clock).await.unwrap();
                let [got] = &got[..] else { panic!("{} messages", got.len()) };
                storage.delete_message(ACCOUNT, "work", (got.id, got.pop_receipt), clock()).await.unwrap();
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

/// A message that is peeked at is told as it was at one moment, also when its text lies in a row of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_peek_sees_one_moment() {
    let (_folder, storage) = storage().await;
    let text = |count: u32| format!("{count} {}", "x".repeat(2000));
    put(&storage, &text(0), at(0), at(999), at(0)).await;
    let consumer = tokio::spawn({
        let storage = storage.clone();
        async move {
            loop {
                let now = || at(1);
                let got =
                    storage.get_messages(ACCOUNT, "work", 1, Duration::ZERO, drawn(), now).await.unwrap();
                let Some(got) = got.into_iter().next() else { continue };
                let change = (at(0), Some(text(got.dequeue_count)));
                let held = (got.id, got.pop_receipt);
                storage.update_message(ACCOUNT, "work", held, change, drawn(), at(1)).await.unwrap();
            }
        }
    });
    for peek in 0..5_000 {
        for seen in storage.peek_messages(ACCOUNT, "work", 1, at(2)).await.unwrap() {
            // Between a get and its update, the text has the count before.
            let counts = [seen.dequeue_count, seen.dequeue_count.saturating_sub(1)];
            let count = seen.text.split(' ').next().unwrap().parse().unwrap();
            assert!(counts.contains(&count), "peek {peek}: got {counts:?} times, with the text of {count}");
        }
    }
    consumer.abort();
}

/// A get that finds all messages in the hands of others waits for them, however often they change hands: it has not
/// lost anything.
#[tokio::test]
async fn waiting_for_others_is_no_failed_try() {
    let (_folder, storage) = storage().await;
    let queue = Uid::from_bytes([1; 16]);
    put(&storage, "wanted", at(0), at(100), at(0)).await;
    let rows = storage.store().scan(crate::space::MESSAGES, ScanFrom::Start, 10).await.unwrap();
    let key = rows.iter().map(|row| &row.key).find(|key| row::split_time_key(key).is_some()).unwrap();
    let claim = || storage.live_queues().claim(queue, std::iter::once(key), 1);
    let mut held = claim();
    let getting = tokio::spawn({
        let storage = storage.clone();
        async move { get(&storage, 1, at(1)).await }
    });
    for _ in 0..2 * COMMIT_TRIES_MAX {
        drop(held);
        held = claim();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!getting.is_finished());
    drop(held);
    assert_eq!(texts(&getting.await.unwrap()), ["wanted"]);
}
