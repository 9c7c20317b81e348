//! What goes wrong.

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::node::{Power, SimNode};

/// How likely each thing is, and how long it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A message is lost.
    pub lost: f64,
    /// A message takes so long at most, mostly far less.
    pub delay_ms_max: u64,
    /// Something happens to one of the nodes, per step.
    pub node: f64,
    /// A controller ends, per step.
    pub controller: f64,
    /// Agents lie.
    pub lies: bool,
    /// Each controller that begins finds another time on its clock, and controllers differ.
    pub clocks: bool,
    /// The operator drains and retires nodes, and adds some, per round.
    pub operator: f64,
}

impl Faults {
    /// Faults for one run: some runs are calm, others wild.
    #[must_use]
    pub fn draw(rng: &mut StdRng) -> Self {
        Self {
            lost: *pick(&[0.0, 0.02, 0.2], rng),
            delay_ms_max: *pick(&[50, 1_500, 6_000], rng),
            node: *pick(&[0.0, 0.02, 0.1], rng),
            controller: *pick(&[0.0, 0.005, 0.05], rng),
            lies: rng.random_bool(0.25),
            clocks: rng.random_bool(0.25),
            operator: *pick(&[0.0, 0.03, 0.1], rng),
        }
    }

    /// No faults at all.
    #[must_use]
    pub fn none() -> Self {
        let (lies, clocks) = (false, false);
        Self { lost: 0.0, delay_ms_max: 50, node: 0.0, controller: 0.0, lies, clocks, operator: 0.0 }
    }

    /// When a message arrives that is sent now; `None` when it is lost.
    pub fn arrival_ms(&self, now_ms: u64, rng: &mut StdRng) -> Option<u64> {
        if rng.random_bool(self.lost) {
            return None;
        }
        let max_ms = if rng.random_bool(0.1) { self.delay_ms_max } else { self.delay_ms_max / 10 };
        Some(now_ms + rng.random_range(0..=max_ms))
    }
}

/// Something happens to a node, or a node recovers; answers what, for people.
pub fn strike(node: &mut SimNode, faults: &Faults, now_ms: u64, rng: &mut StdRng) -> Option<&'static str> {
    Some(match (node.power, rng.random_range(0..15)) {
        (Power::Off | Power::Paused, 0..8) => {
            node.power = Power::On;
            "goes on"
        }
        (Power::On, 0) => {
            node.lose_power();
            "loses power"
        }
        (Power::On, 1) => {
            node.power = Power::Paused;
            "stands still"
        }
        (Power::On, 2..4) => {
            node.cut = !node.cut;
            if node.cut { "is cut off" } else { "is reached again" }
        }
        (Power::On, 4) => {
            node.restart_agent(now_ms);
            "has its agent started again"
        }
        (Power::On, 5..8) => {
            node.hurt_one(now_ms, rng);
            "loses a guest or a role"
        }
        (Power::On, 8) => {
            node.lose_image(rng);
            "loses an image"
        }
        (Power::Off, 8) => {
            node.lose_disk();
            "comes back with an empty disk"
        }
        (Power::On, 9..11) => {
            node.full = !node.full;
            if node.full { "has no space left" } else { "has space again" }
        }
        (_, 11..15) if faults.lies => {
            node.lies = !node.lies;
            node.lied = true;
            if node.lies { "begins to lie" } else { "tells the truth again" }
        }
        _ => return None,
    })
}

/// Everything works again.
pub fn repair(node: &mut SimNode) {
    node.power = Power::On;
    node.cut = false;
    node.full = false;
    node.lies = false;
}

fn pick<'a, T>(choices: &'a [T], rng: &mut StdRng) -> &'a T {
    &choices[rng.random_range(0..choices.len())]
}
