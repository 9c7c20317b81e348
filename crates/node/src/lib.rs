//! The pure core of the fabric agent (FA): what a node must do next to match its goal.
//!
//! Nothing here does I/O or reads a clock. The shell observes, asks [`plan`], and does what it is told.

pub mod limits;

pub mod goal;
pub mod held;
pub mod slot;

pub mod plan;
pub mod report;
pub mod restart;

pub mod connection;
pub mod probe;

pub mod drive;
pub mod image;
pub mod vm;

pub mod filter;
pub mod load_balancer;

pub use drive::Drives;
pub use filter::{Duty, NodeNetwork, ruleset};
pub use goal::{GoalError, check};
pub use held::{Heard, Held, HeldNode, Rotation, RunningVm, Shape, Stop, StopStage, Vm};
pub use plan::{Action, Situation, is_in_force, plan};
pub use probe::{Answer, Answers};
pub use report::{drained, report};
pub use restart::Restarts;
pub use slot::Slot;
pub use vm::{Machine, VmSpec, qemu_command};
