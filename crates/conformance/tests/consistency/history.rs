//! Histories: what was asked of one object and what was answered, and whether that can be put in one order.
//!
//! The checker is `todc-utils`' (Wing & Gong, with Lowe's memory of what was tried). A call without an answer may have
//! happened or not, which one order of calls does not tell; so what is checked is the set of states that are possible.
//! Such a call ends when the killed process is dead: what it did it has done by then, or it never does.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::specifications::Specification;

/// What an object is to one client after the other.
pub trait Model: Debug + Clone {
    type State: Debug + Clone + Ord + Hash + Default;
    type Op: Debug + Clone;
    type Answer: Debug + Clone;

    /// The state after a call; `None` when it cannot have had its answer in this state. Without an answer: the state
    /// after it if it happened.
    fn step(state: &Self::State, call: &Call<Self>) -> Option<Self::State>;
}

/// A point in time, and its place in the order of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    pub order: u64,
    pub at: Duration,
}

/// Tells moments apart.
pub struct Clock {
    start: Instant,
    last: AtomicU64,
}

impl Clock {
    pub fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    pub fn now(&self) -> Moment {
        Moment { order: self.last.fetch_add(1, Ordering::SeqCst), at: self.start.elapsed() }
    }
}

/// A call of a client, which makes one at a time.
#[derive(Debug, Clone)]
pub struct Call<M: Model> {
    pub client: usize,
    pub began: Moment,
    pub ended: Moment,
    pub op: M::Op,
    /// None when no answer came.
    pub answer: Option<M::Answer>,
}

/// What was checked of a history.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    pub calls: usize,
    pub unanswered: usize,
}

/// All calls of one object.
#[derive(Debug)]
pub struct History<M: Model>(Mutex<Vec<Call<M>>>);

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Model> History<M> {
    /// Adds a call, when it has ended.
    pub fn add(&self, call: Call<M>) {
        self.0.lock().unwrap().push(call);
    }

    /// Holds it against the model, and with it calls that may have been of this object, and have no answer.
    ///
    /// # Errors
    /// When there is no order that explains their answers: the last calls up to the first answer that cannot be.
    pub fn check(&self, maybe: &[Call<M>]) -> Result<Checked, String> {
        let calls = self.0.lock().unwrap();
        let first = calls.iter().map(|call| call.began).min();
        let last = calls.iter().map(|call| call.ended).max();
        let near = maybe.iter().filter(|call| Some(call.ended) > first && Some(call.began) < last);
        let all: Vec<_> = calls.iter().chain(near).cloned().collect();
        if is_linearizable(&all) {
            let unanswered = calls.iter().filter(|call| call.answer.is_none()).count();
            return Ok(Checked { calls: calls.len(), unanswered });
        }
        Err(told(&all))
    }
}

/// What is shown of a history that no order explains: the last calls up to where that begins.
const SHOWN_MAX: usize = 40;

/// The shortest beginning of the history that no order explains, which ends with an answer that cannot be.
fn told<M: Model>(calls: &[Call<M>]) -> String {
    let mut ends: Vec<Moment> = calls.iter().map(|call| call.ended).collect();
    ends.sort_unstable();
    let bad = ends.partition_point(|end| is_linearizable(&until(calls, *end)));
    let calls = until(calls, ends[bad]);
    let line = |call: &Call<M>| {
        let Call { client, began, ended, op, answer } = call;
        format!("  {:>6}..{:<6} client {client}: {op:?} -> {answer:?}\n", began.order, ended.order)
    };
    calls[calls.len().saturating_sub(SHOWN_MAX)..].iter().map(line).collect()
}

/// The calls as they were known at a moment: those under way had no answer yet, and end then.
fn until<M: Model>(calls: &[Call<M>], end: Moment) -> Vec<Call<M>> {
    let mut known: Vec<_> = calls.iter().filter(|call| call.began < end).cloned().collect();
    for call in known.iter_mut().filter(|call| call.ended > end) {
        (call.answer, call.ended) = (None, end);
    }
    // What is under way ends later than the last answer.
    known.sort_by_key(|call| (call.ended, call.answer.is_none()));
    known
}

/// Whether the calls can be put in one order that their answers and the time allow.
pub fn is_linearizable<M: Model>(calls: &[Call<M>]) -> bool {
    let mut actions = Vec::with_capacity(2 * calls.len());
    for call in calls {
        actions.push((call.began, (call.client, Action::Call(call.clone()))));
        actions.push((call.ended, (call.client, Action::Response(call.clone()))));
    }
    actions.sort_by_key(|(moment, _)| *moment);
    let actions: Vec<_> = actions.into_iter().map(|(_, action)| action).collect();
    actions.is_empty() || WGLChecker::<Possible<M>>::is_linearizable(Actions::from_actions(actions))
}

/// The states that an object may be in.
struct Possible<M>(PhantomData<M>);

impl<M: Model> Specification for Possible<M> {
    type State = BTreeSet<M::State>;
    type Operation = Call<M>;

    fn init() -> Self::State {
        BTreeSet::from([M::State::default()])
    }

    fn apply(call: &Call<M>, states: &Self::State) -> (bool, Self::State) {
        let mut next: BTreeSet<_> = states.iter().filter_map(|state| M::step(state, call)).collect();
        if call.answer.is_none() {
            next.extend(states.iter().cloned());
        }
        (!next.is_empty(), next)
    }
}
