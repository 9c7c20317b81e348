//! Whether a caller may commit by itself.
//!
//! Handing a commit to another thread and its answer back costs two wake-ups, together about as much as the flush of
//! a good disk. When commits come one at a time, their callers save both. When several come at once, the
//! committer's thread makes groups of them while the callers' threads do other work.

use std::time::Duration;

/// Groups of one commit in a row after which the next is expected to be alone too.
const ALONE_MIN: u32 = 4;
/// A flush that takes longer would hold up a thread of the runtime for too long.
const SLOW: Duration = Duration::from_millis(1);
/// Groups that stay with the committer's thread after a slow flush.
const CAREFUL_GROUPS: u32 = 32;

/// How groups went lately.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    alone: u32,
    careful: u32,
}

impl Calm {
    /// Whether the next group is expected to be one commit and its flush a quick one.
    pub(crate) fn is_calm(&self) -> bool {
        self.alone >= ALONE_MIN && self.careful == 0
    }

    /// Notes a group of so many commits, and how long it took until it was durable.
    pub(crate) fn note(&mut self, commits: usize, took: Duration) {
        self.alone = if commits == 1 { self.alone.saturating_add(1) } else { 0 };
        self.careful = if took > SLOW { CAREFUL_GROUPS } else { self.careful.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups as (commits, milliseconds).
    fn check(groups: &[(usize, u64)], expected: bool) {
        let mut calm = Calm::default();
        for &(commits, took_ms) in groups {
            calm.note(commits, Duration::from_millis(took_ms));
        }
        assert_eq!(calm.is_calm(), expected, "{groups:?}");
    }

    #[test]
    fn calm_is_several_quick_commits_one_at_a_time() {
        let quick = [(1, 0); CAREFUL_GROUPS as usize];
        check(&[], false);
        check(&quick[..3], false);
        check(&quick[..4], true);
        check(&[&quick[..], &[(2, 0)]].concat(), false);
        check(&[&[(2, 0)], &quick[..4]].concat(), true);
        check(&[&quick[..], &[(1, 5)]].concat(), false);
        check(&[&[(1, 5)], &quick[..31]].concat(), false);
        check(&[&[(1, 5)], &quick[..]].concat(), true);
    }
}
