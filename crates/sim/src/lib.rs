//! The whole fabric from one seed, in virtual time: the real cores of the FC and of the FAs, and between them a network
//! that loses and delays, nodes that die, pause and come back, and a controller that ends at any moment.
//!
//! [`run`] checks safety at every step and, once the faults have stopped, that all that can be ready is.

pub mod check;
pub mod controller;
pub mod fault;
pub mod message;
pub mod node;
pub mod wish;
pub mod world;

pub use controller::Canary;
pub use world::{Outcome, Violation, run};
