//! Partitions, as they may be and as they may not.

use std::collections::BTreeMap;

use super::check;
use crate::partition::{self, Change, Entity, Partition};

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
