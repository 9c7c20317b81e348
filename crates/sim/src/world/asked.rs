//! What customers and the operator ask for in a run.

use rand::Rng as _;
use welkin_base::Timestamp;
use welkin_fabric::{Change, Deployment, update_observed};
use welkin_fabric_wire::UpdateMode;

use super::{NODES_SMALL, World};
use crate::controller::{Canary, Controller, sabotaged};
use crate::operator::order;
use crate::wish::{is_spread, wish};

impl World {
    /// A customer's wish, when there is one that can be granted.
    pub(super) fn grant(&mut self, controller: &mut Controller, now: Timestamp) -> Result<(), String> {
        let cluster = &controller.cluster;
        let granted = wish(cluster, now, &mut self.rng).map_err(|error| error.to_string())?;
        let Some(change) = granted else { return Ok(()) };
        if let Change::Deployment(deployment) = &change
            && !cluster.deployments.contains_key(&deployment.id)
            && !is_spread(cluster, deployment, now)
        {
            return Err(format!("{} stands in one fault domain", deployment.id));
        }
        // What customers wish goes through the same code as what the controller decides, so its bugs are there too.
        let canary = self.options.canary;
        let buggy =
            sabotaged(change.clone(), cluster, canary.filter(|canary| *canary == Canary::ForgetsLeaving));
        let old = match &change {
            Change::Deployment(new) => cluster.deployments.get(&new.id).cloned(),
            _ => None,
        };
        if !controller.commit(&mut self.disk, buggy, canary)? {
            return Ok(());
        }
        self.outcome.granted += 1;
        if let Change::Deployment(new) = &change {
            let instances: Vec<String> =
                new.instances.iter().map(|one| format!("{} on {}", one.name(), one.node)).collect();
            self.say(|| {
                let what = if new.deleting { "is to go" } else { "is wished for" };
                format!("deployment {} {what}: {}", &new.id.to_string()[..6], instances.join(", "))
            });
            self.note_at_once(old.as_ref(), new);
        }
        Ok(())
    }

    /// An update all at once, or one under way whose domains are counted anew or that stops running, may have more
    /// than one domain down.
    fn note_at_once(&mut self, old: Option<&Deployment>, new: &Deployment) {
        let under_way = old.is_some_and(|old| {
            (update_observed(old).is_some() || old.instances.iter().any(|one| one.turn.is_move()))
                && (old.update_domains, old.goal.status) != (new.update_domains, new.goal.status)
        });
        if under_way || new.goal.update.mode == UpdateMode::Simultaneous || !new.runs() {
            self.at_once.insert(new.id.clone());
        }
        self.outcome.updates += u64::from(old.is_some_and(|old| old.wanted() != new.wanted()));
    }

    /// The operator wants something of a node, adds one, or takes one away. A controller knows its nodes from its
    /// configuration, so that those that run end when nodes come or go.
    pub(super) fn operate(&mut self, controller: &mut Controller, now: Timestamp) -> Result<(), String> {
        let gone = controller.cluster.nodes.values().find(|node| {
            node.is_retired() && self.truth.usage_of(&node.name).is_nothing() && self.disk.log.is_empty()
        });
        let gone = gone.map(|node| node.name.clone());
        match (self.rng.random_range(0..10), gone) {
            (0, _) if self.next_number < NODES_SMALL => {
                self.add_node()?;
                self.say(|| "the operator adds a node".to_owned());
            }
            (1..5, Some(name)) => {
                self.nodes.remove(&name);
                self.truth.nodes.remove(&name);
                self.say(|| format!("the operator takes {name} away"));
            }
            _ => {
                let Some((said, change)) = order(&controller.cluster, now, &mut self.rng) else {
                    return Ok(());
                };
                if controller.commit(&mut self.disk, change, self.options.canary)? {
                    self.say(|| said);
                    self.outcome.orders += 1;
                }
                return Ok(());
            }
        }
        self.outcome.orders += 1;
        for other in &mut self.controllers {
            *other = None;
        }
        *controller = self.begin()?;
        Ok(())
    }
}
