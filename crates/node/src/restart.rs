//! How soon a VM that died is started again.

use serde::{Deserialize, Serialize};

use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, DEATHS_UNTIL_FAILED, HEALTHY_RUN_MS};

/// The deaths of one instance's VM: ends that nobody asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restarts {
    /// Times that the node started the VM again after a death.
    pub total: u32,
    /// Deaths with no healthy run between them.
    pub in_a_row: u32,
    /// When the VM may start again.
    #[serde(skip)]
    pub not_before_ms: u64,
    /// Why it last died, for people.
    pub reason: String,
}

impl Restarts {
    /// The VM died at `now_ms` after it ran for `ran_ms`.
    pub fn died(&mut self, now_ms: u64, ran_ms: u64, reason: String) {
        let before = if ran_ms >= HEALTHY_RUN_MS { 0 } else { self.in_a_row };
        self.not_before_ms = now_ms.saturating_add(back_off_ms(before));
        self.in_a_row = before.saturating_add(1);
        self.total = self.total.saturating_add(1);
        self.reason = reason;
    }

    /// Whether it dies so often that people should look.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.in_a_row >= DEATHS_UNTIL_FAILED
    }
}

fn back_off_ms(deaths_before: u32) -> u64 {
    BACKOFF_MS_MIN.checked_shl(deaths_before.min(32)).unwrap_or(BACKOFF_MS_MAX).min(BACKOFF_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_a_healthy_run() {
        let mut restarts = Restarts::default();
        let mut pauses = vec![];
        for ran_ms in [0, 10, 10, 10, 10, 10, 10, 10, HEALTHY_RUN_MS, 0] {
            restarts.died(1_000_000, ran_ms, "test".to_owned());
            pauses.push(restarts.not_before_ms - 1_000_000);
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 1_000, 2_000]);
        assert_eq!((restarts.total, restarts.in_a_row), (10, 2));
    }
}
