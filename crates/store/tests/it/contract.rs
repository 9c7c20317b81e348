//! What every backend keeps of rows, checks, commits and scans: run on each.

use welkin_store::{Commit, CommitError, ScanFrom, Space, Store, Version};

use crate::store::{OTHER, SPACE, get, put};

/// Gives the names of all that is checked to a macro.
macro_rules! contract {
    ($run:ident) => {
        $run! {
            a_row_is_there_at_the_version_of_its_commit
            checks_hold_or_nothing_is_written
            a_commit_without_writes_only_checks
            a_scan_goes_in_order_across_partitions_and_stays_in_its_space
            a_moment_stays_as_it_was
            no_update_is_lost
        }
    };
}
pub(crate) use contract;

pub async fn a_row_is_there_at_the_version_of_its_commit(store: Store) {
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
pub async fn checks_hold_or_nothing_is_written(store: Store) {
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

pub async fn a_commit_without_writes_only_checks(store: Store) {
    let version = put(&store, "p", "k", "x").await;
    let checked = store.commit(Commit::new(SPACE, "p").check_version("k", version)).await.unwrap();
    assert!(checked >= version);
    let next = put(&store, "p", "k", "y").await;
    assert!(next > checked);
}

pub async fn a_scan_goes_in_order_across_partitions_and_stays_in_its_space(store: Store) {
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

pub async fn a_moment_stays_as_it_was(store: Store) {
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

/// Many tasks add one to the same row; each retries until its check holds.
pub async fn no_update_is_lost(store: Store) {
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
