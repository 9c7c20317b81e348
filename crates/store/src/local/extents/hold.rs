//! Keeps the pages of released extents from being used again while somebody reads by old rows.
//!
//! A [`Hold`] keeps what is released after it began, and nothing else: of two that overlap, the
//! later one does not keep what only the earlier one needs, so one after another starves nobody.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::local::extents::layout::PAGE_BYTES;
use crate::local::extents::space::Run;
use crate::local::extents::{Extents, lock};

/// As long as this lives, every extent that exists when it begins can be read by its layout.
#[derive(Debug)]
pub(crate) struct Hold {
    extents: Arc<Extents>,
    number: u64,
}

impl Hold {
    /// Begins to hold. Read the rows after this, not before.
    pub(crate) fn begin(extents: Arc<Extents>) -> Self {
        let number = lock(&extents.deferred).begin();
        Self { extents, number }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let runs = lock(&self.extents.deferred).end(self.number);
        self.extents.free(&runs);
    }
}

/// Released pages that a hold keeps. Pure: it knows numbers only.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    /// The number of the next hold: above all that began.
    next: u64,
    held: BTreeSet<u64>,
    /// Released runs in the order of their release, each with `next` at that moment: all holds
    /// below that number keep it.
    released: VecDeque<(u64, Run)>,
    pages: u64,
}

impl Deferred {
    fn begin(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.held.insert(number);
        number
    }

    /// Ends a hold; answers what nobody keeps any more.
    fn end(&mut self, number: u64) -> Vec<Run> {
        self.held.remove(&number);
        let oldest = self.held.first().copied().unwrap_or(u64::MAX);
        let mut runs = Vec::new();
        while let Some((_, run)) = self.released.pop_front_if(|(before, _)| *before <= oldest) {
            self.pages -= u64::from(run.pages);
            runs.push(run);
        }
        runs
    }

    /// Takes released runs when somebody may need them; answers whether it did.
    pub(crate) fn keep(&mut self, runs: &[Run]) -> bool {
        if self.held.is_empty() {
            return false;
        }
        self.pages += runs.iter().map(|run| u64::from(run.pages)).sum::<u64>();
        self.released.extend(runs.iter().map(|&run| (self.next, run)));
        true
    }

    /// Whether anybody holds.
    pub(crate) fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.pages * PAGE_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(page: u32) -> Run {
        Run { file: 1, page, pages: 1 }
    }

    #[test]
    fn a_hold_keeps_what_is_released_after_it_began() {
        let mut deferred = Deferred::default();
        assert!(!deferred.keep(&[run(0)]), "nobody holds");
        let first = deferred.begin();
        assert!(deferred.keep(&[run(1)]));
        let second = deferred.begin();
        assert!(deferred.keep(&[run(2), run(3)]));
        assert_eq!(deferred.bytes(), 3 * PAGE_BYTES as u64);
        let third = deferred.begin();
        assert_eq!(deferred.end(first), [run(1)]);
        assert!(deferred.keep(&[run(4)]));
        assert_eq!(deferred.end(third), [], "the second began before all that is left");
        assert_eq!(deferred.end(second), [run(2), run(3), run(4)]);
        assert!(!deferred.is_held() && deferred.bytes() == 0 && deferred.released.is_empty());
    }
}
