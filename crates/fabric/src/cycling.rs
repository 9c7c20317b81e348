//! Whether a role starts again and again.

use std::time::Duration;

use welkin_agent_wire::{InstanceObserved, RoleState, VmState};
use welkin_base::Timestamp;

/// This many restarts within [`CYCLING_WINDOW`] are cycling: one crash and its repetition may be chance, a
/// third is not.
pub const CYCLING_RESTARTS: usize = 3;
/// Longer than three of the agent's longest back-offs, so that a role that never gets up stays "cycling".
pub const CYCLING_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The restarts of one instance on one node, as they were noticed.
#[derive(Debug, Clone, Default)]
pub struct Restarts {
    incarnation: u64,
    counted: Option<u64>,
    at: Vec<Timestamp>,
}

impl Restarts {
    /// Takes in what the node says now.
    pub fn note(&mut self, seen: &InstanceObserved, now: Timestamp) {
        if self.incarnation != seen.incarnation {
            *self = Self { incarnation: seen.incarnation, ..Self::default() };
        }
        let count = u64::from(seen.role_restarts);
        // The count begins anew when the VM boots.
        let more = match self.counted {
            Some(before) if count >= before => count - before,
            _ => count,
        };
        self.counted = Some(count);
        let noted = usize::try_from(more).unwrap_or(CYCLING_RESTARTS).min(CYCLING_RESTARTS);
        self.at.extend(std::iter::repeat_n(now, noted));
        let surplus = self.at.len().saturating_sub(CYCLING_RESTARTS);
        self.at.drain(..surplus);
    }

    /// Whether the role cycles: it is not up, and started again too often of late.
    #[must_use]
    pub fn cycles(&self, seen: &InstanceObserved, now: Timestamp) -> bool {
        let up = seen.vm == VmState::Running && matches!(seen.role, Some(RoleState::Ready | RoleState::Busy));
        let recent = self.at.iter().filter(|at| now.since(**at) <= CYCLING_WINDOW).count();
        !up && recent >= CYCLING_RESTARTS
    }
}
