//! Queues: what producers and consumers do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::history::{Call, Checked, History};
use crate::message::{Message, Op, Told};
use crate::workload::{Object, Turn};

mod ask;

/// Clients make messages invisible for at most this long.
const HIDDEN_MAX: Duration = Duration::from_secs(2);
/// Messages that are due come within this time after they are.
const LATE_MAX: Duration = Duration::from_millis(500);
/// An audit's messages stay its own for this long.
const AUDIT: Duration = Duration::from_secs(60);
/// Messages that one audit leaves for the next clients, at most.
const LEFT_MAX: usize = 20;

/// A message that somebody got or put, and may delete or update.
#[derive(Debug, Clone)]
struct Held {
    name: u64,
    id: String,
    receipt: String,
}

/// A queue under test.
pub struct QueueObject {
    queue: String,
    /// By the number that each message's text begins with.
    histories: Mutex<BTreeMap<u64, History<Message>>>,
    /// Gets whose answers were lost: they may have got any message.
    lost_gets: Mutex<Vec<Call<Message>>>,
    held: Mutex<Vec<Held>>,
}

impl QueueObject {
    pub fn new(queue: &str) -> Self {
        let (histories, lost_gets, held) = Default::default();
        Self { queue: queue.to_owned(), histories, lost_gets, held }
    }

    fn add(&self, name: u64, call: Call<Message>) {
        self.histories.lock().unwrap().entry(name).or_default().add(call);
    }

    fn put(&self, turn: &mut Turn<'_>) {
        let (name, hidden) = (turn.value(), Duration::from_secs(turn.random.random_range(0..5) / 4));
        let began = turn.clock.now();
        let held = ask::put(turn.client, &self.queue, name, hidden);
        let answer = held.as_ref().map(|held| Told::Receipt(held.receipt.clone()));
        let ended = turn.clock.now();
        self.add(name, Call { client: turn.number, began, ended, op: Op::Put { hidden }, answer });
        // Whoever put a message seldom deletes it.
        self.held.lock().unwrap().extend(held.filter(|_| turn.random.random_ratio(1, 10)));
    }

    /// Gets messages and writes down who was got; `None` when no answer came.
    fn get(&self, turn: &Turn<'_>, count: u32, hidden: Duration) -> Option<Vec<Held>> {
        let began = turn.clock.now();
        let got = ask::get(turn.client, &self.queue, count, hidden);
        let (client, ended, op) = (turn.number, turn.clock.now(), Op::Get { hidden });
        if got.is_none() {
            self.lost_gets.lock().unwrap().push(Call { client, began, ended, op: op.clone(), answer: None });
        }
        let add = |(held, told): (Held, Told)| {
            self.add(held.name, Call { client, began, ended, op: op.clone(), answer: Some(told) });
            held
        };
        Some(got?.into_iter().map(add).collect())
    }

    fn peek(&self, turn: &Turn<'_>) {
        let began = turn.clock.now();
        let peeked = ask::peek(turn.client, &self.queue);
        let (client, ended) = (turn.number, turn.clock.now());
        for (name, told) in peeked.into_iter().flatten() {
            self.add(name, Call { client, began, ended, op: Op::Peek, answer: Some(told) });
        }
    }

    /// Deletes or updates a message; says what was told, if anything was.
    fn change(&self, turn: &Turn<'_>, held: &Held, op: Op) -> Option<Told> {
        let began = turn.clock.now();
        let answer = ask::change(turn.client, &self.queue, held, &op);
        let (client, ended) = (turn.number, turn.clock.now());
        self.add(held.name, Call { client, began, ended, op, answer: answer.clone() });
        answer
    }

    /// Some receipt that somebody has. Often it stays known, so that others use it too, or too late.
    fn some_held(&self, turn: &mut Turn<'_>) -> Option<Held> {
        let mut all = self.held.lock().unwrap();
        let index = (!all.is_empty()).then(|| turn.random.random_range(0..all.len()))?;
        Some(if turn.random.random_ratio(3, 4) { all.swap_remove(index) } else { all[index].clone() })
    }

    /// Takes all messages, and waits for those that clients had made invisible.
    fn take_all(&self, turn: &Turn<'_>, quiet_since: Instant) -> Vec<Held> {
        let mut all = Vec::new();
        loop {
            let last = quiet_since.elapsed() > HIDDEN_MAX + LATE_MAX;
            let got = self.get(turn, ask::GET_MAX, AUDIT).unwrap();
            if got.is_empty() && last {
                return all;
            }
            if got.is_empty() {
                std::thread::sleep(Duration::from_millis(20));
            }
            all.extend(got);
        }
    }

    fn look(&self, turn: &Turn<'_>, there: &BTreeSet<u64>) {
        let histories = self.histories.lock().unwrap();
        for (_, history) in histories.iter().filter(|(name, _)| !there.contains(name)) {
            let (began, ended) = (turn.clock.now(), turn.clock.now());
            history.add(Call { client: turn.number, began, ended, op: Op::Look, answer: Some(Told::Gone) });
        }
    }
}

impl Object for QueueObject {
    fn act(&self, turn: &mut Turn<'_>) {
        let hidden = Duration::from_secs(turn.random.random_range(1..=HIDDEN_MAX.as_secs()));
        match turn.random.random_range(0..20) {
            0..6 => self.put(turn),
            6..12 => {
                let count = turn.random.random_range(1..4);
                let got = self.get(turn, count, hidden);
                self.held.lock().unwrap().extend(got.into_iter().flatten());
            }
            12 => self.peek(turn),
            13..15 => {
                let Some(held) = self.some_held(turn) else { return };
                let (receipt, revision) = (held.receipt.clone(), turn.value());
                let hidden = Duration::from_secs(turn.random.random_range(0..=HIDDEN_MAX.as_secs()));
                if let Some(Told::Receipt(receipt)) =
                    self.change(turn, &held, Op::Update { receipt, hidden, revision })
                {
                    self.held.lock().unwrap().push(Held { receipt, ..held });
                }
            }
            _ => {
                let Some(held) = self.some_held(turn) else { return };
                let receipt = held.receipt.clone();
                self.change(turn, &held, Op::Delete { receipt });
            }
        }
    }

    fn audit(&self, turn: &mut Turn<'_>) {
        let all = self.take_all(turn, turn.quiet_since);
        self.look(turn, &all.iter().map(|held| held.name).collect());
        assert_eq!(
            ask::count(turn.client, &self.queue),
            all.len(),
            "{}: messages that cannot be got",
            self.queue
        );
        for (index, held) in all.into_iter().enumerate() {
            let receipt = held.receipt.clone();
            if index < LEFT_MAX && turn.goes_on {
                let op = Op::Update { receipt, hidden: Duration::ZERO, revision: turn.value() };
                assert!(matches!(self.change(turn, &held, op), Some(Told::Receipt(_))), "{held:?}");
            } else {
                assert_eq!(self.change(turn, &held, Op::Delete { receipt }), Some(Told::Deleted), "{held:?}");
            }
        }
    }

    fn check(&self) -> Result<Vec<Checked>, String> {
        let (histories, lost_gets) = (self.histories.lock().unwrap(), self.lost_gets.lock().unwrap());
        let check = |(name, history): (&u64, &History<Message>)| {
            let checked = history.check(&lost_gets);
            checked.map_err(|calls| format!("message {name} of {}:\n{calls}", self.queue))
        };
        histories.iter().map(check).collect()
    }
}
