//! Rows, checks, commits and scans.

use welkin_store::{
    COMMIT_BYTES_MAX, Commit, CommitError, KEY_BYTES_MAX, PARTITION_BYTES_MAX, ScanFrom, Space, Store,
    StoreError, VALUE_BYTES_MAX, Version,
};

use crate::store::{OTHER, SPACE, get, new_store, put, small};

#[tokio::test]
async fn a_row_is_there_at_the_version_of_its_commit() {
    let (_folder, store) = new_store().await;
    assert_eq!(get(&store, "p", "k").await, None);
    let first = put(&store, "p", "k", "one").await;
    let second = put(&store, "p", "k", "two").await;
    assert!(second > first);
    let row = store.get(SPACE, b"p", b"k").await.unwrap().unwrap();
    assert_eq!((&row.partition[..], &row.key[..], &row.value[..]), (&b"p"[..], &b"k"[..], &b"two"[..]));
    assert_eq!(row.version, second);
    assert_eq!(store.get(OTHER, b"p", b"k").await.unwrap(), None);
    assert_eq!(store.get(SPACE, b"pk", b"").await.unwrap(), None);
}

/// What a check says about a row that was never written, was deleted, or has a version.
#[tokio::test]
async fn checks_hold_or_nothing_is_written() {
    let (_folder, store) = new_store().await;
    let version = put(&store, "p", "present", "x").await;
    put(&store, "p", "deleted", "x").await;
    store.commit(Commit::new(SPACE, "p").delete("deleted")).await.unwrap();
    let old = Version(version.0 - 1);
    let empty = || Commit::new(SPACE, "p");
    let rows = [
        (empty(), None),
        (empty().check_absent("never"), None),
        (empty().check_absent("deleted"), None),
        (empty().check_absent("present"), Some(0)),
        (empty().check_present("present"), None),
        (empty().check_present("deleted"), Some(0)),
        (empty().check_version("present", version), None),
        (empty().check_version("present", old), Some(0)),
        (empty().check_version("never", version), Some(0)),
        (empty().check_unchanged("present", Some(version)).check_unchanged("never", None), None),
        (empty().check_absent("never").check_absent("deleted").check_present("never"), Some(2)),
    ];
    for (number, (commit, conflict)) in rows.into_iter().enumerate() {
        let key = format!("written {number}");
        let result = store.commit(commit.clone().put(key.clone(), "w")).await;
        match (&result, conflict) {
            (Ok(_), None) => {}
            (Err(CommitError::Conflict { check }), Some(expected)) if *check == expected => {}
            _ => panic!("{commit:?} gave {result:?}"),
        }
        assert_eq!(get(&store, "p", &key).await.is_some(), conflict.is_none(), "{commit:?}");
    }
}

#[tokio::test]
async fn a_commit_without_writes_only_checks() {
    let (_folder, store) = new_store().await;
    let version = put(&store, "p", "k", "x").await;
    let checked = store.commit(Commit::new(SPACE, "p").check_version("k", version)).await.unwrap();
    assert_eq!(checked, version);
    let next = put(&store, "p", "k", "y").await;
    assert!(next > version);
}

#[tokio::test]
async fn a_scan_goes_in_order_across_partitions_and_stays_in_its_space() {
    let (_folder, store) = new_store().await;
    let keys =
        [("", "x"), ("a", ""), ("a", "1"), ("a", "2"), ("a\0", "0"), ("a\0b", "0"), ("ab", "9"), ("b", "1")];
    for (partition, key) in keys.into_iter().rev() {
        put(&store, partition, key, "v").await;
    }
    store.commit(Commit::new(OTHER, "a").put("1", "other")).await.unwrap();
    store.commit(Commit::new(Space::new(0, "before"), "z").put("1", "other")).await.unwrap();
    let partition = |p: &'static str| ScanFrom::Partition(p.into());
    let rows = [
        (ScanFrom::Start, 100, &keys[..]),
        (ScanFrom::Start, 3, &keys[..3]),
        (ScanFrom::Start, 0, &keys[..0]),
        (partition("a"), 100, &keys[1..]),
        (partition("a\0"), 100, &keys[4..]),
        (partition("aa"), 100, &keys[6..]),
        (partition("c"), 100, &keys[8..]),
        (ScanFrom::Row("a".into(), "1".into()), 100, &keys[2..]),
        (ScanFrom::Row("a".into(), "11".into()), 100, &keys[3..]),
        (ScanFrom::AfterRow("a".into(), "1".into()), 100, &keys[3..]),
        (ScanFrom::AfterRow("a".into(), "2".into()), 1, &keys[4..5]),
        (ScanFrom::AfterPartition("a".into()), 100, &keys[4..]),
        (ScanFrom::AfterPartition("a\0b".into()), 100, &keys[6..]),
        (ScanFrom::AfterPartition("b".into()), 100, &keys[8..]),
    ];
    for (from, rows_max, expected) in rows {
        let found = store.scan(SPACE, from.clone(), rows_max).await.unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|row| (str::from_utf8(&row.partition).unwrap(), str::from_utf8(&row.key).unwrap()))
            .collect();
        assert_eq!(found, expected, "from {from:?}, at most {rows_max}");
    }
}

#[tokio::test]
async fn a_moment_stays_as_it_was() {
    let (_folder, store) = new_store().await;
    for (key, value) in [("1", "old"), ("2", "old"), ("3", "old")] {
        put(&store, "p", key, value).await;
    }
    let moment = store.moment();
    let changed = Commit::new(SPACE, "p").put("0", "new").put("2", "new").delete("3");
    store.commit(changed).await.unwrap();
    let old = [("1", "old"), ("2", "old"), ("3", "old")];
    let new = [("0", "new"), ("1", "old"), ("2", "new")];
    for (moment, expected) in [(moment, old), (store.moment(), new)] {
        let first = store.scan_at(&moment, SPACE, ScanFrom::Start, 2).await.unwrap();
        let after = ScanFrom::AfterRow("p".into(), first[1].key.clone());
        let rest = store.scan_at(&moment, SPACE, after, 9).await.unwrap();
        for key in ["0", "1", "2", "3"] {
            let found = store.get_at(&moment, SPACE, b"p", key.as_bytes()).await.unwrap();
            let expected = expected.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_bytes());
            assert_eq!(found.as_ref().map(|row| &row.value[..]), expected, "{key}");
        }
        let rows: Vec<_> = first.iter().chain(&rest).map(|row| (&row.key[..], &row.value[..])).collect();
        assert_eq!(rows, expected.map(|(key, value)| (key.as_bytes(), value.as_bytes())));
    }
}

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

/// Many tasks add one to the same row; each retries until its check holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost() {
    let (_folder, store) = new_store().await;
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(add_many(store.clone(), 25))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(get(&store, "p", "count").await.as_deref(), Some("200"));
}

async fn add_many(store: Store, times: usize) {
    for _ in 0..times {
        loop {
            let row = store.get(SPACE, b"p", b"count").await.unwrap();
            let count: u64 =
                row.as_ref().map_or(0, |row| str::from_utf8(&row.value).unwrap().parse().unwrap());
            let commit = Commit::new(SPACE, "p")
                .check_unchanged("count", row.map(|row| row.version))
                .put("count", (count + 1).to_string());
            match store.commit(commit).await {
                Ok(_) => break,
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
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
