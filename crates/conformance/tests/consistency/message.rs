//! What a message is to one client after the other.

use std::time::Duration;

use crate::history::{Call, Model};

/// How far the service's clock may move against the clients' within one timeout.
const SLEW: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        hidden: Duration,
    },
    Get {
        hidden: Duration,
    },
    Peek,
    /// Makes it invisible again, and gives it another text.
    Update {
        receipt: String,
        hidden: Duration,
        revision: u64,
    },
    Delete {
        receipt: String,
    },
    /// An audit took all messages, and it was not among them.
    Look,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The receipt of a message that was put or updated.
    Receipt(String),
    Got {
        receipt: String,
        revision: u64,
        count: u32,
    },
    Peeked {
        revision: u64,
        count: u32,
    },
    Deleted,
    /// `PopReceiptMismatch`: somebody has another receipt by now.
    Stale,
    /// `MessageNotFound`.
    Gone,
}

/// A message that is in its queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct There {
    /// The one receipt that is good; none when its answer was lost.
    receipt: Option<String>,
    revision: u64,
    count: u32,
    /// It is invisible at least until then.
    hidden_until: Duration,
}

#[derive(Debug, Clone)]
pub struct Message;

impl Model for Message {
    type State = Option<There>;
    type Op = Op;
    type Answer = Told;

    fn step(state: &Self::State, call: &Call<Self>) -> Option<Self::State> {
        let until = |hidden: &Duration| call.began.at + *hidden;
        let visible = |there: &&There| there.hidden_until <= call.ended.at + SLEW;
        let own = |receipt: &String| state.as_ref().filter(|there| there.receipt.as_ref() == Some(receipt));
        let changed =
            |there: &There, receipt: &String| Some(There { receipt: Some(receipt.clone()), ..there.clone() });
        match (&call.op, &call.answer) {
            (Op::Put { hidden }, told) if state.is_none() => {
                let receipt =
                    if let Some(Told::Receipt(receipt)) = told { Some(receipt.clone()) } else { None };
                Some(Some(There { receipt, revision: 0, count: 0, hidden_until: until(hidden) }))
            }
            (Op::Get { hidden }, told) => {
                let there = state.as_ref().filter(visible)?;
                let next = There {
                    count: there.count + 1,
                    hidden_until: until(hidden),
                    receipt: None,
                    ..there.clone()
                };
                match told {
                    None => Some(Some(next)),
                    Some(Told::Got { receipt, revision, count }) => {
                        (next.revision == *revision && next.count == *count).then(|| changed(&next, receipt))
                    }
                    _ => None,
                }
            }
            (Op::Peek, Some(Told::Peeked { revision, count })) => {
                let there = state.as_ref().filter(visible)?;
                (there.revision == *revision && there.count == *count).then(|| state.clone())
            }
            (Op::Update { receipt, hidden, revision }, None | Some(Told::Receipt(_))) => {
                let next =
                    There { hidden_until: until(hidden), revision: *revision, ..own(receipt)?.clone() };
                let Some(Told::Receipt(receipt)) = &call.answer else {
                    return Some(Some(There { receipt: None, ..next }));
                };
                Some(changed(&next, receipt))
            }
            (Op::Delete { receipt }, None | Some(Told::Deleted)) => own(receipt).map(|_| None),
            (Op::Update { receipt, .. } | Op::Delete { receipt }, Some(Told::Stale)) => {
                (state.is_some() && own(receipt).is_none()).then(|| state.clone())
            }
            (Op::Update { .. } | Op::Delete { .. }, Some(Told::Gone)) | (Op::Look, _) => {
                state.is_none().then_some(None)
            }
            _ => None,
        }
    }
}
