//! Partitions of a table: what one is, and what the clients do to its entities.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use crate::history::{Call, Checked, History, Model};
use crate::wire::Client;
use crate::workload::{Object, Turn};

mod ask;

/// The table of all partitions.
pub const TABLE: &str = "objects";
/// Rows of a partition that clients change.
const ROWS: u8 = 4;
/// Rows that nobody changes: more than the service reads at a time, and fewer than one answer may have.
const STILL_ROWS: usize = 300;
/// Changes of one transaction, at most (STORAGE, section 6: Batch).
const CHANGES_MAX: usize = 100;

/// An entity has two properties: a replacement writes `a` alone, and a merge writes `b` beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    pub a: Option<u64>,
    pub b: Option<u64>,
}

/// When a change happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Without `If-Match`: an upsert.
    Always,
    /// `If-Match: *`.
    There,
    /// `If-Match` with the ETag of this entity. No two are the same.
    Is(Entity),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Insert(u64),
    Replace(u64, When),
    Merge(u64, When),
    Delete(When),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Query Entities of the partition.
    Query,
    /// Get Entity.
    Get(u8),
    /// One change by itself; more, of different rows, as an entity group transaction.
    Change(Vec<(u8, Change)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Entities(BTreeMap<u8, Entity>),
    Entity(Option<Entity>),
    Done,
    /// The first change that could not be made, and none was.
    Refused(usize),
}

#[derive(Debug, Clone)]
pub struct Partition;

impl Model for Partition {
    type State = BTreeMap<u8, Entity>;
    type Op = Op;
    type Answer = Told;

    fn step(state: &Self::State, call: &Call<Self>) -> Option<Self::State> {
        let (told, next) = after(state, &call.op);
        call.answer.as_ref().is_none_or(|answer| *answer == told).then_some(next)
    }
}

fn after(state: &BTreeMap<u8, Entity>, op: &Op) -> (Told, BTreeMap<u8, Entity>) {
    match op {
        Op::Query => (Told::Entities(state.clone()), state.clone()),
        Op::Get(row) => (Told::Entity(state.get(row).cloned()), state.clone()),
        Op::Change(changes) => {
            let mut next = state.clone();
            let refused = changes.iter().position(|(row, change)| !make(&mut next, *row, change));
            refused.map_or((Told::Done, next), |index| (Told::Refused(index), state.clone()))
        }
    }
}

/// Makes one change; false when it cannot be made.
fn make(state: &mut BTreeMap<u8, Entity>, row: u8, change: &Change) -> bool {
    let there = state.get(&row);
    let holds = |when: &When| match when {
        When::Always => true,
        When::There => there.is_some(),
        When::Is(entity) => there == Some(entity),
    };
    let next = match change {
        Change::Insert(value) if there.is_none() => Some(Entity { a: Some(*value), b: None }),
        Change::Replace(value, when) if holds(when) => Some(Entity { a: Some(*value), b: None }),
        Change::Merge(value, when) if holds(when) => {
            Some(Entity { a: there.and_then(|entity| entity.a), b: Some(*value) })
        }
        Change::Delete(when) if holds(when) => None,
        _ => return false,
    };
    match next {
        Some(entity) => state.insert(row, entity),
        None => state.remove(&row),
    };
    true
}

/// A partition under test.
pub struct PartitionObject {
    name: String,
    history: History<Partition>,
    /// Entities and their ETags as some client saw them last.
    seen: Mutex<BTreeMap<u8, (Entity, String)>>,
}

impl PartitionObject {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), history: History::default(), seen: Mutex::default() }
    }

    /// Puts rows that nobody changes between the first of the others and the second: a query that reads them takes its
    /// time, and sees one moment all the same.
    pub fn lengthen(&self, client: &Client) {
        for first in (0..STILL_ROWS).step_by(CHANGES_MAX) {
            ask::insert_still(client, &self.name, first..first + CHANGES_MAX);
        }
    }

    /// Asks and writes down. The answer, if there was one, tells ETags.
    fn call(&self, turn: &Turn<'_>, op: Op, etags: &BTreeMap<u8, (Entity, String)>) -> Option<Told> {
        let began = turn.clock.now();
        let answer = ask::ask(turn.client, &self.name, &op, etags);
        let ended = turn.clock.now();
        let (told, seen) = answer.unzip();
        self.seen.lock().unwrap().extend(seen.into_iter().flatten());
        self.history.add(Call { client: turn.number, began, ended, op, answer: told.clone() });
        told
    }

    fn choose(turn: &mut Turn<'_>, seen: &BTreeMap<u8, (Entity, String)>) -> Op {
        let mut rows: Vec<u8> = (0..ROWS).collect();
        rows.shuffle(&mut turn.random);
        let count = match turn.random.random_range(0..10) {
            0..2 => return Op::Query,
            2..4 => return Op::Get(rows[0]),
            4..7 => 1,
            7..9 => 2,
            _ => 3,
        };
        Op::Change(rows[..count].iter().map(|row| (*row, choose_change(turn, seen.get(row)))).collect())
    }
}

fn choose_change(turn: &mut Turn<'_>, seen: Option<&(Entity, String)>) -> Change {
    let value = turn.value();
    let is = seen.map_or(When::There, |(entity, _)| When::Is(entity.clone()));
    match turn.random.random_range(0..10) {
        0..2 => Change::Insert(value),
        2..4 => Change::Replace(value, When::Always),
        4 => Change::Replace(value, is),
        5..7 => Change::Merge(value, When::Always),
        7 => Change::Merge(value, is),
        8 => Change::Delete(is),
        _ => Change::Delete(When::There),
    }
}

impl Object for PartitionObject {
    fn act(&self, turn: &mut Turn<'_>) {
        let seen = self.seen.lock().unwrap().clone();
        let op = Self::choose(turn, &seen);
        self.call(turn, op, &seen);
    }

    fn audit(&self, turn: &mut Turn<'_>) {
        let none = BTreeMap::new();
        self.call(turn, Op::Query, &none).unwrap();
        for row in 0..ROWS {
            self.call(turn, Op::Get(row), &none).unwrap();
        }
    }

    fn check(&self) -> Result<Vec<Checked>, String> {
        let told = |calls| format!("partition {}:\n{calls}", self.name);
        Ok(vec![self.history.check(&[]).map_err(told)?])
    }
}
