//! An instance's three virtual drives: **D** guest OS, **E** application, **C** configuration and scratch.
//!
//! D and E are qcow2 deltas over read-only bases; C is a file system of its own. The guest finds each by the
//! serial number of its virtio disk, which is its letter.

use serde::{Deserialize, Serialize};
use welkin_agent_wire::InstanceGoal;
use welkin_base::Digest;

/// Label of C's file system.
pub const SCRATCH_LABEL: &str = "welkin-c";

/// The bases that an instance's D and E stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drives {
    /// Base of D: the guest OS's root file system.
    pub guest_os: Digest,
    /// Base of E: the application.
    pub application: Digest,
    /// Rises when both are to be made again.
    #[serde(default)]
    pub reimage: u64,
}

impl Drives {
    /// What the goal wants.
    #[must_use]
    pub fn wanted(goal: &InstanceGoal) -> Self {
        Self { guest_os: goal.guest_os.root, application: goal.application, reimage: goal.reimage }
    }
}

/// Which drives must be made before an instance can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drive {
    /// A new delta over the guest OS.
    D,
    /// A new delta over the application.
    E,
    /// A new, empty file system.
    C,
}

/// The drives to make so that those that exist become those that are wanted. C survives a change of the guest
/// OS and of the application, and a reimage.
#[must_use]
pub fn to_make(existing: Option<&Drives>, wanted: &Drives) -> Vec<Drive> {
    let Some(existing) = existing else { return vec![Drive::D, Drive::E, Drive::C] };
    let mut drives = vec![];
    let reimaged = existing.reimage != wanted.reimage;
    if reimaged || existing.guest_os != wanted.guest_os {
        drives.push(Drive::D);
    }
    if reimaged || existing.application != wanted.application {
        drives.push(Drive::E);
    }
    drives
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_made_again() {
        let drives = |os: u8, app: u8| Drives {
            guest_os: Digest::from_bytes([os; 32]),
            application: Digest::from_bytes([app; 32]),
            reimage: 0,
        };
        let check = |existing: Option<Drives>, expected: &[Drive]| {
            assert_eq!(to_make(existing.as_ref(), &drives(1, 1)), expected);
        };
        check(None, &[Drive::D, Drive::E, Drive::C]);
        check(Some(drives(1, 1)), &[]);
        check(Some(drives(2, 1)), &[Drive::D]);
        check(Some(drives(1, 2)), &[Drive::E]);
        check(Some(drives(2, 2)), &[Drive::D, Drive::E]);
        check(Some(Drives { reimage: 1, ..drives(1, 1) }), &[Drive::D, Drive::E]);
    }
}
