//! What a blob or an entity is to its clients, and whether a history of it can be put in one order.

use std::cmp::Reverse;
use std::sync::Mutex;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// What a client asks. Every write has a value of its own, so that an ETag stands for a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    Read,
    /// Writes whatever is there.
    Write(u64),
    /// Writes where nothing is.
    Create(u64),
    /// Writes where these values are, by their ETag.
    Swap(Vec<u64>, u64),
    /// Adds to what is there.
    Append(u64),
    /// Adds where so many values are.
    AppendAt(usize, u64),
    Delete,
    /// Deletes these values, by their ETag.
    DeleteIf(Vec<u64>),
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ret {
    Values(Option<Vec<u64>>),
    Done,
    /// How many values were there before.
    Appended(usize),
    Refused,
}

/// The reference: a list of values, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Object(Option<Vec<u64>>);

impl SequentialSpec for Object {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        let next = match (op, &self.0) {
            (Op::Read, values) => return Ret::Values(values.clone()),
            (Op::Append(value), Some(values)) => return self.append(values.len(), *value),
            (Op::AppendAt(at, value), Some(values)) if *at == values.len() => return self.append(*at, *value),
            (Op::Write(value), _) | (Op::Create(value), None) => Some(vec![*value]),
            (Op::Swap(old, value), Some(values)) if old == values => Some(vec![*value]),
            (Op::Delete, Some(_)) => None,
            (Op::DeleteIf(old), Some(values)) if old == values => None,
            _ => return Ret::Refused,
        };
        self.0 = next;
        Ret::Done
    }
}

impl Object {
    fn append(&mut self, before: usize, value: u64) -> Ret {
        self.0.get_or_insert_default().push(value);
        Ret::Appended(before)
    }
}

#[derive(Debug, Clone)]
enum Event {
    Asked(u64, Op),
    Told(u64, Ret),
}

/// What was asked and told of one object, in the order of time. A client asks one thing at a time, and never again
/// after it got no answer.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Event>>);

impl History {
    pub fn asked(&self, client: u64, op: Op) {
        self.0.lock().unwrap().push(Event::Asked(client, op));
    }

    pub fn told(&self, client: u64, ret: Ret) {
        self.0.lock().unwrap().push(Event::Told(client, ret));
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether the operations can be put in one order that their answers and the time allow.
    pub fn is_linearizable(&self) -> bool {
        // The checker tries clients in their order: those without an answer are old, and best tried last.
        let mut tester = LinearizabilityTester::new(Object::default());
        for event in self.0.lock().unwrap().iter().cloned() {
            match event {
                Event::Asked(client, op) => tester.on_invoke(Reverse(client), op).unwrap(),
                Event::Told(client, ret) => tester.on_return(Reverse(client), ret).unwrap(),
            };
        }
        tester.serialized_history().is_some()
    }
}

#[test]
fn the_checker_tells_right_from_wrong() {
    let asked = |client, op: &Op| Event::Asked(client, op.clone());
    let told = |client, ret: &Ret| Event::Told(client, ret.clone());
    let (write1, write2, read) = (Op::Write(1), Op::Write(2), Op::Read);
    let (one, two, none) =
        (Ret::Values(Some(vec![1])), Ret::Values(Some(vec![2])), Ret::Values(None));
    let done = Ret::Done;
    let rows: Vec<(&str, Vec<Event>, bool)> = vec![
        ("read after write", vec![asked(1, &write1), told(1, &done), asked(2, &read), told(2, &one)], true),
        ("an acknowledged write is lost", vec![asked(1, &write1), told(1, &done), asked(2, &read), told(2, &none)], false),
        (
            "a stale read",
            vec![asked(1, &write1), told(1, &done), asked(1, &write2), told(1, &done), asked(2, &read), told(2, &one)],
            false,
        ),
        ("in flight, seen", vec![asked(1, &write1), asked(2, &read), told(2, &one)], true),
        ("in flight, not seen", vec![asked(1, &write1), asked(2, &read), told(2, &none)], true),
        (
            "in flight, seen and then gone",
            vec![asked(1, &write1), asked(2, &read), told(2, &one), asked(2, &read), told(2, &none)],
            false,
        ),
        (
            "two creations succeed",
            vec![asked(1, &Op::Create(1)), asked(2, &Op::Create(2)), told(1, &done), told(2, &done)],
            false,
        ),
        (
            "two swaps of one ETag succeed",
            vec![
                asked(1, &write1),
                told(1, &done),
                asked(1, &Op::Swap(vec![1], 2)),
                asked(2, &Op::Swap(vec![1], 3)),
                told(1, &done),
                told(2, &done),
            ],
            false,
        ),
        (
            "appends at one place",
            vec![
                asked(1, &write1),
                told(1, &done),
                asked(1, &Op::Append(2)),
                asked(2, &Op::Append(3)),
                told(1, &Ret::Appended(1)),
                told(2, &Ret::Appended(1)),
            ],
            false,
        ),
        ("what nobody wrote", vec![asked(1, &write1), told(1, &done), asked(2, &read), told(2, &two)], false),
        (
            "deleted, and back",
            vec![
                asked(1, &write1),
                told(1, &done),
                asked(1, &Op::Delete),
                told(1, &done),
                asked(2, &read),
                told(2, &one),
            ],
            false,
        ),
    ];
    for (what, events, expected) in rows {
        assert_eq!(History(Mutex::new(events)).is_linearizable(), expected, "{what}");
    }
}
