//! Load balancer probes: what the answers of an instance mean.
//!
//! The first "yes" brings an instance into the rotation. A "no" takes it out at once: a status other than 200, or a
//! refused connection, is the instance's own word that it wants no more. Silence takes it out once the probe's timeout
//! has passed since the last "yes" (`load-balancer-custom-probe-overview`, "Probe down behavior";
//! `schema-csdef-loadbalancerprobe`, `timeoutInSeconds`).

use welkin_agent_wire::ProbeGoal;

/// While an instance has not said "yes" in this boot it is asked this often, so that a role that starts need not wait
/// for the interval.
pub const STARTING_INTERVAL_MS: u64 = 1_000;
/// A question waits for its answer as long as the interval is, and this long at most (the same page).
pub const ANSWER_MS_MAX: u64 = 30_000;

/// An answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Status 200, or a connection that was accepted.
    Yes,
    /// Another answer.
    No,
    /// None in time.
    Silent,
}

/// What an instance has answered to one probe since its VM started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// The last "yes" with no "no" after it.
    yes_ms: Option<u64>,
    /// The last question found no answer.
    silent: bool,
    /// It has said "yes" at some time.
    has_begun: bool,
}

impl Answers {
    /// Takes in an answer.
    pub fn note(&mut self, answer: Answer, now_ms: u64) {
        self.silent = answer == Answer::Silent;
        match answer {
            Answer::Yes => (self.yes_ms, self.has_begun) = (Some(now_ms), true),
            Answer::No => self.yes_ms = None,
            Answer::Silent => {}
        }
    }

    /// Whether the instance may have connections. Time alone takes nobody out: an agent that was late to ask has learned
    /// nothing of the instance.
    #[must_use]
    pub fn passes(&self, probe: &ProbeGoal, now_ms: u64) -> bool {
        let timeout_ms = u64::from(probe.timeout_seconds) * 1_000;
        self.yes_ms.is_some_and(|yes_ms| !self.silent || now_ms.saturating_sub(yes_ms) < timeout_ms)
    }

    /// From the beginning of a question to the next.
    #[must_use]
    pub fn interval_ms(&self, probe: &ProbeGoal) -> u64 {
        let interval_ms = u64::from(probe.interval_seconds) * 1_000;
        if self.has_begun { interval_ms } else { interval_ms.min(STARTING_INTERVAL_MS) }
    }
}

/// How long a question waits for its answer.
#[must_use]
pub fn answer_ms(probe: &ProbeGoal) -> u64 {
    (u64::from(probe.interval_seconds) * 1_000).min(ANSWER_MS_MAX)
}

#[cfg(test)]
mod tests {
    use welkin_agent_wire::ProbeKind;

    use super::*;

    /// Answers at seconds, and whether the instance is in the rotation at others.
    fn check(answers: &[(u64, Answer)], expected: &[(u64, bool)]) {
        let kind = ProbeKind::Tcp;
        let probe =
            ProbeGoal { name: "live".into(), kind, port: 80, interval_seconds: 15, timeout_seconds: 31 };
        let mut held = Answers::default();
        let mut answers = answers.iter().peekable();
        for (second, passes) in expected {
            while let Some((_, answer)) = answers.next_if(|(at, _)| at <= second) {
                held.note(*answer, second * 1_000);
            }
            assert_eq!(held.passes(&probe, second * 1_000), *passes, "at second {second}");
        }
    }

    #[test]
    fn answers_decide_who_is_in_the_rotation() {
        use Answer::{No, Silent, Yes};
        check(&[], &[(0, false), (100, false)]);
        check(&[(1, Silent), (2, No), (3, Yes)], &[(1, false), (2, false), (3, true), (100, true)]);
        check(&[(0, Yes), (15, No), (30, Yes)], &[(0, true), (15, false), (29, false), (30, true)]);
        check(&[(0, Yes), (15, Silent), (30, Silent)], &[(0, true), (15, true), (30, true), (31, false)]);
        check(
            &[(0, Yes), (15, Silent), (30, Yes), (45, Silent)],
            &[(0, true), (15, true), (30, true), (60, true)],
        );
        check(&[(0, Yes), (15, No), (30, Silent)], &[(0, true), (15, false), (30, false), (90, false)]);
    }

    #[test]
    fn an_instance_that_begins_is_asked_more_often() {
        let probe = |interval_seconds| {
            let kind = ProbeKind::Tcp;
            ProbeGoal { name: "live".into(), kind, port: 80, interval_seconds, timeout_seconds: 31 }
        };
        let mut held = Answers::default();
        assert_eq!(held.interval_ms(&probe(15)), 1_000);
        held.note(Answer::No, 0);
        assert_eq!(held.interval_ms(&probe(15)), 1_000);
        held.note(Answer::Yes, 0);
        held.note(Answer::No, 0);
        assert_eq!(held.interval_ms(&probe(15)), 15_000);
        assert_eq!((answer_ms(&probe(15)), answer_ms(&probe(60))), (15_000, 30_000));
    }
}
