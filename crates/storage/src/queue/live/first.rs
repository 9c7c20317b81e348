//! A moment before which a queue has no row by time.
//!
//! A scan that finds its first row at some moment proves that there is none before it, but for rows that are written
//! while it runs. So both tell each other: who places a row says so before it commits ([`Placing`]) and until the
//! commit is over, and a scan ([`Scan`]) notes the earliest moment of all placings that overlap it. The bound rises to
//! the lesser of the two, and falls to the moment of each placing that ended. A commit that nobody waits for any more
//! may still happen: a placing has to live until its commit is over, whatever becomes of the request.

use std::collections::HashMap;

use welkin_base::Timestamp;

use super::LiveQueues;
use crate::Uid;

/// The bound of one queue, and who changes it.
#[derive(Debug)]
pub(super) struct First {
    bound: Timestamp,
    placings: HashMap<u64, Timestamp>,
    /// Scans, each with the earliest moment that was placed while it ran.
    scans: HashMap<u64, Timestamp>,
    next: u64,
}

impl Default for First {
    fn default() -> Self {
        Self { bound: Timestamp::MIN, placings: HashMap::new(), scans: HashMap::new(), next: 0 }
    }
}

impl First {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn begin_placing(&mut self, visible: Timestamp) -> u64 {
        let number = self.number();
        self.placings.insert(number, visible);
        self.scans.values_mut().for_each(|low| *low = visible.min(*low));
        number
    }

    fn end_placing(&mut self, number: u64) {
        if let Some(visible) = self.placings.remove(&number) {
            self.bound = self.bound.min(visible);
        }
    }

    fn begin_scan(&mut self) -> (u64, Timestamp) {
        let number = self.number();
        let low = self.placings.values().min().copied().unwrap_or(Timestamp::MAX);
        self.scans.insert(number, low);
        (number, self.bound)
    }

    fn end_scan(&mut self, number: u64, found: Option<Timestamp>) {
        if let (Some(low), Some(found)) = (self.scans.remove(&number), found) {
            self.bound = self.bound.max(found.min(low));
        }
    }
}

/// A row by time that is being placed; drop it when its commit is over.
#[derive(Debug)]
pub(crate) struct Placing {
    queues: LiveQueues,
    queue: Uid,
    number: u64,
}

impl Drop for Placing {
    fn drop(&mut self) {
        if let Some(live) = self.queues.lock().get_mut(&self.queue) {
            live.first.end_placing(self.number);
        }
    }
}

/// A scan for the head of a queue.
#[derive(Debug)]
pub(crate) struct Scan {
    queues: LiveQueues,
    queue: Uid,
    number: u64,
    /// Where it has to begin.
    pub(crate) from: Timestamp,
    found: Option<Timestamp>,
}

impl Scan {
    /// The scan's first row lies at this moment, or, when it found none, it ended there.
    pub(crate) fn end(mut self, first: Timestamp) {
        self.found = Some(first);
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(live) = self.queues.lock().get_mut(&self.queue) {
            live.first.end_scan(self.number, self.found);
        }
    }
}

impl LiveQueues {
    /// Says that a row is to be placed at that moment. Call it before the commit.
    pub(crate) fn place(&self, queue: Uid, visible: Timestamp) -> Placing {
        let number = self.lock().entry(queue).or_default().first.begin_placing(visible);
        Placing { queues: self.clone(), queue, number }
    }

    /// Says that a scan for the queue's head begins, and from where.
    pub(crate) fn scan(&self, queue: Uid) -> Scan {
        let (number, from) = self.lock().entry(queue).or_default().first.begin_scan();
        Scan { queues: self.clone(), queue, number, from, found: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const QUEUE: Uid = Uid::from_bytes([1; 16]);

    /// Steps of writers and scanners in any order: a scan never begins behind a row whose commit is over.
    #[derive(Debug, Clone)]
    enum Step {
        BeginPlacing(i64),
        Commit(usize),
        EndPlacing(usize),
        BeginScan,
        Look(usize),
        EndScan(usize),
        Delete(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..50_i64).prop_map(Step::BeginPlacing),
            (0..8_usize).prop_map(Step::Commit),
            (0..8_usize).prop_map(Step::EndPlacing),
            Just(Step::BeginScan),
            (0..8_usize).prop_map(Step::Look),
            (0..8_usize).prop_map(Step::EndScan),
            (0..8_usize).prop_map(Step::Delete),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_row_lies_before_the_bound(steps in steps()) {
            let live = LiveQueues::default();
            let mut rows = BTreeSet::new();
            let mut placings: Vec<(Placing, i64, bool)> = Vec::new();
            let mut scans: Vec<(Scan, Option<Timestamp>)> = Vec::new();
            for step in steps {
                match step {
                    Step::BeginPlacing(at) => {
                        placings.push((live.place(QUEUE, Timestamp::from_ticks(at)), at, false));
                    }
                    Step::Commit(n) => {
                        if let Some((_, at, done)) = placings.get_mut(n) {
                            rows.insert(*at);
                            *done = true;
                        }
                    }
                    Step::EndPlacing(n) if placings.get(n).is_some_and(|(.., done)| *done) => {
                        drop(placings.remove(n));
                    }
                    Step::BeginScan => scans.push((live.scan(QUEUE), None)),
                    Step::Look(n) => {
                        if let Some((scan, seen)) = scans.get_mut(n) {
                            let first = rows.range(scan.from.ticks()..).next();
                            *seen = Some(first.map_or(Timestamp::MAX, |at| Timestamp::from_ticks(*at)));
                        }
                    }
                    Step::EndScan(n) if n < scans.len() => {
                        if let (scan, Some(seen)) = scans.remove(n) {
                            scan.end(seen);
                        }
                    }
                    Step::Delete(n) => {
                        if let Some(at) = rows.iter().nth(n).copied() {
                            rows.remove(&at);
                        }
                    }
                    _ => {}
                }
                let open: Vec<i64> = placings.iter().map(|(_, at, _)| *at).collect();
                let from = live.scan(QUEUE).from.ticks();
                // Rows whose commit is not over are nobody's to see yet.
                prop_assert!(rows.iter().all(|at| *at >= from || open.contains(at)), "{rows:?} {from}");
            }
        }
    }
}
