//! Putting the packet filter and load balancer in force.

use crate::program::{ProgramError, run_with_input};

/// Replaces the whole ruleset in one transaction: at no moment is there none, and connections go on.
pub async fn apply(ruleset: &str) -> Result<(), ProgramError> {
    run_with_input("nft", &["-f", "-"], ruleset).await.map(drop)
}
