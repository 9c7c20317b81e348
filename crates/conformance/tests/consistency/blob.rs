//! Blobs: what one is, and what the clients do to it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rand::Rng as _;
use welkin_storage_wire::operation::Service;

use crate::history::{Call, Checked, History, Model, Moment};
use crate::workload::{Object, Turn};

mod ask;

/// The container of all blobs.
pub const CONTAINER: &str = "objects";
/// Values that a list of blocks keeps of those that are there.
const KEPT_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Block,
    Append,
}

/// What the blob is for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub kind: Kind,
    /// Wide values lie in extents, narrow ones may lie in rows.
    pub value_bytes: usize,
}

/// When a write happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    Always,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match` with the ETag of this content. No two contents are the same, but empty ones, which are not asked for.
    Is(Vec<u64>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Get,
    /// Put Blob, of a block blob with one value and of an append blob with none.
    Put(Vec<u64>, When),
    /// Put Block, whose id is the value.
    Stage(u64),
    /// Put Block List.
    Commit(Vec<u64>, When),
    /// Append Block, at this position if there is one.
    Append(u64, Option<usize>),
    Delete(When),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Content(Option<Vec<u64>>),
    Done,
    /// How many values were there before.
    Appended(usize),
    /// A condition did not hold, or there is no such blob or block.
    Refused,
}

/// A blob as a list of values.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    content: Option<Vec<u64>>,
    /// Whether the values are committed blocks.
    blocks: bool,
    /// Uncommitted blocks, and when they had been put.
    staged: BTreeMap<u64, Moment>,
    /// Blocks that were on their way when a write that drops uncommitted ones began. The service may keep one that it
    /// took meanwhile, though others still saw the blob as it was before: no block is lost that way.
    kept: BTreeMap<u64, Moment>,
}

#[derive(Debug, Clone)]
pub struct Blob;

impl Model for Blob {
    type State = State;
    type Op = Op;
    type Answer = Told;

    fn step(state: &State, call: &Call<Self>) -> Option<State> {
        if let (Op::Commit(list, when), Some(Told::Refused)) = (&call.op, &call.answer) {
            // Where it is not known whether a block was kept, it may also not have been.
            let refused = !state.holds(when) || !list.iter().all(|value| state.has_block(*value));
            return refused.then(|| state.clone());
        }
        let (told, next) = state.after(call);
        call.answer.as_ref().is_none_or(|answer| *answer == told).then_some(next)
    }
}

impl State {
    fn holds(&self, when: &When) -> bool {
        match when {
            When::Always => true,
            When::Absent => self.content.is_none(),
            When::Is(content) => self.content.as_ref() == Some(content),
        }
    }

    fn has_block(&self, value: u64) -> bool {
        let committed =
            || self.blocks && self.content.as_ref().is_some_and(|content| content.contains(&value));
        self.staged.contains_key(&value) || committed()
    }

    /// The answer to a call, and what is there then.
    fn after(&self, call: &Call<Blob>) -> (Told, Self) {
        let become_ = |content, blocks| {
            let late = self.staged.iter().chain(&self.kept).filter(|(_, put)| **put > call.began);
            let kept = late.map(|(value, put)| (*value, *put)).collect();
            (Told::Done, Self { content, blocks, staged: BTreeMap::new(), kept })
        };
        let may_have = |value: &u64| self.has_block(*value) || self.kept.contains_key(value);
        match (&call.op, &self.content) {
            (Op::Get, content) => (Told::Content(content.clone()), self.clone()),
            (Op::Put(values, when), _) if self.holds(when) => become_(Some(values.clone()), false),
            (Op::Stage(value), _) => {
                let mut next = self.clone();
                next.staged.insert(*value, call.ended);
                (Told::Done, next)
            }
            (Op::Commit(list, when), _) if self.holds(when) && list.iter().all(may_have) => {
                become_(Some(list.clone()), true)
            }
            (Op::Append(value, at), Some(content)) if at.is_none_or(|at| at == content.len()) => {
                let mut next = self.clone();
                next.content.get_or_insert_default().push(*value);
                (Told::Appended(content.len()), next)
            }
            (Op::Delete(when), Some(_)) if self.holds(when) => become_(None, false),
            _ => (Told::Refused, self.clone()),
        }
    }
}

/// What a client knows of a blob, and when it is bound to be out of date.
#[derive(Debug, Clone, Default)]
struct Seen {
    content: Vec<u64>,
    etag: String,
}

/// A blob under test.
pub struct BlobObject {
    name: String,
    form: Form,
    history: History<Blob>,
    /// What some client saw last: many know the same ETag, and one of them can use it.
    seen: Mutex<Option<Seen>>,
    /// Blocks that were staged, and not asked to be committed yet.
    staged: Mutex<Vec<u64>>,
}

impl BlobObject {
    pub fn new(name: &str, form: Form) -> Self {
        let (history, seen, staged) = Default::default();
        Self { name: name.to_owned(), form, history, seen, staged }
    }

    /// Asks and writes down; says what was answered, if anything was.
    fn call(&self, turn: &Turn<'_>, op: Op, etag: Option<&str>) -> Option<Told> {
        let began = turn.clock.now();
        let answer = ask::ask(turn.client, self.form, &self.name, &op, etag);
        let ended = turn.clock.now();
        let (told, seen) = answer.unzip();
        if let Some(seen) = seen.flatten() {
            *self.seen.lock().unwrap() = Some(seen);
        }
        self.history.add(Call { client: turn.number, began, ended, op, answer: told.clone() });
        told
    }

    fn choose(&self, turn: &mut Turn<'_>, seen: Option<&Seen>) -> Op {
        let value = turn.value();
        let content = seen.map_or(&[][..], |seen| &seen.content);
        let is = || if content.is_empty() { When::Always } else { When::Is(content.to_vec()) };
        match (self.form.kind, turn.random.random_range(0..20)) {
            (_, 0..5) => Op::Get,
            (_, 5) => Op::Delete(When::Always),
            (_, 6) => Op::Delete(is()),
            (Kind::Append, 7..10) => Op::Put(Vec::new(), When::Absent),
            (Kind::Append, 10) => Op::Put(Vec::new(), is()),
            (Kind::Append, 11..15) => Op::Append(value, Some(content.len())),
            (Kind::Append, _) => Op::Append(value, None),
            (Kind::Block, 7..9) => Op::Put(vec![value], When::Always),
            (Kind::Block, 9..11) => Op::Put(vec![value], When::Absent),
            (Kind::Block, 11..14) => Op::Put(vec![value], is()),
            (Kind::Block, 14..17) => Op::Stage(value),
            (Kind::Block, _) => {
                // What is there may be no blocks: then a list that keeps some of it is refused.
                let kept = if turn.random.random_bool(0.5) { KEPT_MAX } else { 0 };
                let mut list: Vec<u64> = content.iter().copied().take(kept).collect();
                // The last block is asked for once only, so that no two contents are the same.
                list.push(self.staged.lock().unwrap().pop().unwrap_or(value));
                let whens = [When::Always, When::Absent, is()];
                Op::Commit(list, whens[turn.random.random_range(0..3)].clone())
            }
        }
    }
}

impl Object for BlobObject {
    fn act(&self, turn: &mut Turn<'_>) {
        let seen = self.seen.lock().unwrap().clone();
        let op = self.choose(turn, seen.as_ref());
        let told = self.call(turn, op.clone(), seen.as_ref().map(|seen| seen.etag.as_str()));
        if let (Op::Stage(value), Some(Told::Done)) = (op, told) {
            self.staged.lock().unwrap().push(value);
        }
    }

    fn audit(&self, turn: &mut Turn<'_>) {
        let told = self.call(turn, Op::Get, None).unwrap();
        let listing = format!("/{CONTAINER}?restype=container&comp=list");
        let list = turn.client.send(Service::Blob, "GET", &listing, &[], "").unwrap();
        let listed = list.elements("Name").contains(&self.name);
        assert_eq!(listed, told != Told::Content(None), "{}: the list shows what can be read", self.name);
    }

    fn check(&self) -> Result<Vec<Checked>, String> {
        let told = |calls| format!("{:?} blob {}:\n{calls}", self.form.kind, self.name);
        Ok(vec![self.history.check(&[]).map_err(told)?])
    }
}
