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

pub mod drive;
pub mod image;
pub mod vm;

pub mod filter;
pub mod load_balancer;

pub use drive::Drives;
pub use filter::{Duty, NodeNetwork, ruleset};
pub use goal::{GoalError, check};
pub use held::{Heard, Held, HeldNode, RunningVm, Shape, Stop, StopStage, Vm};
pub use plan::{Action, Situation, plan};
pub use report::report;
pub use restart::Restarts;
pub use slot::Slot;
pub use vm::{Machine, VmSpec, qemu_command};
