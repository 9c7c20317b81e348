//! Messages, as they may be and as they may not.

use std::time::Duration;

use super::check;
use crate::message::{self, Message};

#[test]
fn messages() {
    use message::Told::{Deleted, Gone, Receipt, Stale};
    use message::{Op, Op::Look};
    let second = Duration::from_secs(1);
    let (put, get) = (Op::Put { hidden: Duration::ZERO }, Op::Get { hidden: second });
    let receipt = |text: &str| Some(Receipt(text.to_owned()));
    let got = |text: &str, count| Some(message::Told::Got { receipt: text.to_owned(), revision: 0, count });
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
