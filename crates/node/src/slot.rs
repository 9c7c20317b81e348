//! A VM's slot on its node: the small number from which its user id, tap and folder follow.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_agent_wire::limits::INSTANCES_PER_NODE_MAX;

/// User ids of VMs begin this far above the cloud's `uid_base`.
pub const UID_OFFSET: u32 = 100;

/// A VM's slot. One instance at a time holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number, when a node has so many.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (usize::from(number) < INSTANCES_PER_NODE_MAX).then_some(Self(number))
    }

    /// The lowest slot that is not taken.
    #[must_use]
    pub fn free(taken: &BTreeSet<Self>) -> Option<Self> {
        (0..).map_while(Self::new).find(|slot| !taken.contains(slot))
    }

    /// The slot's number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The user and group id of the slot's VM process.
    #[must_use]
    pub fn uid(self, uid_base: u32) -> u32 {
        uid_base.saturating_add(UID_OFFSET).saturating_add(u32::from(self.0))
    }

    /// The name of the slot's tap in the node's namespace.
    #[must_use]
    pub fn tap(self) -> String {
        format!("tap{}", self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_free() {
        let check = |taken: &[u16], expected: u16| {
            let taken = taken.iter().filter_map(|n| Slot::new(*n)).collect();
            assert_eq!(Slot::free(&taken).map(Slot::number), Some(expected));
        };
        check(&[], 0);
        check(&[0, 1, 3], 2);
        check(&[1], 0);
        let all = (0..256).filter_map(Slot::new).collect();
        assert_eq!(Slot::free(&all), None);
        assert_eq!(Slot::new(256), None);
    }

    #[test]
    fn names() {
        let slot = Slot::new(7).unwrap();
        assert_eq!((slot.uid(640_000), slot.tap().as_str()), (640_107, "tap7"));
    }
}
