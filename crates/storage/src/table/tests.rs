use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use welkin_storage_wire::ErrorCode;
use welkin_storage_wire::table::etag::Condition;
use welkin_storage_wire::table::{Continuation, Entity, EntityKey, Filter, Properties, Value};
use welkin_store::Store;

use super::*;

const ACCOUNT: Uid = Uid::from_bytes([7; 16]);

async fn storage() -> (TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local(folder.path()).await.unwrap();
    let storage = Storage::over(store);
    storage.create_table(ACCOUNT, "Things", Uid::from_bytes([1; 16]), at(0)).await.unwrap();
    (folder, storage)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ticks(17_000_000_000_000_000).plus(Duration::from_secs(seconds))
}

fn key(partition: &str, row: &str) -> EntityKey {
    EntityKey::new(partition, row).unwrap()
}

fn one(name: &str, number: i32) -> Properties {
    vec![(name.to_owned(), Value::Int32(number))]
}

#[tokio::test]
async fn tables() {
    let (_folder, storage) = storage().await;
    let again = storage.create_table(ACCOUNT, "tHINGS", Uid::from_bytes([2; 16]), at(0)).await;
    assert!(matches!(again, Err(TableError::TableAlreadyExists)));
    for (index, name) in ["Beta", "alpha", "Gamma"].into_iter().enumerate() {
        let uid = Uid::from_bytes([10 + u8::try_from(index).unwrap(); 16]);
        storage.create_table(ACCOUNT, name, uid, at(0)).await.unwrap();
    }
    let first = storage.query_tables(ACCOUNT, None, None, 2).await.unwrap();
    assert_eq!((first.names, first.next.as_deref()), (vec!["alpha".into(), "Beta".into()], Some("Gamma")));
    let rest = storage.query_tables(ACCOUNT, None, Some("Gamma"), 2).await.unwrap();
    assert_eq!((rest.names, rest.next), (vec!["Gamma".to_owned(), "Things".into()], None));
    let filter = Filter::parse("TableName ge 'B' and TableName lt 'C'").unwrap();
    let filtered = storage.query_tables(ACCOUNT, Some(&filter), None, 10).await.unwrap();
    assert_eq!(filtered.names, ["Beta"]);
    let other = storage.query_tables(Uid::from_bytes([8; 16]), None, None, 10).await.unwrap();
    assert_eq!(other, TablePage::default());
}

#[tokio::test]
async fn a_deleted_table_is_empty_when_made_again_and_its_rows_are_removed() {
    let (_folder, storage) = storage().await;
    for n in 0..20 {
        let key = key(&format!("p{}", n % 3), &format!("r{n}"));
        storage.change_entity(ACCOUNT, "Things", &key, Change::Insert(one("a", n)), at(0)).await.unwrap();
    }
    storage.delete_table(ACCOUNT, "things", at(1)).await.unwrap();
    assert!(matches!(storage.delete_table(ACCOUNT, "things", at(1)).await, Err(TableError::TableNotFound)));
    assert!(matches!(
        storage.entity(ACCOUNT, "things", &key("p0", "r0")).await,
        Err(TableError::TableNotFound)
    ));
    storage.create_table(ACCOUNT, "things", Uid::from_bytes([3; 16]), at(2)).await.unwrap();
    let page = storage.query_entities(ACCOUNT, "things", None, None, 100).await.unwrap();
    assert_eq!(page, EntityPage::default());
    while storage.clean(at(3)).await.unwrap() {}
    let left = storage.store().scan(crate::space::ENTITIES, ScanFrom::Start, 100).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn policies() {
    let (_folder, storage) = storage().await;
    assert_eq!(storage.table_policies(ACCOUNT, "Things").await.unwrap(), []);
    let policy = StoredAccessPolicy {
        id: "p".into(),
        start: None,
        expiry: Some(at(9)),
        permissions: Some("raud".into()),
    };
    storage.set_table_policies(ACCOUNT, "THINGS", std::slice::from_ref(&policy)).await.unwrap();
    assert_eq!(storage.table_policies(ACCOUNT, "things").await.unwrap(), [policy]);
    let record = storage.table(ACCOUNT, "things").await.unwrap();
    assert_eq!((record.name.as_str(), record.uid), ("Things", Uid::from_bytes([1; 16])));
    storage.set_table_policies(ACCOUNT, "Things", &[]).await.unwrap();
    assert_eq!(storage.table_policies(ACCOUNT, "Things").await.unwrap(), []);
    let missing = storage.set_table_policies(ACCOUNT, "Others", &[]).await;
    assert!(matches!(missing, Err(TableError::TableNotFound)));
}

#[test]
fn tables_of_the_first_shape_are_read() {
    let (uid, created) = (Uid::from_bytes([3; 16]), at(4));
    let row = postcard::to_extend(&(uid, "Old", created), vec![1]).unwrap();
    let expected = TableRecord { uid, name: "Old".into(), created, policies: Vec::new() };
    assert_eq!(record::decode::<TableRecord>(&row).unwrap(), expected);
}

#[tokio::test]
async fn changes_and_conditions() {
    let (_folder, storage) = storage().await;
    let key = key("p", "r");
    let change = |change: Change| storage.change_entity(ACCOUNT, "Things", &key, change, at(5));
    let properties = || async { storage.entity(ACCOUNT, "Things", &key).await.unwrap().properties };
    assert!(matches!(
        change(Change::Merge(Some(Condition::Exists), one("a", 1))).await,
        Err(TableError::EntityNotFound)
    ));
    assert!(matches!(change(Change::Delete(Condition::Exists)).await, Err(TableError::EntityNotFound)));
    let first = change(Change::Insert(one("a", 1))).await.unwrap().unwrap();
    assert!(matches!(change(Change::Insert(one("a", 1))).await, Err(TableError::EntityAlreadyExists)));
    let second = change(Change::Merge(Some(Condition::Is(first)), one("b", 2))).await.unwrap().unwrap();
    assert!(second > first, "an ETag is new even within one tick");
    assert_eq!(properties().await, [one("a", 1), one("b", 2)].concat());
    assert!(matches!(
        change(Change::Replace(Some(Condition::Is(first)), one("c", 3))).await,
        Err(TableError::ConditionNotMet)
    ));
    assert!(matches!(change(Change::Delete(Condition::Is(first))).await, Err(TableError::ConditionNotMet)));
    change(Change::Replace(None, one("c", 3))).await.unwrap();
    assert_eq!(properties().await, one("c", 3));
    change(Change::Merge(None, one("c", 4))).await.unwrap();
    assert_eq!(properties().await, one("c", 4));
    let many: Properties = (0..252).map(|n| (format!("n{n}"), Value::Int32(n))).collect();
    let refused = change(Change::Merge(None, many)).await;
    assert!(
        matches!(refused, Err(TableError::Refused(error)) if error.code() == ErrorCode::TooManyProperties)
    );
    assert_eq!(change(Change::Delete(Condition::Exists)).await.unwrap(), None);
    assert!(matches!(storage.entity(ACCOUNT, "Things", &key).await, Err(TableError::EntityNotFound)));
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let (_folder, storage) = storage().await;
    let changes = [
        (key("p", "1"), Change::Insert(one("a", 1))),
        (key("p", "2"), Change::Replace(None, one("a", 2))),
        (key("p", "3"), Change::Delete(Condition::Exists)),
    ];
    let failed = storage.change_entities(ACCOUNT, "Things", &changes, at(1)).await.unwrap_err();
    assert_eq!(failed.index, 2);
    assert_eq!(storage.query_entities(ACCOUNT, "Things", None, None, 10).await.unwrap().entities, []);
    storage.change_entities(ACCOUNT, "Things", &changes[..2], at(1)).await.unwrap();
    assert_eq!(storage.query_entities(ACCOUNT, "Things", None, None, 10).await.unwrap().entities.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_racing_writers_wins_each_round() {
    let (_folder, storage) = storage().await;
    let key = key("p", "r");
    for round in 0..10 {
        let found = storage.entity(ACCOUNT, "Things", &key).await.map(|entity| entity.timestamp);
        let change = match found {
            Ok(timestamp) => Change::Replace(Some(Condition::Is(timestamp)), one("a", round)),
            Err(_) => Change::Insert(one("a", round)),
        };
        let racers = (0..8).map(|_| {
            let (storage, key, change) = (storage.clone(), key.clone(), change.clone());
            tokio::spawn(async move {
                storage.change_entity(ACCOUNT, "Things", &key, change, at(9)).await.is_ok()
            })
        });
        let won = futures_util::future::join_all(racers).await;
        assert_eq!(won.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1, "round {round}");
    }
    let racers = (0..16).map(|n| {
        let (storage, key) = (storage.clone(), key.clone());
        let change = Change::Merge(None, one(&format!("n{n}"), n));
        tokio::spawn(async move { storage.change_entity(ACCOUNT, "Things", &key, change, at(9)).await })
    });
    for merged in futures_util::future::join_all(racers).await {
        merged.unwrap().unwrap();
    }
    assert_eq!(storage.entity(ACCOUNT, "Things", &key).await.unwrap().properties.len(), 17);
}

/// However many scans it takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_one_moment() {
    let (_folder, storage) = storage().await;
    for first in [0, 100, 200] {
        let insert = |n| (key("p", &format!("m{n}")), Change::Insert(one("a", n)));
        let changes: Vec<_> = (first..first + 100).map(insert).collect();
        storage.change_entities(ACCOUNT, "Things", &changes, at(1)).await.unwrap();
    }
    let writer = tokio::spawn({
        let storage = storage.clone();
        async move {
            for n in 0.. {
                let both = ["a", "z"].map(|row| (key("p", row), Change::Replace(None, one("a", n))));
                storage.change_entities(ACCOUNT, "Things", &both, at(2)).await.unwrap();
            }
        }
    });
    let filter = Filter::parse("PartitionKey eq 'p'").unwrap();
    for query in 0..100 {
        let entities = all_pages(&storage, Some(&filter), 1000).await;
        let of = |row: &str| entities.iter().find(|e| e.key.row == row).map(|e| e.properties.clone());
        assert_eq!(of("a"), of("z"), "query {query}");
    }
    writer.abort();
}

/// A transaction that cannot be made says which change that is by one moment's entities: with another transaction
/// under way, it never is one that could have been made before and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_of_one_moment() {
    let (_folder, storage) = storage().await;
    let insert = |row| (key("p", row), Change::Insert(one("a", 1)));
    let delete = |row| (key("p", row), Change::Delete(Condition::Exists));
    storage.change_entities(ACCOUNT, "Things", &[insert("a"), insert("c")], at(1)).await.unwrap();
    let writer = tokio::spawn({
        let storage = storage.clone();
        let turns = [[delete("a"), insert("b")], [insert("a"), delete("b")]];
        async move {
            for turn in turns.iter().cycle() {
                storage.change_entities(ACCOUNT, "Things", turn, at(2)).await.unwrap();
            }
        }
    });
    let merge = (key("p", "a"), Change::Merge(Some(Condition::Exists), one("a", 2)));
    let changes = [merge, insert("b"), insert("c")];
    for _ in 0..5_000 {
        let failed = storage.change_entities(ACCOUNT, "Things", &changes, at(3)).await.unwrap_err();
        assert_ne!(failed.index, 1, "`a` is there or `b` is, and never both");
    }
    writer.abort();
}

/// All pages of a query.
async fn all_pages(storage: &Storage, filter: Option<&Filter>, rows_max: usize) -> Vec<Entity> {
    let mut all = Vec::new();
    let mut next: Option<Continuation> = None;
    loop {
        let page = storage.query_entities(ACCOUNT, "Things", filter, next.as_ref(), rows_max).await.unwrap();
        assert!(page.entities.len() <= rows_max);
        all.extend(page.entities);
        match page.next {
            Some(more) => next = Some(more),
            None => return all,
        }
    }
}

/// The text of any filter over keys and a property, with the constant on either side.
fn any_filter() -> impl Strategy<Value = String> {
    let operator =
        prop_oneof![Just("eq"), Just("ne"), Just("gt"), Just("ge"), Just("lt"), Just("le")].boxed();
    let key = prop_oneof![Just("PartitionKey"), Just("RowKey")];
    let text =
        prop_oneof![4 => "[ab]{0,2}", 1 => Just("\u{ffff}".to_owned()), 1 => Just("\u{10000}".to_owned())];
    let keys =
        (key, operator.clone(), text, any::<bool>()).prop_map(|(key, operator, text, first)| match first {
            true => format!("{key} {operator} '{text}'"),
            false => format!("'{text}' {operator} {key}"),
        });
    let number = (operator, 0..70).prop_map(|(operator, number)| format!("a {operator} {number}"));
    // All that begins with a text, as clients ask for it.
    let prefix = "[ab]{1,2}".prop_map(|text| format!("RowKey ge '{text}' and RowKey lt '{text}\u{ffff}'"));
    let leaf = prop_oneof![6 => keys, 1 => number, 1 => prefix];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let joined = |word: &'static str| {
            proptest::collection::vec(inner.clone(), 2..4).prop_map(move |terms| {
                terms.iter().map(|term| format!("({term})")).collect::<Vec<_>>().join(word)
            })
        };
        prop_oneof![
            2 => joined(" and "),
            2 => joined(" or "),
            1 => inner.clone().prop_map(|term| format!("not ({term})")),
        ]
    })
}

#[test]
fn queries_give_what_the_filter_says_whatever_the_pages() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_folder, storage) = runtime.block_on(storage());
    let names = ["", "a", "aa", "ab", "b", "ba", "\u{ffff}", "\u{10000}"];
    let mut expected = Vec::new();
    for partition in names {
        for row in names {
            let key = key(partition, row);
            let number = i32::try_from(expected.len()).unwrap();
            let insert = Change::Insert(one("a", number));
            runtime.block_on(storage.change_entity(ACCOUNT, "Things", &key, insert, at(1))).unwrap();
            expected.push(runtime.block_on(storage.entity(ACCOUNT, "Things", &key)).unwrap());
        }
    }
    expected.sort_by(|a, b| {
        let order = welkin_storage_wire::table::value::compare_ordinal;
        order(&a.key.partition, &b.key.partition).then(order(&a.key.row, &b.key.row))
    });
    let queries = (any_filter(), 1_usize..20);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    runner
        .run(&queries, |(text, rows_max)| {
            let filter = Filter::parse(&text).unwrap();
            let found = runtime.block_on(all_pages(&storage, Some(&filter), rows_max));
            let wanted: Vec<_> =
                expected.iter().filter(|e| filter.matches(&|name: &str| e.get(name))).cloned().collect();
            prop_assert_eq!(found, wanted, "{}", text);
            Ok(())
        })
        .unwrap();
    assert_eq!(runtime.block_on(all_pages(&storage, None, 7)), expected);
}
