//! What a reader accepts at most from the level below. Each is far above honest use.

/// A node's observed state, in bytes of JSON: room for [`INSTANCES_PER_NODE_MAX`] instances.
pub const NODE_OBSERVED_BYTES_MAX: usize = 2 << 20;
/// A node's goal, in bytes of JSON: its configuration settings are the customer's.
pub const NODE_GOAL_BYTES_MAX: usize = 16 << 20;
/// Instances that one node may hold or report.
pub const INSTANCES_PER_NODE_MAX: usize = 256;
/// One line on the guest channel, in bytes without the newline.
pub const GUEST_LINE_BYTES_MAX: usize = 1 << 20;
/// A certificate with its chain and sealed private key, in bytes of JSON.
pub const CERTIFICATE_BYTES_MAX: usize = 256 << 10;
/// Certificates that an instance may have or lack.
pub const CERTIFICATES_PER_INSTANCE_MAX: usize = 64;
/// A message for people (a failure's reason) from below, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// An image pushed to a node, in bytes.
pub const IMAGE_BYTES_MAX: u64 = 8 << 30;
/// Probes of one instance: as many as a service may have endpoints (SERVICEMODEL §1).
pub const PROBES_PER_INSTANCE_MAX: usize = 25;
/// A probe's name, in bytes.
pub const PROBE_NAME_BYTES_MAX: usize = 128;
/// Instances that may drain at once in a whole cluster: a goal that has more leaves the others in their turn.
pub const DRAINING_MAX: usize = 1_024;
