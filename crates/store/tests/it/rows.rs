//! The contract on the embedded backend, and its own limits.

use welkin_store::{
    COMMIT_BYTES_MAX, Commit, CommitError, KEY_BYTES_MAX, PARTITION_BYTES_MAX, ScanFrom, Space, Store,
    StoreError, VALUE_BYTES_MAX,
};

use crate::contract::contract;
use crate::store::{SPACE, get, new_store, put, small};

macro_rules! on_local {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                let (_folder, store) = new_store().await;
                crate::contract::$name(store).await;
            }
        )*
    };
}
contract!(on_local);

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_largest_is_taken() {
    let (_folder, store) = new_store().await;
    let sized = |p: usize, k: usize, v: usize| Commit::new(SPACE, vec![0; p]).put(vec![0; k], vec![7; v]);
    let many = |values: usize| {
        (0..values).fold(Commit::new(SPACE, "p"), |commit, n| {
            commit.put(n.to_string(), vec![1; VALUE_BYTES_MAX / 2])
        })
    };
    let rows = [
        (sized(PARTITION_BYTES_MAX, KEY_BYTES_MAX, 1), None),
        (sized(PARTITION_BYTES_MAX + 1, 1, 1), Some("partition")),
        (sized(1, KEY_BYTES_MAX + 1, 1), Some("key")),
        (sized(1, 1, VALUE_BYTES_MAX + 1), Some("value")),
        (many(2 * COMMIT_BYTES_MAX / VALUE_BYTES_MAX), Some("commit")),
    ];
    for (commit, refused) in rows {
        match (store.commit(commit).await, refused) {
            (Ok(_), None) => {}
            (Err(CommitError::Store(StoreError::TooLarge { what, .. })), Some(expected)) => {
                assert_eq!(what, expected);
            }
            (result, refused) => panic!("{result:?} instead of {refused:?}"),
        }
    }
    let reserved = store.commit(Commit::new(Space::new(0xFFFF, "mine"), "p").put("k", "v")).await;
    assert!(matches!(reserved, Err(CommitError::Store(StoreError::ReservedSpace { .. }))));
}

#[tokio::test]
async fn a_folder_has_one_store_at_a_time() {
    let (folder, store) = new_store().await;
    put(&store, "p", "k", "x").await;
    let second = Store::open_local_with(folder.path(), small()).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    store.close().await.unwrap();
    let refused = store.commit(Commit::new(SPACE, "p").put("k", "y")).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Closed))), "{refused:?}");
    drop(store);
    let store = Store::open_local_with(folder.path(), small()).await.unwrap();
    assert_eq!(get(&store, "p", "k").await.as_deref(), Some("x"));
}

/// Enough rows that memtables are flushed, tables merged and segments used again, many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_outgrow_memory_and_stay() {
    let (folder, store) = new_store().await;
    let value = |round: usize, n: usize| format!("{round}-{n}-").repeat(150);
    for round in 0..4 {
        let mut committed = Vec::new();
        for n in 0..1000 {
            let mut commit = Commit::new(SPACE, format!("{}", n % 7));
            commit = match (round + n) % 5 {
                0 => commit.delete(n.to_string()),
                _ => commit.put(n.to_string(), value(round, n)),
            };
            if n % 50 == 0 {
                store.commit(commit).await.unwrap();
            } else {
                // Not awaited one by one, so that groups form.
                let store = store.clone();
                committed.push(tokio::spawn(async move { store.commit(commit).await.unwrap() }));
            }
        }
        // All of this round is in before the next begins.
        for commit in committed {
            commit.await.unwrap();
        }
        put(&store, "end", "end", "x").await;
    }
    let check = async |store: &Store| {
        for n in 0..1000 {
            let expected = ((3 + n) % 5 != 0).then(|| value(3, n));
            assert_eq!(get(store, &format!("{}", n % 7), &n.to_string()).await, expected, "row {n}");
        }
        let rows = store.scan(SPACE, ScanFrom::Start, 5000).await.unwrap();
        assert_eq!(rows.len(), 801);
    };
    check(&store).await;
    let segments = std::fs::read_dir(folder.path().join("log")).unwrap().count();
    assert!(segments <= 16, "the log should use segments again, but has {segments}");
    drop(store);
    let store = Store::open_local_with(folder.path(), small()).await.unwrap();
    check(&store).await;
}
