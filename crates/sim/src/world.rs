//! One run: a cluster, its faults and its customers, all from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use welkin_agent_wire::NodeCapacity;
use welkin_base::{DeploymentId, NameError, NodeName, Timestamp};
use welkin_fabric::health::was_away;
use welkin_fabric::{Action, Change, Cluster, Network, NodeKind, NodeRecord, update_observed};
use welkin_fabric_wire::UpdateMode;
use welkin_node::{Duty, NodeNetwork};

use crate::check;
use crate::controller::{Canary, Disk, reconcile, sabotaged};
use crate::fault::{Faults, repair, strike};
use crate::message::{Message, Wire};
use crate::node::SimNode;
use crate::wish::{guest_os, is_spread, wish};

/// Time between two steps.
const STEP_MS: u64 = 500;
/// Faults and wishes go on for so long.
const TROUBLED_MS: u64 = 120_000;
/// Then so long nothing goes wrong.
const CALM_MS: u64 = 240_000;
/// The controller does a round this often: it reads the nodes and plans.
const ROUND_MS: u64 = 1_000;
/// A wish, per round of the controller.
const WISH: f64 = 0.3;
/// The cloud's network.
const NETWORK: &str = "10.177.0.0/16";

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes.
    pub nodes: usize,
    /// Times that it ended with a plan half stored.
    pub cut_short: u64,
    /// Times that the controller ended.
    pub restarts: u64,
    /// Wishes granted.
    pub granted: u64,
    /// Wishes that a deployment that exists be another.
    pub updates: u64,
    /// Deployments in the end.
    pub deployments: usize,
}

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, second {second}: {what}")]
pub struct Violation {
    /// The run.
    pub seed: u64,
    /// When.
    pub second: u64,
    /// What.
    pub what: String,
}

/// Runs one seed, with a bug switched on when `canary` says so.
///
/// # Errors
/// When something does not hold.
pub fn run(seed: u64, canary: Option<Canary>) -> Result<Outcome, Violation> {
    let failed = |now_ms: u64, what| Violation { seed, second: now_ms / 1_000, what };
    let mut world = World::new(seed, canary).map_err(|error| failed(0, error.to_string()))?;
    while world.now_ms < TROUBLED_MS + CALM_MS {
        if world.now_ms == TROUBLED_MS {
            world.faults = Faults::none();
            world.nodes.values_mut().for_each(repair);
        }
        world.step().map_err(|what| failed(world.now_ms, what))?;
        world.now_ms += STEP_MS;
    }
    world.rest().map_err(|what| failed(world.now_ms, what))?;
    Ok(world.outcome)
}

struct World {
    rng: StdRng,
    now_ms: u64,
    faults: Faults,
    wire: Wire,
    nodes: BTreeMap<NodeName, SimNode>,
    disk: Disk,
    /// `None` while the controller is down.
    cluster: Option<Cluster>,
    canary: Option<Canary>,
    /// Deployments that change at once, or in other domains than they began with, until their update is over.
    at_once: BTreeSet<DeploymentId>,
    outcome: Outcome,
}

impl World {
    fn new(seed: u64, canary: Option<Canary>) -> Result<Self, NameError> {
        let mut rng = StdRng::seed_from_u64(seed);
        let faults = Faults::draw(&mut rng);
        let count: u8 = rng.random_range(1..=9);
        let domains = rng.random_range(1..=3);
        let mut nodes = BTreeMap::new();
        for number in 0..count {
            let name = NodeName::new(&format!("node{number}"))?;
            let capacity = NodeCapacity {
                cores: rng.random_range(4..17),
                memory_mib: 1_024 * rng.random_range(4..17),
                disk_mib: 1 << 16,
            };
            let network = NodeNetwork {
                duty: Duty::Whole,
                bridge: Ipv4Addr::new(10, 177, 16 + number, 1),
                prefix_length: 24,
                storage: Vec::new(),
            };
            let node = SimNode::new(name.clone(), number, u32::from(number) % domains, capacity, network);
            nodes.insert(name, node);
        }
        let outcome = Outcome { nodes: nodes.len(), ..Outcome::default() };
        let (wire, disk) = (Wire::default(), Disk::default());
        Ok(Self {
            rng,
            now_ms: 0,
            faults,
            wire,
            nodes,
            disk,
            cluster: None,
            canary,
            at_once: BTreeSet::new(),
            outcome,
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ticks(0).plus(Duration::from_millis(self.now_ms))
    }

    fn step(&mut self) -> Result<(), String> {
        self.strike();
        self.deliver()?;
        let (now_ms, rng) = (self.now_ms, &mut self.rng);
        self.nodes.values_mut().for_each(|node| node.work(now_ms, rng));
        self.control()?;
        check::running(&self.nodes)?;
        if let Some(cluster) = &self.cluster {
            check::stored(cluster, &self.nodes)?;
            check::fenced(cluster, &self.nodes)?;
            let nodes = &self.nodes;
            self.at_once.retain(|id| {
                let held = cluster.deployments.get(id);
                held.is_some_and(|held| !check::is_settled(cluster, held, nodes, now_ms))
            });
            check::updated(cluster, &self.nodes, &self.at_once)?;
        }
        Ok(())
    }

    fn strike(&mut self) {
        if self.rng.random_bool(self.faults.node) {
            let at = self.rng.random_range(0..self.nodes.len());
            if let Some(node) = self.nodes.values_mut().nth(at) {
                strike(node, self.now_ms, &mut self.rng);
            }
        }
    }

    fn send(&mut self, message: Message) {
        if let Some(at_ms) = self.faults.arrival_ms(self.now_ms, &mut self.rng) {
            self.wire.send(at_ms, message);
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        for message in self.wire.arrived(self.now_ms) {
            match message {
                Message::Read(name) => {
                    let observed = self.reachable(&name).map(|node| node.observed(self.now_ms));
                    if let Some(observed) = observed {
                        self.send(Message::Observed(name, Box::new(observed)));
                    }
                }
                Message::Goal(goal) => {
                    let name = goal.node.clone();
                    if let Some(node) = self.nodes.get_mut(&name).filter(|node| node.answers()) {
                        node.take_goal(*goal)?;
                    }
                }
                Message::Image(name, image) => {
                    let now_ms = self.now_ms;
                    if let Some(node) = self.nodes.get_mut(&name).filter(|node| node.answers()) {
                        node.held.images.insert(image, now_ms);
                        self.send(Message::ImageTaken(name, image));
                    }
                }
                Message::Observed(name, observed) => {
                    let reachable = self.reachable(&name).is_some();
                    let now = self.now();
                    if let Some(cluster) = self.cluster.as_mut().filter(|_| reachable) {
                        if was_away(cluster, now) {
                            cluster.watch_anew(now);
                        }
                        // Answers that cannot be true any more (a late one, of a goal since superseded) are refused.
                        let _ = cluster.observe(&name, *observed, now);
                    }
                }
                Message::ImageTaken(name, image) => {
                    if let Some(cluster) = &mut self.cluster {
                        cluster.image_arrived(&name, image);
                    }
                }
            }
        }
        Ok(())
    }

    fn reachable(&self, name: &NodeName) -> Option<&SimNode> {
        self.nodes.get(name).filter(|node| node.answers())
    }

    /// The controller does a round, or ends in the middle of one, or begins.
    fn control(&mut self) -> Result<(), String> {
        let now = self.now();
        let Some(mut cluster) = self.cluster.take() else {
            if self.faults.controller == 0.0 || self.rng.random_bool(0.2) {
                self.cluster = Some(self.begin()?);
            }
            return Ok(());
        };
        if !self.now_ms.is_multiple_of(ROUND_MS) {
            self.cluster = Some(cluster);
            return Ok(());
        }
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        names.into_iter().for_each(|name| self.send(Message::Read(name)));
        if self.now_ms < TROUBLED_MS && self.rng.random_bool(WISH) {
            self.grant(&mut cluster)?;
        }
        let ends = self.rng.random_bool(self.faults.controller);
        let commits_left = if ends { self.rng.random_range(0..4) } else { u32::MAX };
        let said = reconcile(&mut cluster, &mut self.disk, now, commits_left, self.canary)?;
        self.outcome.cut_short += u64::from(said.is_none());
        for action in said.into_iter().flatten() {
            match action {
                Action::Store(_) | Action::Note(_) => {}
                Action::PushGoal(goal) => self.send(Message::Goal(goal)),
                Action::PushImage { node, image } => self.send(Message::Image(node, image)),
            }
        }
        if ends {
            self.outcome.restarts += 1;
        } else {
            self.cluster = Some(cluster);
        }
        Ok(())
    }

    fn begin(&self) -> Result<Cluster, String> {
        let network: Network = NETWORK.parse().map_err(|error| format!("{error}"))?;
        let mut cluster = Cluster::new(network, guest_os(), self.now());
        for node in self.nodes.values() {
            let kind = NodeKind::Compute;
            cluster.add_node(
                node.name.clone(),
                kind,
                node.number.into(),
                node.fault_domain,
                NodeRecord::default(),
            );
        }
        self.disk.load(&mut cluster)?;
        Ok(cluster)
    }

    fn grant(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        let now = self.now();
        let granted = wish(cluster, now, &mut self.rng).map_err(|error| error.to_string())?;
        let Some(change) = granted else { return Ok(()) };
        if let Change::Deployment(deployment) = &change
            && !cluster.deployments.contains_key(&deployment.id)
            && !is_spread(cluster, deployment, now)
        {
            return Err(format!("{} stands in one fault domain", deployment.id));
        }
        self.outcome.granted += 1;
        self.note_at_once(cluster, &change);
        // What customers wish goes through the same code as what the controller decides, so its bugs are there too.
        let change =
            sabotaged(change, cluster, self.canary.filter(|canary| *canary == Canary::ForgetsLeaving));
        self.disk.commit(&change)?;
        cluster.apply(change);
        Ok(())
    }

    /// An update all at once, or one under way whose domains are counted anew or that stops running, may have more
    /// than one domain down.
    fn note_at_once(&mut self, cluster: &Cluster, change: &Change) {
        let Change::Deployment(new) = change else { return };
        let old = cluster.deployments.get(&new.id);
        let under_way = old.is_some_and(|old| {
            update_observed(old).is_some()
                && (old.update_domains, old.goal.status) != (new.update_domains, new.goal.status)
        });
        if under_way || new.goal.update.mode == UpdateMode::Simultaneous || !new.runs() {
            self.at_once.insert(new.id.clone());
        }
        self.outcome.updates += u64::from(old.is_some_and(|old| old.wanted() != new.wanted()));
    }

    fn rest(&mut self) -> Result<(), String> {
        let now = self.now();
        let cluster = self.cluster.as_ref().ok_or("the controller is down")?;
        self.outcome.deployments = cluster.deployments.len();
        let lost: BTreeSet<&NodeName> =
            self.nodes.values().filter(|n| !n.answers()).map(|n| &n.name).collect();
        if !lost.is_empty() {
            return Err(format!("{lost:?} were not repaired"));
        }
        check::at_rest(cluster, &self.nodes, now, self.now_ms)
    }
}
