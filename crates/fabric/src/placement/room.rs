//! What is free while a plan is made: each place that is taken makes it less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use welkin_agent_wire::limits::INSTANCES_PER_NODE_MAX;
use welkin_base::{Digest, InstanceName, Timestamp};
use welkin_fabric_wire::NodeKind;

use crate::cluster::{Cluster, Node, Usage};
use crate::deployment::{Instance, Need};
use crate::placement::index::{Ask, Choice, Entry, Index, Standing};
use crate::placement::{NoRoom, Place, Rule, Spread, Wanted};

/// Nodes that are named when none takes instances.
const NAMED_MAX: usize = 20;

/// What is free in a cluster, less what this plan has taken. The cluster's own index is not changed: nodes of which
/// something was taken stand in a second one.
#[derive(Debug)]
pub struct Room<'a> {
    cluster: &'a Cluster,
    /// Nodes that the cluster's index has and that have been silent for too long meanwhile.
    silent: BTreeSet<u32>,
    taken: BTreeMap<u32, Taken>,
    index: Index,
}

/// A node of which this plan has taken something.
#[derive(Debug)]
struct Taken {
    entry: Entry,
    instances: u32,
    addresses: BTreeSet<Ipv4Addr>,
}

impl<'a> Room<'a> {
    /// What is free in `cluster`.
    #[must_use]
    pub fn new(cluster: &'a Cluster, now: Timestamp) -> Self {
        let silent = cluster.ledger.silent(now);
        Self { cluster, silent, taken: BTreeMap::new(), index: Index::default() }
    }

    /// Takes a place for `wanted`, whose role's other instances are `placed`.
    ///
    /// # Errors
    /// When a hard rule leaves no node.
    pub fn take(&mut self, wanted: Wanted<'_>, placed: &[Instance], spread: Spread) -> Result<Place, NoRoom> {
        self.find(wanted, placed, spread).ok_or_else(|| NoRoom {
            instance: InstanceName::of(wanted.role, wanted.index),
            size: wanted.size.to_owned(),
            rule: self.broken(wanted, placed, spread),
        })
    }

    /// The same without a reason, which costs a look at every node.
    pub fn find(&mut self, wanted: Wanted<'_>, placed: &[Instance], spread: Spread) -> Option<Place> {
        let standing = self.standing(wanted, placed);
        let share = self.share(wanted.of, spread);
        let mut without_address = BTreeSet::new();
        loop {
            let number = self.choose(wanted, &standing, share, &without_address)?;
            if let Some(place) = self.take_of(number, wanted.need) {
                return Some(place);
            }
            without_address.insert(number);
        }
    }

    /// Takes more of a node for an instance that stands there and stays.
    ///
    /// # Errors
    /// When the node does not have so much, or takes no instances.
    pub fn grow(&mut self, instance: &Instance, more: Need, size: &str) -> Result<(), NoRoom> {
        let number = self.cluster.nodes.get(&instance.node).map(|node| node.number);
        let rule = match number.and_then(|number| Some((number, self.entry(number)?))) {
            None => Rule::NoNode(vec![instance.node.clone()]),
            Some((number, entry)) => {
                let missing = more.missing_in(entry.free);
                if missing.is_nothing() {
                    self.use_of(number, more, entry);
                    return Ok(());
                }
                Rule::Capacity { node: instance.node.clone(), missing }
            }
        };
        Err(NoRoom { instance: instance.name(), size: size.to_owned(), rule })
    }

    fn standing(&self, wanted: Wanted<'_>, placed: &[Instance]) -> Standing {
        let mut standing = Standing::default();
        for instance in placed.iter().filter(|instance| instance.role == *wanted.role) {
            let number = self.cluster.nodes.get(&instance.node).map(|node| node.number);
            standing.add(instance.fault_domain, number);
        }
        standing
    }

    /// The node that is taken next: of the best equally good ones, one that has the images.
    fn choose(
        &self,
        wanted: Wanted<'_>,
        standing: &Standing,
        share: u32,
        without_address: &BTreeSet<u32>,
    ) -> Option<u32> {
        let ask = |excluded| Ask { need: wanted.need, share, standing, excluded };
        let untouched = |number| {
            self.silent.contains(&number)
                || self.taken.contains_key(&number)
                || without_address.contains(&number)
        };
        let mut best = self.cluster.ledger.index().best(&ask(&untouched));
        best.extend(self.index.best(&ask(&|number| without_address.contains(&number))));
        best.sort_unstable();
        let first = *best.first()?;
        let as_good = |choice: &&Choice| {
            (choice.in_domain, choice.on_node, choice.cores_left)
                == (first.in_domain, first.on_node, first.cores_left)
        };
        let has_images =
            |choice: &&Choice| !wanted.images.is_empty() && self.has(choice.number, wanted.images);
        let local = best.iter().filter(as_good).find(has_images);
        Some(local.unwrap_or(&first).number)
    }

    fn has(&self, number: u32, images: &[Digest]) -> bool {
        let name = self.cluster.ledger.name(number);
        let node = name.and_then(|name| self.cluster.nodes.get(name));
        node.is_some_and(|node| images.iter().all(|image| node.seen.has_image(image)))
    }

    /// How many of a role's `of` instances one fault domain may hold.
    fn share(&self, of: u32, spread: Spread) -> u32 {
        if spread == Spread::Preferred {
            return u32::MAX;
        }
        let index = self.cluster.ledger.index();
        let mut silent: BTreeMap<u32, usize> = BTreeMap::new();
        for entry in self.silent.iter().filter_map(|number| index.get(*number)) {
            *silent.entry(entry.fault_domain).or_default() += 1;
        }
        let known = index.domains().iter();
        let counted = known.filter(|(domain, nodes)| silent.get(domain).is_none_or(|silent| silent < *nodes));
        if counted.take(2).count() >= 2 { of.div_ceil(2) } else { u32::MAX }
    }

    fn entry(&self, number: u32) -> Option<Entry> {
        if let Some(taken) = self.taken.get(&number) {
            return Some(taken.entry);
        }
        self.cluster.ledger.index().get(number).filter(|_| !self.silent.contains(&number))
    }

    fn take_of(&mut self, number: u32, need: Need) -> Option<Place> {
        let cluster = self.cluster;
        let name = cluster.ledger.name(number)?;
        let entry = self.entry(number)?;
        self.use_of(number, Need::default(), entry);
        let taken = self.taken.get_mut(&number)?;
        let address = cluster.network.free_instance_address(number, &taken.addresses)?;
        taken.addresses.insert(address);
        taken.instances += 1;
        let full = usize::try_from(taken.instances).is_ok_and(|count| count >= INSTANCES_PER_NODE_MAX);
        let entry = Entry { open: entry.open && !full, ..entry };
        self.use_of(number, need, entry);
        Some(Place { node: name.clone(), fault_domain: entry.fault_domain, address })
    }

    /// Takes something of a node that is described by `entry` until then.
    fn use_of(&mut self, number: u32, need: Need, entry: Entry) {
        let entry = Entry { free: entry.free.less(need), ..entry };
        let cluster = self.cluster;
        let taken = self.taken.entry(number).or_insert_with(|| {
            let name = cluster.ledger.name(number);
            let usage = name.map(|name| cluster.usage_of(name)).unwrap_or_default();
            let addresses = name.map(|name| cluster.ledger.addresses(name)).unwrap_or_default();
            Taken { entry, instances: usage.instances, addresses }
        });
        taken.entry = entry;
        self.index.put(number, entry);
    }

    /// Which rule left no node for `wanted`, and how much is missing. It looks at every node.
    fn broken(&self, wanted: Wanted<'_>, placed: &[Instance], spread: Spread) -> Rule {
        let standing = self.standing(wanted, placed);
        let share = self.share(wanted.of, spread);
        let counted = self.cluster.nodes.values().filter(|node| node.kind == NodeKind::Compute);
        let (fit, unfit): (Vec<&Node>, Vec<&Node>) =
            counted.partition(|node| self.entry(node.number).is_some());
        if fit.is_empty() {
            return Rule::NoNode(unfit.iter().take(NAMED_MAX).map(|node| node.name.clone()).collect());
        }
        let missing = |node: &Node| {
            let free = self.entry(node.number).map(|entry| entry.free).unwrap_or_default();
            wanted.need.missing_in(free)
        };
        let open = |node: &Node| standing.in_domain.get(&node.fault_domain).copied().unwrap_or(0) < share;
        let nearest = |allowed: &dyn Fn(&Node) -> bool| {
            let nodes = fit.iter().filter(|node| allowed(node)).map(|node| (*node, missing(node)));
            nodes
                .min_by_key(|(node, missing)| {
                    (missing.memory_mib, missing.cores, missing.disk_mib, node.number)
                })
                .map(|(node, missing)| (node.name.clone(), missing))
        };
        if fit.iter().any(|node| !open(node) && missing(node).is_nothing()) {
            return Rule::FaultDomains { instances_max: share, missing: nearest(&open) };
        }
        match nearest(&|_| true) {
            Some((node, missing)) if !missing.is_nothing() => Rule::Capacity { node, missing },
            _ => Rule::Addresses,
        }
    }
}

impl Usage {
    /// Whether nothing is there.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}
