//! One run: a cluster, its faults, its customers and its operator, all from one seed.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use welkin_agent_wire::NodeCapacity;
use welkin_base::{DeploymentId, NodeName, Timestamp};
use welkin_fabric::health::was_away;
use welkin_fabric::{Action, Cluster, Network, NodeKind, NodeRecord};
use welkin_node::{Duty, NodeNetwork};

use crate::check;
use crate::controller::{Canary, Controller, Disk};
use crate::fault::{Faults, repair, strike};
use crate::lie::bent;
use crate::message::{Message, Wire};
use crate::node::SimNode;
use crate::operator::bring_back;
use crate::wish::guest_os;

/// Time between two steps.
const STEP_MS: u64 = 500;
/// Faults and wishes go on for so long.
const TROUBLED_MS: u64 = 120_000;
/// Then so long nothing goes wrong.
const CALM_MS: u64 = 240_000;
/// A controller does a round this often: it reads the nodes and plans.
const ROUND_MS: u64 = 1_000;
/// A wish, per round of a controller.
const WISH: f64 = 0.3;
/// A controller that was deposed learns it by its lease, per round: within about five seconds.
const LEASE_ENDS: f64 = 0.2;
/// The cloud's network: a small one, and one for thousands of nodes.
const NETWORKS: [&str; 2] = ["10.177.0.0/16", "10.0.0.0/8"];
/// Nodes that the small one has addresses for.
const NODES_SMALL: u32 = 200;
/// 29 February 2028, one minute before midnight: where clocks begin.
const LEAP_DAY_S: u64 = 1_835_481_540;

/// What to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Nodes; otherwise up to nine, from the seed.
    pub nodes: Option<u32>,
    /// A bug that is switched on.
    pub canary: Option<Canary>,
    /// Tell on standard output what happens.
    pub trace: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nodes.
    pub nodes: usize,
    /// Times that a controller ended with a plan half stored.
    pub cut_short: u64,
    /// Times that a controller ended.
    pub restarts: u64,
    /// Times that a controller found that another one leads.
    pub deposed: u64,
    /// Answers of nodes that were bent.
    pub lies: u64,
    /// Orders of the operator, and nodes that came and went.
    pub orders: u64,
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

/// Runs one seed.
///
/// # Errors
/// When something does not hold.
pub fn run(options: Options) -> Result<Outcome, Violation> {
    let failed = |now_ms: u64, what| Violation { seed: options.seed, second: now_ms / 1_000, what };
    let mut world = World::new(options).map_err(|error| failed(0, error))?;
    while world.now_ms < TROUBLED_MS + CALM_MS {
        if world.now_ms == TROUBLED_MS {
            world.calm();
        }
        world.step().map_err(|what| failed(world.now_ms, what))?;
        world.now_ms += STEP_MS;
    }
    world.rest().map_err(|what| failed(world.now_ms, what))?;
    Ok(world.outcome)
}

struct World {
    options: Options,
    rng: StdRng,
    now_ms: u64,
    faults: Faults,
    network: Network,
    wire: Wire,
    nodes: BTreeMap<NodeName, SimNode>,
    /// The number of the next node that is added.
    next_number: u32,
    domains: u32,
    disk: Disk,
    /// Each `None` while it is down.
    controllers: Vec<Option<Controller>>,
    /// What is stored, as a controller would know it that saw every commit.
    truth: Cluster,
    /// Deployments that change at once, or in other domains than they began with, until their update is over.
    at_once: BTreeSet<DeploymentId>,
    outcome: Outcome,
}

impl World {
    fn new(options: Options) -> Result<Self, String> {
        let mut rng = StdRng::seed_from_u64(options.seed);
        let faults = Faults::draw(&mut rng);
        let count = options.nodes.unwrap_or_else(|| rng.random_range(1..=9));
        let domains = rng.random_range(1..=3).max(count / 40);
        let network = NETWORKS[usize::from(count > NODES_SMALL)];
        let network: Network = network.parse().map_err(|error| format!("{error}"))?;
        let controllers = if rng.random_bool(0.3) { 2 } else { 1 };
        let mut world = Self {
            options,
            rng,
            now_ms: 0,
            faults,
            network,
            wire: Wire::default(),
            nodes: BTreeMap::new(),
            next_number: 0,
            domains,
            disk: Disk::default(),
            controllers: (0..controllers).map(|_| None).collect(),
            truth: Cluster::new(network, guest_os(), Timestamp::from_ticks(0)),
            at_once: BTreeSet::new(),
            outcome: Outcome::default(),
        };
        for _ in 0..count {
            world.add_node()?;
        }
        world.outcome.nodes = world.nodes.len();
        world.say(|| {
            format!("{count} nodes in {domains} fault domains, {controllers} controllers, {faults:?}")
        });
        Ok(world)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.options.trace {
            let (second, tenth) = (self.now_ms / 1_000, self.now_ms % 1_000 / 100);
            println!("{second:>5}.{tenth} s  {}", what());
        }
    }

    fn add_node(&mut self) -> Result<(), String> {
        let number = self.next_number;
        self.next_number += 1;
        let name = NodeName::new(&format!("node{number}")).map_err(|error| error.to_string())?;
        let capacity = NodeCapacity {
            cores: self.rng.random_range(4..17),
            memory_mib: 1_024 * self.rng.random_range(4..17),
            disk_mib: 1 << 16,
        };
        let network = NodeNetwork {
            duty: Duty::Compute,
            bridge: self.network.gateway(number),
            prefix_length: 24,
            storage: Vec::new(),
        };
        let domain = number % self.domains;
        let node = SimNode::new(name.clone(), number, domain, capacity, network);
        self.truth.add_node(name.clone(), NodeKind::Compute, number, domain, NodeRecord::default());
        self.nodes.insert(name, node);
        Ok(())
    }

    /// Nothing goes wrong any more, and one controller is left.
    fn calm(&mut self) {
        self.say(|| "everything is repaired".to_owned());
        self.faults = Faults::none();
        self.nodes.values_mut().for_each(repair);
        self.controllers.truncate(1);
    }

    fn step(&mut self) -> Result<(), String> {
        self.strike();
        self.deliver()?;
        let (now_ms, rng) = (self.now_ms, &mut self.rng);
        self.nodes.values_mut().for_each(|node| node.work(now_ms, rng));
        for number in 0..self.controllers.len() {
            self.control(number)?;
        }
        for change in std::mem::take(&mut self.disk.log) {
            self.truth.apply(change);
        }
        check::running(&self.nodes)?;
        check::stored(&self.truth, &self.nodes)?;
        check::fenced(&self.truth, &self.nodes)?;
        let (nodes, truth) = (&self.nodes, &self.truth);
        self.at_once.retain(|id| {
            let held = truth.deployments.get(id);
            held.is_some_and(|held| !check::is_settled(truth, held, nodes, now_ms))
        });
        check::updated(truth, nodes, &self.at_once)
    }

    fn strike(&mut self) {
        if self.rng.random_bool(self.faults.node) && !self.nodes.is_empty() {
            let at = self.rng.random_range(0..self.nodes.len());
            let Some(node) = self.nodes.values_mut().nth(at) else { return };
            if let Some(what) = strike(node, &self.faults, self.now_ms, &mut self.rng) {
                let name = node.name.clone();
                self.say(|| format!("{name} {what}"));
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
                Message::Read(to, name) => self.answer(to, &name),
                Message::Goal(goal) => {
                    let name = goal.node.clone();
                    if let Some(node) = self.nodes.get_mut(&name).filter(|node| node.answers()) {
                        node.take_goal(*goal)?;
                    }
                }
                Message::Image(to, name, image) => {
                    let now_ms = self.now_ms;
                    let node = self.nodes.get_mut(&name);
                    if let Some(node) = node.filter(|node| node.answers() && !node.full) {
                        node.held.images.insert(image, now_ms);
                        self.send(Message::ImageTaken(to, name, image));
                    }
                }
                Message::Observed(to, name, observed) => {
                    let reachable = self.nodes.get(&name).is_some_and(SimNode::answers);
                    let now_ms = self.now_ms;
                    if let Some(controller) = self.controller(to).filter(|_| reachable) {
                        let now = time(controller, now_ms);
                        if was_away(&controller.cluster, now) {
                            controller.cluster.watch_anew(now);
                        }
                        // What cannot be true is refused: a lie, or a late answer.
                        let _ = controller.cluster.observe(&name, *observed, now);
                    }
                }
                Message::ImageTaken(to, name, image) => {
                    if let Some(controller) = self.controller(to) {
                        controller.cluster.image_arrived(&name, image);
                    }
                }
            }
        }
        Ok(())
    }

    fn controller(&mut self, number: usize) -> Option<&mut Controller> {
        self.controllers.get_mut(number)?.as_mut()
    }

    fn answer(&mut self, to: usize, name: &NodeName) {
        let Some(node) = self.nodes.get(name).filter(|node| node.answers()) else { return };
        let mut observed = node.observed(self.now_ms);
        if node.lies {
            observed = bent(observed, &mut self.rng);
            self.outcome.lies += 1;
        }
        self.send(Message::Observed(to, name.clone(), Box::new(observed)));
    }

    /// A controller does a round, or ends in the middle of one, or begins.
    fn control(&mut self, number: usize) -> Result<(), String> {
        let Some(mut controller) = self.controllers[number].take() else {
            // One that begins while another runs takes it for dead and deposes it.
            let someone = self.controllers.iter().any(Option::is_some);
            if self.faults.controller == 0.0 && !someone
                || self.rng.random_bool(if someone { 0.02 } else { 0.2 })
            {
                self.controllers[number] = Some(self.begin()?);
                self.say(|| format!("controller {number} begins"));
            }
            return Ok(());
        };
        // Two controllers do their rounds in turn.
        let turn = u64::try_from(number).unwrap_or(0) * STEP_MS;
        if self.now_ms % ROUND_MS != turn {
            self.controllers[number] = Some(controller);
            return Ok(());
        }
        let names: Vec<NodeName> = self.nodes.keys().cloned().collect();
        names.into_iter().for_each(|name| self.send(Message::Read(number, name)));
        if self.options.canary != Some(Canary::WritesDeposed) && self.rng.random_bool(LEASE_ENDS) {
            controller.look(&self.disk);
        }
        let now = time(&controller, self.now_ms);
        if self.now_ms < TROUBLED_MS {
            if self.rng.random_bool(WISH) {
                self.grant(&mut controller, now)?;
            }
            if self.rng.random_bool(self.faults.operator) {
                self.operate(&mut controller, now)?;
            }
        } else if let Some(change) = bring_back(&controller.cluster, now) {
            controller.commit(&mut self.disk, change, None)?;
        }
        let ends = self.rng.random_bool(self.faults.controller);
        let commits_left = if ends { self.rng.random_range(0..4) } else { u32::MAX };
        let said = controller.reconcile(&mut self.disk, now, commits_left, self.options.canary)?;
        self.outcome.cut_short += u64::from(said.is_none());
        for action in said.into_iter().flatten() {
            match action {
                Action::Store(_) | Action::Note(_) => {}
                Action::PushGoal(goal) => self.send(Message::Goal(goal)),
                Action::PushImage { node, image } => self.send(Message::Image(number, node, image)),
            }
        }
        if controller.deposed {
            self.outcome.deposed += 1;
            self.say(|| format!("controller {number} was deposed"));
        } else if ends {
            self.outcome.restarts += 1;
            self.say(|| format!("controller {number} ends"));
        } else {
            self.controllers[number] = Some(controller);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Controller, String> {
        const DAY_S: u64 = 24 * 60 * 60;
        let offsets = [LEAP_DAY_S, LEAP_DAY_S + DAY_S, LEAP_DAY_S - DAY_S, LEAP_DAY_S + 30, 60];
        let offset = if self.faults.clocks { self.rng.random_range(0..offsets.len()) } else { 0 };
        let epoch = Timestamp::from_ticks(0).plus(Duration::from_secs(offsets[offset]));
        let since = epoch.plus(Duration::from_millis(self.now_ms));
        let mut cluster = Cluster::new(self.network, guest_os(), since);
        for node in self.nodes.values() {
            let (name, domain) = (node.name.clone(), node.fault_domain);
            cluster.add_node(name, NodeKind::Compute, node.number, domain, NodeRecord::default());
        }
        Controller::begin(cluster, epoch, &mut self.disk)
    }

    fn rest(&mut self) -> Result<(), String> {
        let controller = self.controllers.first().and_then(Option::as_ref).ok_or("no controller runs")?;
        self.outcome.deployments = controller.cluster.deployments.len();
        let now = time(controller, self.now_ms);
        check::at_rest(&controller.cluster, &self.nodes, now, self.now_ms)
    }
}

fn time(controller: &Controller, now_ms: u64) -> Timestamp {
    controller.epoch.plus(Duration::from_millis(now_ms))
}
