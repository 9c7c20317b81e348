//! The management API: what it answers in a second and how fast, and how that changes as services grow. Management,
//! fabric controller and storage are processes of their own; a stand-in for a node takes goals and starts no VM.

mod agent;
mod cloud;
mod connection;
mod growth;
mod report;
mod run;
mod work;

pub use report::Report;
pub use run::{Arguments, run};
