//! The fabric agent (FA): makes its node match the goal that the fabric controller pushed.
//!
//! It is a server only: it has no address of the fabric controller. [`welkin_node`] decides; this crate
//! observes the machine and does what the plan says.

pub mod config;
pub mod run;

mod server;
mod shared;

mod reconcile;

mod folder;
mod goal;
mod image;

mod console;
mod drive;
mod instance;
mod record;

mod accelerator;
mod cgroup;
mod device;
mod process;
mod vm;

mod certificate;
mod channel;
mod probe;

mod bridge;
mod capacity;
mod connections;
mod filter;
mod program;
mod tap;

mod end;

pub use config::{AcceleratorChoice, Config};
pub use end::{end_everything, signal_vms};
pub use run::{RunError, run};
pub use welkin_node::{Duty, Machine};
