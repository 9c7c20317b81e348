//! Following the instances of a deployment until all are ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use welkin_base::InstanceName;
use welkin_fabric_wire::{DeploymentObserved, InstanceState, InstanceStatus};
use welkin_management_wire::cloud_status::DeploymentStatus;
use welkin_management_wire::deployment::state_name;

use super::show::{Show, Unit};
use super::{At as _, DeployArgs, DeployError, find};
use crate::client::Client;

/// Pause between looks.
const POLL: Duration = Duration::from_millis(500);

/// Waits until every instance is ready.
///
/// # Errors
/// When that takes longer than the arguments allow, or the cloud does not answer.
pub fn until_ready(args: &DeployArgs, client: &Client, show: &Show) -> Result<DeploymentStatus, DeployError> {
    let end = Instant::now() + Duration::from_secs(args.timeout);
    let mut states = BTreeMap::new();
    show.measure("waiting for instances", 1, Unit::Instances);
    loop {
        let status = client.status().at("following the instances")?;
        let deployment = find(&status, &args.service, &args.slot);
        if let Some(observed) = deployment.and_then(|deployment| deployment.observed.as_ref()) {
            tell(observed, &mut states, show);
            if all_ready(observed)
                && let Some(deployment) = deployment
            {
                return Ok(deployment.clone());
            }
        }
        if Instant::now() >= end {
            show.clear();
            let states: Vec<String> = states.iter().map(|(name, state)| format!("{name} {state}")).collect();
            let states =
                if states.is_empty() { "no instance is placed".to_owned() } else { states.join(", ") };
            let service = args.service.clone();
            return Err(DeployError::NotReady { service, seconds: args.timeout, states });
        }
        std::thread::sleep(POLL);
    }
}

fn all_ready(observed: &DeploymentObserved) -> bool {
    let ready = |instance: &InstanceStatus| instance.state == InstanceState::Ready;
    !observed.instances.is_empty() && observed.instances.iter().all(ready)
}

/// Shows each change of an instance's state, and how many are ready.
fn tell(observed: &DeploymentObserved, states: &mut BTreeMap<InstanceName, String>, show: &Show) {
    for instance in &observed.instances {
        let mut state = state_name(instance.state).to_owned();
        if !instance.message.is_empty() && instance.state != InstanceState::Ready {
            state = format!("{state} ({})", instance.message);
        }
        if states.get(&instance.name) != Some(&state) {
            show.line(&format!("  {} on {}: {state}", instance.name, instance.node));
            states.insert(instance.name.clone(), state);
        }
    }
    let ready = observed.instances.iter().filter(|instance| instance.state == InstanceState::Ready).count();
    show.length(observed.instances.len() as u64);
    show.position(ready as u64);
}
