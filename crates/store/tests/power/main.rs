//! The power fails, again and again, while the store writes to a real ext4 on a recorded disk.
//!
//! Each write and each flush that reaches the disk is recorded. For many moments the disk is made
//! as it may be after a power loss at that moment: what was flushed is there, of the rest some, in
//! any order, torn. Then ext4 recovers, the store opens, and all that was acknowledged is checked.
//! The disk of that life is recorded too, so that the power also fails while it recovers.
//!
//! `WELKIN_POWER_LOSSES` and `WELKIN_POWER_SEED` make a longer run, and the same run again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod disk;
mod history;
mod image;
mod journal;
mod life;
#[path = "../it/pattern.rs"]
mod pattern;
mod recorded;
mod recover;
mod work;

use std::process::Command;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use life::Life;

/// Set for the child, which has a mount namespace of its own.
const CHILD: &str = "WELKIN_POWER_CHILD";
const LOSSES: usize = 24;
/// One recording serves so many losses.
const LOSSES_PER_RECORDING: usize = 12;
/// All on one disk, then the log and the extents on disks of their own, and so on.
const DISKS: [usize; 2] = [1, 3];
/// Most losses after another, each in the life after the one before.
const LOSSES_IN_A_ROW: usize = 3;
const COMMITS_FIRST: usize = 250;
const COMMITS_AFTER: usize = 12;

#[test]
fn what_was_acknowledged_survives_power_loss() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: nothing is checked");
        return;
    }
    // Whatever happens to the child, its mounts and loop devices go with it.
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// Not a test by itself: what the child does.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let seed = number("WELKIN_POWER_SEED").unwrap_or_else(rand::random);
    let losses = number("WELKIN_POWER_LOSSES").map_or(LOSSES, |losses| losses as usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(fail_again_and_again(seed, losses));
}

async fn fail_again_and_again(seed: u64, losses: usize) {
    println!("{losses} power losses, seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut done = 0;
    let mut moved_bytes = 0;
    for disks in DISKS.into_iter().cycle() {
        if done >= losses {
            break;
        }
        let first = Life::first(disks, COMMITS_FIRST, &mut rng).await;
        moved_bytes += first.moved_bytes;
        let until = losses.min(done + LOSSES_PER_RECORDING);
        while done < until {
            let mut loss = first.lose_power(&mut rng);
            for _ in 0..rng.random_range(1..=LOSSES_IN_A_ROW) {
                done += 1;
                println!("{disks} disks, loss {done}: {}", loss.story);
                let life = Life::next(loss, COMMITS_AFTER, &mut rng).await;
                loss = life.lose_power(&mut rng);
            }
        }
    }
    assert!(moved_bytes > 0, "nothing was moved while the power could fail");
    println!("{moved_bytes} bytes of extents were moved meanwhile");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}
