//! How slow a client may be: so much time for each MiB on average, as the protocol has it, and the time of one MiB
//! ahead.

use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

/// Time that a client has left: what it waits is spent, and each byte that moves earns some, but never more than
/// that of one MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    time_per_mib: Duration,
    left: Duration,
}

impl Allowance {
    pub(crate) fn new(time_per_mib: Duration) -> Self {
        Self { time_per_mib, left: time_per_mib }
    }

    /// How long the client may be silent now.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// The client was waited for.
    pub(crate) fn spend(&mut self, waited: Duration) {
        self.left = self.left.saturating_sub(waited);
    }

    /// Bytes moved.
    pub(crate) fn earn(&mut self, bytes: usize) {
        if self.left < self.time_per_mib {
            let earned = self.time_per_mib.mul_f64((bytes as f64 / MIB).min(1.0));
            self.left = (self.left + earned).min(self.time_per_mib);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_clients_run_out_of_time() {
        // Bytes per second, and after how many seconds the client is given up.
        for (rate, given_up) in
            [(0, Some(120)), (1, Some(121)), (1 << 10, Some(136)), (8 << 10, Some(1920)), (9 << 10, None)]
        {
            let mut allowance = Allowance::new(Duration::from_secs(120));
            let end = (1..10_000).find(|_| {
                let silent = allowance.left() < Duration::from_secs(1);
                allowance.spend(Duration::from_secs(1));
                allowance.earn(rate);
                silent
            });
            match (given_up, end) {
                (None, None) => {}
                (Some(about), Some(end)) => assert!((about - 20..about + 20).contains(&end), "{rate}: {end}"),
                (expected, found) => panic!("{rate}: {expected:?} {found:?}"),
            }
        }
    }
}
