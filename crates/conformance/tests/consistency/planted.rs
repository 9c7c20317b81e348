//! Histories that were made up: the checker takes the good ones, and finds what is wrong with the bad ones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::blob::{self, Blob};
use crate::history::{Call, Model, Moment, is_linearizable};
use crate::partition::{self, Change, Entity, Partition};
use crate::queue::{self, Message};

/// Who, from when to when in tenths of a second, what, and the answer.
type Planted<M> = (usize, u64, u64, <M as Model>::Op, Option<<M as Model>::Answer>);

fn check<M: Model>(rows: Vec<(&str, Vec<Planted<M>>, bool)>) {
    for (what, calls, expected) in rows {
        let moment = |order: u64| Moment { order, at: Duration::from_millis(order * 100) };
        let call = |(client, began, ended, op, answer): Planted<M>| Call::<M> {
            client,
            began: moment(began),
            ended: moment(ended),
            op,
            answer,
        };
        let calls: Vec<_> = calls.into_iter().map(call).collect();
        assert_eq!(is_linearizable(&calls), expected, "{what}");
    }
}

#[test]
fn blobs() {
    use blob::{Op::*, Told::*, When::*};
    let put = |value| Put(vec![value], Always);
    let read = |values: &[u64]| Some(Content(Some(values.to_vec())));
    let (nothing, done) = (Some(Content(None)), Some(Done));
    check::<Blob>(vec![
        ("no call at all", vec![], true),
        ("read after write", vec![(1, 0, 1, put(1), done.clone()), (2, 2, 3, Get, read(&[1]))], true),
        ("a write is lost", vec![(1, 0, 1, put(1), done.clone()), (2, 2, 3, Get, nothing.clone())], false),
        (
            "a stale read",
            vec![
                (1, 0, 1, put(1), done.clone()),
                (1, 2, 3, put(2), done.clone()),
                (2, 4, 5, Get, read(&[1])),
            ],
            false,
        ),
        (
            "at a time, in the other order",
            vec![
                (1, 0, 5, put(1), done.clone()),
                (2, 1, 4, put(2), done.clone()),
                (3, 6, 7, Get, read(&[1])),
            ],
            true,
        ),
        (
            "new, then old",
            vec![
                (1, 0, 1, put(1), done.clone()),
                (1, 2, 9, put(2), done.clone()),
                (2, 3, 4, Get, read(&[2])),
                (3, 5, 6, Get, read(&[1])),
            ],
            false,
        ),
        ("what nobody wrote", vec![(1, 0, 1, put(1), done.clone()), (2, 2, 3, Get, read(&[2]))], false),
        ("without an answer, and there", vec![(1, 0, 1, put(1), None), (2, 2, 3, Get, read(&[1]))], true),
        (
            "without an answer, and not there",
            vec![(1, 0, 1, put(1), None), (2, 2, 3, Get, nothing.clone())],
            true,
        ),
        (
            "without an answer, and there too late",
            vec![(1, 0, 1, put(1), None), (2, 2, 3, Get, nothing.clone()), (2, 4, 5, Get, read(&[1]))],
            false,
        ),
        (
            "without an answer, there, and gone",
            vec![(1, 0, 1, put(1), None), (2, 2, 3, Get, read(&[1])), (2, 4, 5, Get, nothing.clone())],
            false,
        ),
        (
            "deleted, and back",
            vec![
                (1, 0, 1, put(1), done.clone()),
                (1, 2, 3, Delete(Always), done.clone()),
                (2, 4, 5, Get, read(&[1])),
            ],
            false,
        ),
        (
            "two creations",
            vec![
                (1, 0, 3, Put(vec![1], Absent), done.clone()),
                (2, 1, 2, Put(vec![2], Absent), done.clone()),
            ],
            false,
        ),
        (
            "one ETag used twice",
            vec![
                (1, 0, 1, put(1), done.clone()),
                (1, 2, 5, Put(vec![2], Is(vec![1])), done.clone()),
                (2, 3, 4, Put(vec![3], Is(vec![1])), done.clone()),
            ],
            false,
        ),
        (
            "a condition refused that held",
            vec![(1, 0, 1, put(1), done.clone()), (1, 2, 3, Put(vec![2], Is(vec![1])), Some(Refused))],
            false,
        ),
        (
            "blocks",
            vec![
                (1, 0, 1, Stage(1), done.clone()),
                (1, 2, 3, Commit(vec![1], Always), done.clone()),
                (1, 4, 5, Stage(2), done.clone()),
                (1, 6, 7, Commit(vec![2, 1], Always), done.clone()),
                (1, 8, 9, Get, read(&[2, 1])),
            ],
            true,
        ),
        (
            "a block from before a Put Blob",
            vec![
                (1, 0, 1, Stage(1), done.clone()),
                (1, 2, 3, put(2), done.clone()),
                (1, 4, 5, Commit(vec![1], Always), done.clone()),
            ],
            false,
        ),
        (
            "an acknowledged block is lost",
            vec![(1, 0, 1, Stage(1), done.clone()), (1, 2, 3, Commit(vec![1], Always), Some(Refused))],
            false,
        ),
        (
            "two appends at one place",
            vec![
                (1, 0, 1, Put(vec![], Always), done.clone()),
                (1, 2, 5, Append(1, None), Some(Appended(0))),
                (2, 3, 4, Append(2, None), Some(Appended(0))),
            ],
            false,
        ),
        (
            "an append done twice",
            vec![
                (1, 0, 1, Put(vec![], Always), done),
                (1, 2, 3, Append(1, None), Some(Appended(0))),
                (2, 4, 5, Get, read(&[1, 1])),
            ],
            false,
        ),
    ]);
}

#[test]
fn partitions() {
    use partition::Op;
    use partition::Told::{Done, Entities, Refused};
    let entity = |a| Entity { a: Some(a), b: None };
    let read = |rows: &[(u8, u64)]| {
        Some(Entities(rows.iter().map(|(row, a)| (*row, entity(*a))).collect::<BTreeMap<_, _>>()))
    };
    let both = |value| Op::Change(vec![(0, Change::Insert(value)), (1, Change::Insert(value))]);
    check::<Partition>(vec![
        (
            "all of it",
            vec![(1, 0, 1, both(1), Some(Done)), (2, 2, 3, Op::Query, read(&[(0, 1), (1, 1)]))],
            true,
        ),
        ("half of it", vec![(1, 0, 5, both(1), Some(Done)), (2, 2, 3, Op::Query, read(&[(0, 1)]))], false),
        (
            "half of what had no answer",
            vec![(1, 0, 1, both(1), None), (2, 2, 3, Op::Query, read(&[(1, 1)]))],
            false,
        ),
        ("none of what had no answer", vec![(1, 0, 1, both(1), None), (2, 2, 3, Op::Query, read(&[]))], true),
        (
            "refused, and half done",
            vec![
                (1, 0, 1, Op::Change(vec![(1, Change::Insert(1))]), Some(Done)),
                (1, 2, 3, both(2), Some(Refused(1))),
                (2, 4, 5, Op::Get(0), Some(partition::Told::Entity(Some(entity(2))))),
            ],
            false,
        ),
        (
            "refused, and the wrong one told",
            vec![
                (1, 0, 1, Op::Change(vec![(1, Change::Insert(1))]), Some(Done)),
                (1, 2, 3, both(2), Some(Refused(0))),
            ],
            false,
        ),
    ]);
}

#[test]
fn messages() {
    use queue::Told::{Deleted, Gone, Receipt, Stale};
    use queue::{Op, Op::Look};
    let second = Duration::from_secs(1);
    let (put, get) = (Op::Put { hidden: Duration::ZERO }, Op::Get { hidden: second });
    let receipt = |text: &str| Some(Receipt(text.to_owned()));
    let got = |text: &str, count| Some(queue::Told::Got { receipt: text.to_owned(), revision: 0, count });
    let delete = |text: &str| Op::Delete { receipt: text.to_owned() };
    let update = |text: &str| Op::Update { receipt: text.to_owned(), hidden: Duration::ZERO, revision: 0 };
    check::<Message>(vec![
        (
            "got, and again after its timeout",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (3, 14, 15, get.clone(), got("c", 2)),
                (3, 16, 17, delete("c"), Some(Deleted)),
                (4, 18, 19, Look, Some(Gone)),
            ],
            true,
        ),
        (
            "got twice within its timeout",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (3, 6, 7, get.clone(), got("c", 2)),
            ],
            false,
        ),
        (
            "got twice at a time",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 5, get.clone(), got("b", 1)),
                (3, 3, 4, get.clone(), got("c", 1)),
            ],
            false,
        ),
        (
            "got within its timeout, which an update ended",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (2, 4, 5, update("b"), receipt("c")),
                (3, 6, 7, get.clone(), got("d", 2)),
            ],
            true,
        ),
        ("lost", vec![(1, 0, 1, put.clone(), receipt("a")), (4, 2, 3, Look, Some(Gone))], false),
        (
            "lost with a get",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), None),
                (4, 4, 5, Look, Some(Gone)),
            ],
            false,
        ),
        (
            "put without an answer, and never there",
            vec![(1, 0, 1, put.clone(), None), (4, 2, 3, Look, Some(Gone))],
            true,
        ),
        (
            "deleted without an answer",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (1, 2, 3, delete("a"), None),
                (4, 4, 5, Look, Some(Gone)),
            ],
            true,
        ),
        (
            "deleted, and got again",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (2, 4, 5, delete("b"), Some(Deleted)),
                (3, 14, 15, get.clone(), got("c", 2)),
            ],
            false,
        ),
        (
            "deleted with a stale receipt",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (1, 4, 5, delete("a"), Some(Deleted)),
            ],
            false,
        ),
        (
            "a stale receipt is refused",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get.clone(), got("b", 1)),
                (1, 4, 5, delete("a"), Some(Stale)),
            ],
            true,
        ),
        (
            "a good receipt is refused",
            vec![(1, 0, 1, put.clone(), receipt("a")), (1, 2, 3, delete("a"), Some(Stale))],
            false,
        ),
        (
            "stale by a get whose answer was lost",
            vec![
                (1, 0, 1, put.clone(), receipt("a")),
                (2, 2, 3, get, None),
                (1, 4, 5, delete("a"), Some(Stale)),
            ],
            true,
        ),
    ]);
}
