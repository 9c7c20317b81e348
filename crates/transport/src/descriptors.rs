//! File descriptors: as many as the system lets the process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside connections: files of the store (one for each GiB of extents, tables of a few MiB each that are
/// kept open), sources of copies, and listeners.
const OTHERS: u64 = 1024;

/// Raises the limit of the process to what it may be at most, and says how many of these connections it can hold.
#[must_use]
pub fn enough_for(connections_max: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current
        }
    };
    let held = connections(connections_max, current);
    if held < connections_max {
        tracing::warn!(connections_max, held, limit = current, "fewer connections: open files are limited");
    }
    held
}

/// How many connections there may be with so many descriptors; none: unlimited. At least half of the
/// descriptors are for them.
fn connections(connections_max: usize, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else { return connections_max };
    let room = descriptors.saturating_sub(OTHERS).max(descriptors / 2);
    connections_max.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        for (descriptors, expected) in [
            (None, 16_384),
            (Some(1 << 20), 16_384),
            (Some(20_000), 16_384),
            (Some(4_096), 3_072),
            (Some(1_024), 512),
        ] {
            assert_eq!(connections(16_384, descriptors), expected, "{descriptors:?}");
        }
    }
}
