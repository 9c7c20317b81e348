//! The core of the fabric controller, by tables, by scripts and by properties.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "test code")]

mod away;
mod compile;
mod deploy;
mod fixture;
mod goal;
mod golden;
mod healing;
mod index;
mod life;
mod observed;
mod placement;
mod plan;
mod property;
mod quota;
mod reboot;
mod status;
mod swap;
mod update;
mod world;
