//! What a node says whose agent lies or babbles. It may harm itself and nobody else.

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_agent_wire::limits::{INSTANCES_PER_NODE_MAX, MESSAGE_BYTES_MAX};
use welkin_agent_wire::{InstanceObserved, NodeObserved, RoleState, VmState};
use welkin_base::{Generation, InstanceId, NodeName};

/// The truth, bent. A lie may be one that the contract refuses, or one that only the node could disprove.
#[must_use]
pub fn bent(mut truth: NodeObserved, rng: &mut StdRng) -> NodeObserved {
    for _ in 0..rng.random_range(1..4) {
        bend(&mut truth, rng);
    }
    truth
}

fn bend(said: &mut NodeObserved, rng: &mut StdRng) {
    let count = said.instances.len();
    match rng.random_range(0..13) {
        0 => said.generation = Generation(rng.random()),
        1 => said.generation = Generation(said.generation.0.saturating_add(rng.random_range(0..3))),
        2 => said.generation = Generation::default(),
        3 => said.instances.clear(),
        4 if count > 0 => said.instances.truncate(rng.random_range(0..count)),
        5 => {
            for seen in &mut said.instances {
                (seen.vm, seen.role) = (VmState::Running, Some(RoleState::Ready));
                seen.generation = said.generation;
            }
        }
        6 => {
            for seen in &mut said.instances {
                (seen.vm, seen.role) = (VmState::Failed, Some(RoleState::Recycling));
                (seen.vm_restarts, seen.role_restarts) = (rng.random(), rng.random());
            }
        }
        7 => {
            for seen in &mut said.instances {
                seen.incarnation = rng.random_range(0..4);
            }
        }
        8 => said.instances.extend(stranger(rng)),
        9 => {
            // It promises less than it has: more would be found out by its own refusal of the goal.
            said.capacity.cores = rng.random_range(0..=said.capacity.cores);
            said.capacity.memory_mib = rng.random_range(0..=said.capacity.memory_mib);
            said.capacity.disk_mib = rng.random_range(0..=said.capacity.disk_mib);
        }
        10 => {
            let babble = stranger(rng);
            said.instances.extend(babble.into_iter().cycle().take(INSTANCES_PER_NODE_MAX + 1));
        }
        11 => said.trouble = Some("\u{1b}[2J".repeat(rng.random_range(0..MESSAGE_BYTES_MAX))),
        12 => {
            if let Ok(name) = NodeName::new("node0") {
                said.node = name;
            }
        }
        _ => {}
    }
}

/// An instance of a deployment that may or may not exist.
fn stranger(rng: &mut StdRng) -> Option<InstanceObserved> {
    let id: InstanceId =
        format!("{:032x}/Web_IN_{}", rng.random::<u128>(), rng.random_range(0..4)).parse().ok()?;
    Some(InstanceObserved {
        id,
        incarnation: rng.random_range(0..3),
        vm: VmState::Running,
        role: Some(RoleState::Ready),
        generation: Generation(rng.random_range(0..100)),
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
        passes: Vec::new(),
        lacks: Vec::new(),
    })
}
