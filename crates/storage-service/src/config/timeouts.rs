//! How long clients have.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long clients have, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Until a request follows the last one, or the connection's beginning (two minutes: the default of IIS, which
    /// clients of the protocol are used to).
    pub idle_ms: u64,
    /// From the first byte of a request's head to its last (30 seconds: the default of `hyper`).
    pub head_ms: u64,
    /// Between two pieces of a request's body.
    pub silence_ms: u64,
    /// For each MiB of a request's body, on average (ten minutes: "Setting timeouts for Blob service operations").
    pub request_ms_per_mib: u64,
    /// For each MiB of an answer, on average (two minutes: the same).
    pub answer_ms_per_mib: u64,
    /// From the end that was asked for to that of the requests in hand.
    pub grace_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_ms: 120_000,
            head_ms: 30_000,
            silence_ms: 60_000,
            request_ms_per_mib: 600_000,
            answer_ms_per_mib: 120_000,
            grace_ms: 20_000,
        }
    }
}

impl Timeouts {
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    pub(crate) fn head(&self) -> Duration {
        Duration::from_millis(self.head_ms)
    }

    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    pub(crate) fn request_per_mib(&self) -> Duration {
        Duration::from_millis(self.request_ms_per_mib)
    }

    pub(crate) fn answer_per_mib(&self) -> Duration {
        Duration::from_millis(self.answer_ms_per_mib)
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}
