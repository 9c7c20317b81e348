//! The times and counts that the fabric agent decides by.

use welkin_agent_wire::guest::HEARTBEAT_INTERVAL_MS;

/// Silence after which a guest counts as unresponsive and leaves the load balancer: ten missed heartbeats, so
/// that an emulated guest on a busy machine is not taken for a dead one.
pub const GUEST_UNRESPONSIVE_MS: u64 = 10 * HEARTBEAT_INTERVAL_MS;
/// Silence after which a guest that has spoken in this boot is rebooted.
pub const GUEST_SILENT_MS_MAX: u64 = 60_000;
/// How long a guest may take from power-on to its first word. Eight emulated guests that boot at once on two
/// cores take 27 s (measured); this is far above.
pub const BOOT_MS_MAX: u64 = 180_000;
/// How long a guest may take to stop its role and power off when asked to.
pub const SHUTDOWN_GRACE_MS: u64 = 10_000;
/// How long QEMU may take to quit when asked to, before it is killed.
pub const QUIT_GRACE_MS: u64 = 3_000;

/// The pause before a VM that died is started again.
pub const BACKOFF_MS_MIN: u64 = 1_000;
/// The longest pause: each death in a row doubles it up to here.
pub const BACKOFF_MS_MAX: u64 = 60_000;
/// A VM that ran for this long before it died begins the count of deaths in a row anew.
pub const HEALTHY_RUN_MS: u64 = 120_000;
/// Deaths in a row after which the instance is reported as failed. It is still started again.
pub const DEATHS_UNTIL_FAILED: u32 = 4;

/// How long an image that nothing refers to is kept: an update that is rolled back finds it still.
pub const IMAGE_UNUSED_MS: u64 = 600_000;
/// How long after its start the FA waits for the guests that it found running to speak, before it first
/// changes the load balancer. Without this each restart of the FA would take all instances out of rotation.
pub const ADOPTION_MS: u64 = 5_000;

/// Smallest and largest memory of a VM: a kernel does not boot in less, and no machine has more.
pub const MEMORY_MIB: std::ops::RangeInclusive<u32> = 64..=4 << 20;
/// Processors of a VM: QEMU's `microvm` and `q35` take up to 288; classic sizes end far below.
pub const CORES: std::ops::RangeInclusive<u32> = 1..=64;
/// Size of C.
pub const SCRATCH_MIB: std::ops::RangeInclusive<u32> = 16..=16 << 20;

const _: () = assert!(GUEST_UNRESPONSIVE_MS < GUEST_SILENT_MS_MAX && GUEST_SILENT_MS_MAX < BOOT_MS_MAX);
const _: () = assert!(BACKOFF_MS_MIN < BACKOFF_MS_MAX && BACKOFF_MS_MAX < HEALTHY_RUN_MS);
