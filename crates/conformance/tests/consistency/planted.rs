//! Histories that were made up: the checker takes the good ones, and finds what is wrong with the bad ones.

use std::time::Duration;

use crate::history::{Call, Model, Moment, is_linearizable};

mod blob;
mod message;
mod partition;

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
