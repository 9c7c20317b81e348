//! The contract on a real etcd of three members, and what is its own: limits, elections, members that end or stand still.

use std::time::{Duration, Instant};

use welkin_store::etcd::{COMMIT_BYTES_MAX, LEASE_SECONDS, OPERATIONS_MAX};
use welkin_store::{Commit, CommitError, ScanFrom, Standing, Store, StoreError, Term};

use crate::cluster::{Cluster, Signal};
use crate::contract::contract;
use crate::store::{SPACE, get, put};

macro_rules! on_etcd {
    ($($name:ident)*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn etcd_keeps_the_contract() {
            let cluster = Cluster::start(3).await;
            $(crate::contract::$name(cluster.store(stringify!($name))).await;)*
            too_much_is_refused(cluster.store("large")).await;
            large_rows_come_in_pages(cluster.store("pages")).await;
            what_only_the_embedded_store_has_is_refused(cluster.store("absent")).await;
            crate::model::check_on_etcd(&cluster).await;
        }
    };
}
contract!(on_etcd);

async fn too_much_is_refused(store: Store) {
    let many = |checks: usize, writes: usize| {
        let commit = (0..checks).fold(Commit::new(SPACE, "p"), |c, n| c.check_absent(format!("never {n}")));
        (0..writes).fold(commit, |c, n| c.put(format!("{n}"), "v"))
    };
    let sized = |bytes: usize| Commit::new(SPACE, "p").put("k", vec![7; bytes]);
    let rows = [
        (many(OPERATIONS_MAX, OPERATIONS_MAX), None),
        (many(OPERATIONS_MAX + 1, 1), Some("number of checks")),
        (many(1, OPERATIONS_MAX + 1), Some("number of writes")),
        (sized(COMMIT_BYTES_MAX - 200), None),
        (sized(COMMIT_BYTES_MAX), Some("commit")),
        (sized(COMMIT_BYTES_MAX + 1), Some("value")),
        (sized(COMMIT_BYTES_MAX / 2).put("l", vec![8; COMMIT_BYTES_MAX / 2]), Some("commit")),
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
}

/// Together they are more than one page.
async fn large_rows_come_in_pages(store: Store) {
    const ROWS: usize = 20;
    for n in 0..ROWS {
        let value = vec![u8::try_from(n).unwrap(); 1_400_000];
        store.commit(Commit::new(SPACE, "p").put(format!("{n:02}"), value)).await.unwrap();
    }
    let rows = store.scan(SPACE, ScanFrom::Start, 1_000).await.unwrap();
    assert_eq!(rows.len(), ROWS);
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row.key, format!("{n:02}"));
        assert!(row.value.len() == 1_400_000 && row.value.iter().all(|byte| usize::from(*byte) == n));
    }
}

async fn what_only_the_embedded_store_has_is_refused(store: Store) {
    let refused = [
        store.extent_writer(None).await.map(drop),
        store.snapshot().await.map(drop),
        store.live_extents(None, 1).await.map(drop),
        store.damaged_files().await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::NotOverEtcd(_))), "{refused:?}");
    }
    store.close().await.unwrap();
    let closed = store.commit(Commit::new(SPACE, "p").put("k", "v")).await;
    assert!(matches!(closed, Err(CommitError::Store(StoreError::Closed))), "{closed:?}");
    assert!(matches!(store.get(SPACE, b"p", b"k").await, Err(StoreError::Closed)));
}

/// Stands until it leads.
async fn lead(cluster: &Cluster, name: &str) -> Term {
    let election = cluster.etcd("led").election("fabric");
    let began = Instant::now();
    loop {
        match election.stand(name).await {
            Ok(Standing::Leads(term)) => return term,
            Ok(Standing::Follows(_)) | Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{name} never leads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_who_led_before_writes_nothing() {
    let cluster = Cluster::start(3).await;
    let etcd = cluster.etcd("led");
    let election = etcd.election("fabric");
    assert_eq!(election.leader().await.unwrap(), None);
    let first = lead(&cluster, "first").await;
    assert!(first.is_held());
    assert_eq!(election.leader().await.unwrap().as_deref(), Some("first"));
    let others: Vec<_> = futures_util::future::join_all((0..4).map(|_| election.stand("other"))).await;
    for standing in others {
        assert!(matches!(standing, Ok(Standing::Follows(leader)) if leader == "first"));
    }
    let by_first = Store::over_etcd(&etcd, Some(&first));
    put(&by_first, "p", "k", "one").await;

    // It keeps its lease for longer than one lasts, and is not told apart from a dead one when it is silent for longer.
    tokio::time::sleep(Duration::from_secs(LEASE_SECONDS + 1)).await;
    assert!(first.is_held());
    drop(first);
    let silent = Instant::now();
    let second = lead(&cluster, "second").await;
    let took = silent.elapsed();
    assert!(took < Duration::from_secs(LEASE_SECONDS + 2), "{took:?}");

    let row = by_first.get(SPACE, b"p", b"k").await.unwrap().unwrap();
    let deposed = [
        Commit::new(SPACE, "p").put("k", "by the first"),
        Commit::new(SPACE, "p").check_version("k", row.version).delete("k"),
        Commit::new(SPACE, "p").check_absent("k").put("k", "by the first"),
        Commit::new(SPACE, "p").check_present("k"),
    ];
    for commit in deposed {
        let refused = by_first.commit(commit).await;
        assert!(matches!(refused, Err(CommitError::Store(StoreError::Deposed))), "{refused:?}");
    }
    let by_second = Store::over_etcd(&etcd, Some(&second));
    let refused = by_second.commit(Commit::new(SPACE, "p").check_absent("k").put("k", "x")).await;
    assert!(matches!(refused, Err(CommitError::Conflict { check: 0 })), "{refused:?}");
    put(&by_second, "p", "k", "two").await;

    // Who resigns is followed at once.
    let resigned = Instant::now();
    second.resign().await;
    let third = lead(&cluster, "third").await;
    assert!(resigned.elapsed() < Duration::from_secs(LEASE_SECONDS), "{:?}", resigned.elapsed());
    assert_eq!(get(&Store::over_etcd(&etcd, Some(&third)), "p", "k").await.as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_may_end_or_stand_still() {
    let mut cluster = Cluster::start(3).await;
    let store = cluster.store("kept");
    let term = lead(&cluster, "leader").await;
    let mut number = 0;
    for signal in [Signal::Kill, Signal::Stop] {
        for member in 0..3 {
            cluster.signal(member, signal);
            // Whether the one that is lost led or not: each commit is there as acknowledged, and one that is in doubt
            // is there or not.
            let began = Instant::now();
            let mut acknowledged = 0;
            while acknowledged < 5 {
                number += 1;
                match store.commit(Commit::new(SPACE, "p").put(number.to_string(), "v")).await {
                    Ok(_) => {
                        acknowledged += 1;
                        assert!(get(&store, "p", &number.to_string()).await.is_some());
                    }
                    Err(CommitError::Store(StoreError::Unavailable(_))) => {}
                    Err(error) => panic!("{error}"),
                }
                assert!(began.elapsed() < Duration::from_secs(30), "member {member}, {signal:?}");
            }
            match signal {
                Signal::Kill => cluster.start_member(member),
                _ => cluster.signal(member, Signal::Continue),
            }
            wait_for_all(&cluster).await;
        }
    }
    // Without a majority it says so, and goes on when it is back.
    cluster.signal(0, Signal::Kill);
    cluster.signal(1, Signal::Kill);
    let refused = store.get(SPACE, b"p", b"1").await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.commit(Commit::new(SPACE, "p").put("k", "v")).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    assert!(!term.is_held(), "nobody knows who leads");
    cluster.start_member(0);
    wait_for(async || store.get(SPACE, b"p", b"1").await.is_ok()).await;
    // Whether the lease outlived it depends on which member counted it. Either is told.
    let term = tokio::select! {
        () = wait_for(async || term.is_held()) => term,
        () = term.lost() => lead(&cluster, "leader").await,
    };
    let led = Store::over_etcd(&cluster.etcd("led"), Some(&term));
    put(&led, "p", "k", "v").await;
}

/// Each member answers by itself.
async fn wait_for_all(cluster: &Cluster) {
    for member in cluster.members() {
        let etcd = welkin_store::Etcd::new(&[member], cluster.identity(), "alone").unwrap();
        let store = Store::over_etcd(&etcd, None);
        wait_for(async || store.get(SPACE, b"p", b"1").await.is_ok()).await;
    }
}

async fn wait_for(condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes true");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
