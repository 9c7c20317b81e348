//! The whole fabric from one seed, in virtual time: the real cores of the FC and of the FAs, and between them a network
//! that loses and delays; nodes that die, pause, fill up, lie and come back; one or two controllers that end at any
//! moment and begin with another time on their clocks; customers who change their minds and an operator who drains nodes.
//!
//! [`run`] checks safety at every step and, once the faults have stopped, that all that can be ready is.

pub mod check;
pub mod controller;
pub mod fault;
mod lie;
pub mod message;
pub mod node;
mod operator;
pub mod wish;
pub mod world;

pub use controller::Canary;
pub use world::{Options, Outcome, Violation, run};
