//! Blobs, as they may be and as they may not.

use super::check;
use crate::blob::{self, Blob};

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
            "a block that came during a Put Blob",
            vec![
                (1, 0, 5, put(2), done.clone()),
                (2, 1, 2, Stage(1), done.clone()),
                (2, 3, 4, Get, nothing.clone()),
                (2, 6, 7, Commit(vec![1], Always), done.clone()),
            ],
            true,
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
