//! Golden plans: what an operator and customers do, and what the controller makes of it, as text that people read.
//!
//! `tests/golden/NAME.script` holds commands, and `NAME.plan` what follows from each: second by second, what changes in
//! the nodes' goals (`+` and `-`), and what becomes of nodes and updates. `UPDATE=1 cargo test -p welkin-fabric golden`
//! writes the plans anew; the difference is what a reviewer reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use welkin_agent_wire::NodeGoal;
use welkin_fabric::{
    Action, Change, Cluster, NodeKind, NodeRecord, delete, deploy, drain_node, healing_status, node_goal,
    retire_node, swap, undrain_node, update_observed,
};
use welkin_fabric_wire::{GoalStatus, Slot, Slots, UpdateMode};

use crate::fixture::{answer, answer_ready, at, cluster, digest, goal, id, node_name, role, settle};

/// After a command, nothing happens any more for so long before the next one.
const QUIET_S: u64 = 5;
/// A command that keeps things moving for longer never comes to rest.
const SECONDS_MAX: u64 = 120;

/// What a command answers to people.
type Said = Result<(), String>;

struct Play {
    cluster: Cluster,
    second: u64,
    dead: BTreeSet<u8>,
    broken: BTreeSet<u8>,
    nodes: u8,
    before: BTreeMap<String, BTreeSet<String>>,
    out: String,
}

impl Play {
    /// Nodes in these fault domains, and an edge after them.
    fn new(fault_domains: &[u32]) -> Self {
        let mut cluster = cluster(fault_domains);
        let nodes = u8::try_from(fault_domains.len()).unwrap();
        cluster.add_node(node_name(nodes), NodeKind::Edge, nodes.into(), 0, NodeRecord::default());
        answer(&mut cluster, nodes, 0, Vec::new());
        let (dead, broken, before, out) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), String::new());
        let mut play = Self { cluster, second: 0, dead, broken, nodes: nodes + 1, before, out };
        play.before = play.state();
        play
    }

    fn command(&mut self, line: &str) -> Said {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |text: &str| text.parse::<u8>().map_err(|_| format!("{text} is no number"));
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let now = at(self.second);
        let change =
            match words.as_slice() {
                ["deploy" | "update", id, words @ ..] => return self.deploy(number(id)?, words),
                ["delete", one] => {
                    let held = &self.cluster.deployments[&id(number(one)?)];
                    Some(Change::Deployment(Box::new(delete(held))))
                }
                ["swap", one, other] => {
                    let slots = Slots { production: id(number(one)?), staging: Some(id(number(other)?)) };
                    let service = self.cluster.deployments[&slots.production].goal.service.clone();
                    swap(&self.cluster, &service, &slots).map_err(|error| failed(&error))?
                }
                ["drain", node] => drain_node(&self.cluster, &node_name(number(node)?), now)
                    .map_err(|error| failed(&error))?,
                ["undrain", node] => undrain_node(&self.cluster, &node_name(number(node)?), now)
                    .map_err(|error| failed(&error))?,
                ["retire", node, force @ ..] => {
                    let force = force == ["force"];
                    let name = node_name(number(node)?);
                    retire_node(&self.cluster, &name, force, now).map_err(|error| failed(&error))?
                }
                ["kill", node] => {
                    self.dead.insert(number(node)?);
                    None
                }
                ["revive", node] => {
                    self.dead.remove(&number(node)?);
                    None
                }
                ["break", application] => {
                    self.broken.insert(number(application)?);
                    None
                }
                _ => return Err(format!("there is no command {line:?}")),
            };
        if let Some(change) = change {
            self.cluster.apply(change);
        }
        Ok(())
    }

    /// `ID ROLE COUNT MEMORY application=N settings=TEXT mode=simultaneous|DOMAIN slot=staging suspended`.
    fn deploy(&mut self, number: u8, words: &[&str]) -> Said {
        let held = self.cluster.deployments.get(&id(number));
        let mut wanted = goal(held.map_or(1, |held| held.goal.generation.0 + 1));
        wanted.slot = held.map_or(Slot::Production, |held| held.goal.slot);
        let mut roles = Vec::new();
        for word in words {
            match word.split_once('=') {
                None if *word == "suspended" => wanted.status = GoalStatus::Suspended,
                Some(("mode", "simultaneous")) => wanted.update.mode = UpdateMode::Simultaneous,
                Some(("mode", domain)) => {
                    wanted.update.mode = UpdateMode::Manual { domain: domain.parse().ok() };
                }
                Some(("slot", "staging")) => wanted.slot = Slot::Staging,
                Some((name, what)) => {
                    let parts: Vec<u32> = what.split('/').map(|part| part.parse().unwrap()).collect();
                    let [count, memory_mib, application] = parts[..] else {
                        return Err(format!("{word}: expected ROLE=COUNT/MEMORY/APPLICATION"));
                    };
                    let mut role = role(name, count, memory_mib);
                    role.application = digest(u8::try_from(application).unwrap());
                    roles.push(role);
                }
                None => return Err(format!("{word} means nothing")),
            }
        }
        let deployed = deploy(&self.cluster, &id(number), wanted, roles, 5, at(self.second))
            .map_err(|error| error.to_string())?;
        self.cluster.apply(Change::Deployment(Box::new(deployed)));
        Ok(())
    }

    /// Lets time pass until nothing has changed for a while.
    fn run(&mut self) {
        let (began, mut changed_at) = (self.second, self.second);
        while self.second - changed_at < QUIET_S {
            for action in settle(&mut self.cluster, self.second) {
                if let Action::PushImage { node, image } = action {
                    self.cluster.image_arrived(&node, image);
                }
            }
            let now = self.state();
            let changes = differences(&self.before, &now);
            if !changes.is_empty() {
                changed_at = self.second;
                writeln!(self.out, "  after {} s", self.second - began).unwrap();
                self.out.push_str(&changes);
            }
            if self.is_waiting() {
                changed_at = self.second;
            }
            self.before = now;
            self.second += 1;
            for number in 0..self.nodes {
                if !self.dead.contains(&number) {
                    self.answer(number);
                }
            }
            assert!(self.second - began < SECONDS_MAX, "never at rest: {}", self.out);
        }
    }

    /// Whether a silent node is not yet known to be lost.
    fn is_waiting(&self) -> bool {
        self.dead.iter().any(|number| {
            let node = &self.cluster.nodes[&node_name(*number)];
            let health = welkin_fabric::health(&self.cluster, node, at(self.second));
            health != welkin_fabric::Health::Lost
        })
    }

    /// The node does what its goal says, unless the application is broken.
    fn answer(&mut self, number: u8) {
        answer_ready(&mut self.cluster, number, self.second);
        let goal = self.goal_of(number);
        let mut seen = self.cluster.nodes[&node_name(number)].seen.state().unwrap().instances.clone();
        for (instance, seen) in goal.instances.iter().zip(&mut seen) {
            if self.broken.iter().any(|byte| instance.application == digest(*byte)) {
                seen.role = Some(welkin_agent_wire::RoleState::Recycling);
            }
        }
        answer(&mut self.cluster, number, self.second, seen);
    }

    fn goal_of(&self, number: u8) -> NodeGoal {
        node_goal(&self.cluster, &self.cluster.nodes[&node_name(number)], at(self.second))
    }

    /// What each node is to do, and what people are told, by heading.
    fn state(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut state = BTreeMap::new();
        for number in 0..self.nodes {
            let node = &self.cluster.nodes[&node_name(number)];
            let goal = self.goal_of(number);
            let mut lines: BTreeSet<String> = goal
                .instances
                .iter()
                .map(|instance| {
                    format!(
                        "{} incarnation {} application {} at {}",
                        short(&instance.id.to_string()),
                        instance.incarnation,
                        &instance.application.to_string()[..2],
                        instance.guest.network.address
                    )
                })
                .collect();
            // Every node balances alike: the edge tells for all.
            if node.kind == NodeKind::Edge {
                for vip in &goal.vips {
                    lines.extend(vip.backends.iter().filter(|backend| backend.ready && !backend.out).map(
                        |backend| {
                            format!(
                                "{}:{} to {}",
                                vip.address,
                                vip.port,
                                short(&backend.instance.to_string())
                            )
                        },
                    ));
                }
            }
            let health = welkin_fabric::health(&self.cluster, node, at(self.second));
            lines.insert(format!("is {} and {health}", node.record.state));
            state.insert(node.name.to_string(), lines);
        }
        for deployment in self.cluster.deployments.values() {
            let mut lines =
                BTreeSet::from([format!("in {:?}, deleting: {}", deployment.goal.slot, deployment.deleting)]);
            if let Some(update) = update_observed(deployment) {
                lines.insert(format!("update domain {} is under way: {}", update.domain, update.during));
            }
            state.insert(format!("deployment {}", short(&deployment.id.to_string())), lines);
        }
        let healing = healing_status(&self.cluster, at(self.second));
        let stops = healing.deployments.into_iter().map(|stop| stop.why);
        state.insert("healing".to_owned(), healing.stopped.into_iter().chain(stops).collect());
        state
    }
}

/// Ids without their leading zeros.
fn short(id: &str) -> &str {
    id.trim_start_matches('0')
}

fn differences(
    before: &BTreeMap<String, BTreeSet<String>>,
    now: &BTreeMap<String, BTreeSet<String>>,
) -> String {
    let nothing = BTreeSet::new();
    let mut text = String::new();
    for heading in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.get(heading).unwrap_or(&nothing), now.get(heading).unwrap_or(&nothing));
        for line in old.difference(new) {
            writeln!(text, "    {heading} - {line}").unwrap();
        }
        for line in new.difference(old) {
            writeln!(text, "    {heading} + {line}").unwrap();
        }
    }
    text
}

fn played(script: &str) -> String {
    let mut lines = script.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let domains = lines.next().and_then(|line| line.strip_prefix("nodes ")).unwrap();
    let domains: Vec<u32> = domains.split(' ').map(|word| word.parse().unwrap()).collect();
    let mut play = Play::new(&domains);
    for line in lines {
        writeln!(play.out, "> {line}").unwrap();
        match play.command(line) {
            Ok(()) => play.run(),
            Err(why) => writeln!(play.out, "  refused: {why}").unwrap(),
        }
    }
    play.out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn plans_are_as_they_were_read() {
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "script"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 8, "{scripts:?}");
    for script in scripts {
        let plan = script.with_extension("plan");
        let now = played(&std::fs::read_to_string(&script).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&plan, now).unwrap();
            continue;
        }
        let golden = std::fs::read_to_string(&plan).unwrap_or_default();
        assert!(golden == now, "{} is another plan now; read it with UPDATE=1:\n{now}", plan.display());
    }
}
