//! What was read from a node. A node may lie about itself and about nothing else: this is the one place where its
//! words are checked, and what fails here is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use welkin_agent_wire::limits::{
    DRAINING_MAX, INSTANCES_PER_NODE_MAX, MESSAGE_BYTES_MAX, PROBE_NAME_BYTES_MAX, PROBES_PER_INSTANCE_MAX,
};
use welkin_agent_wire::{InstanceObserved, NodeCapacity, NodeObserved, VmState};
use welkin_base::{Digest, Generation, InstanceId, NodeName, Timestamp};

use crate::cluster::{Cluster, Node};
use crate::cycling::Restarts;

/// The largest node that is believed. Above any machine of today; sums over a cluster stay far from overflow.
pub const CAPACITY_MAX: NodeCapacity =
    NodeCapacity { cores: 8_192, memory_mib: 64 << 20, disk_mib: 64 << 30 };

/// What was read from a node since this controller began.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    state: Option<NodeObserved>,
    answered: Option<Timestamp>,
    trouble: Option<String>,
    restarts: BTreeMap<InstanceId, Restarts>,
    images: BTreeSet<Digest>,
    images_asked: Option<Timestamp>,
}

/// An instance waits for an image that the node was given: after so long the node is asked again.
const IMAGES_ASK_AGAIN: Duration = Duration::from_secs(10);

/// Why a node's answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// No node of this name is known here.
    #[error("the node {0} is not one of this cluster")]
    NoSuchNode(NodeName),
    /// Another node answered.
    #[error("the node says that it is {0}")]
    OtherName(NodeName),
    /// It holds a goal that this controller never gave.
    #[error(
        "the node holds a goal of generation {holds}, and this controller gave {given} at most: another controller \
         commands it, or the controller's data was restored; end the other, or empty the node's data folder"
    )]
    NewerGoal {
        /// What it says.
        holds: Generation,
        /// The last one given.
        given: Generation,
    },
    /// More instances than a node may hold.
    #[error("the node reports {0} instances; at most {INSTANCES_PER_NODE_MAX} are believed")]
    TooMany(usize),
    /// One instance more than once.
    #[error("the node reports {0} twice")]
    Twice(InstanceId),
    /// An incarnation that was never made.
    #[error("the node reports incarnation {reported} of {id}; the last made is {made}")]
    NewerIncarnation {
        /// Which instance.
        id: InstanceId,
        /// What it says.
        reported: u64,
        /// The last one made.
        made: u64,
    },
    /// More probes than an instance has, more draining than a node was told of, or a name that no probe has.
    #[error("the node reports probes or draining instances beyond measure")]
    Excess,
    /// A message that is longer than the contract allows.
    #[error("the node sends a message of {0} bytes; at most {MESSAGE_BYTES_MAX} are taken")]
    LongMessage(usize),
    /// A capacity that no machine has.
    #[error("the node says that it has {0:?}, which no machine has")]
    Capacity(NodeCapacity),
}

impl Seen {
    /// The last answer that was believed.
    #[must_use]
    pub fn state(&self) -> Option<&NodeObserved> {
        self.state.as_ref()
    }

    /// When that was.
    #[must_use]
    pub fn answered(&self) -> Option<Timestamp> {
        self.answered
    }

    /// Counts the node as one that has not answered yet. What it said last is kept.
    pub(crate) fn await_answer(&mut self) {
        self.answered = None;
    }

    /// Why the last attempt to read was in vain.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What it said last of one instance.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&InstanceObserved> {
        self.state.as_ref()?.instances.iter().find(|seen| seen.id == *id)
    }

    /// How often an instance started again of late.
    #[must_use]
    pub fn restarts(&self, id: &InstanceId) -> Option<&Restarts> {
        self.restarts.get(id)
    }

    /// Whether the node is known to have the image.
    #[must_use]
    pub fn has_image(&self, image: &Digest) -> bool {
        self.images.contains(image)
    }
}

impl Cluster {
    /// Takes in what a node answered at `now`.
    ///
    /// # Errors
    /// When the answer cannot be true; then nothing of it is used and the node counts as silent.
    pub fn observe(&mut self, name: &NodeName, observed: NodeObserved, now: Timestamp) -> Result<(), Lie> {
        let node = self.nodes.get(name).ok_or_else(|| Lie::NoSuchNode(name.clone()))?;
        if let Err(lie) = check(self, node, &observed) {
            self.unreadable(name, &lie.to_string());
            return Err(lie);
        }
        let needed = self.images_of(name);
        let Some(node) = self.nodes.get_mut(name) else { return Ok(()) };
        node.seen.take(clean(observed), now);
        // What a node does not need it may remove.
        node.seen.images.retain(|image| needed.contains(image));
        self.drop_silent(now);
        self.refresh(name);
        Ok(())
    }

    /// Notes why a node could not be read.
    pub fn unreadable(&mut self, name: &NodeName, why: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.seen.trouble = Some(plain(why));
        }
    }

    /// Notes that a node has an image.
    pub fn image_arrived(&mut self, name: &NodeName, image: Digest) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.seen.images.insert(image);
        }
    }

    /// Whether the node reports an instance that neither stands there nor leaves it: what it takes is not
    /// known, so nothing is placed beside it until it has ended.
    #[must_use]
    pub fn has_strangers(&self, node: &Node) -> bool {
        let instances = node.seen.state().map_or(&[][..], |state| state.instances.as_slice());
        instances.iter().any(|seen| self.made(node, &seen.id).is_none())
    }

    /// The last incarnation of an instance that was made on `node`, when it stands there or leaves it.
    fn made(&self, node: &Node, id: &InstanceId) -> Option<u64> {
        let deployment = self.deployments.get(id.deployment())?;
        let placed = deployment
            .instance(id.name())
            .filter(|i| i.node == node.name)
            .map(|instance| instance.incarnation);
        let left = deployment
            .leaving
            .iter()
            .filter(|left| left.node == node.name && left.name == *id.name())
            .map(|left| left.incarnation);
        left.chain(placed).max()
    }
}

impl Seen {
    fn take(&mut self, observed: NodeObserved, now: Timestamp) {
        let went_back = self.state.as_ref().is_some_and(|before| before.generation > observed.generation);
        if went_back {
            // The node lost what it held, so perhaps its images too.
            self.images.clear();
        }
        let waits = observed.instances.iter().any(|seen| seen.vm == VmState::Preparing);
        if self.images_asked.is_none_or(|asked| now.since(asked) > IMAGES_ASK_AGAIN) {
            if waits {
                self.images.clear();
            }
            self.images_asked = Some(now);
        }
        self.restarts.retain(|id, _| observed.instances.iter().any(|seen| seen.id == *id));
        for instance in &observed.instances {
            self.restarts.entry(instance.id.clone()).or_default().note(instance, now);
        }
        self.state = Some(observed);
        self.answered = Some(now);
        self.trouble = None;
    }
}

/// Whether the answer can be true.
fn check(cluster: &Cluster, node: &Node, observed: &NodeObserved) -> Result<(), Lie> {
    if observed.node != node.name {
        return Err(Lie::OtherName(observed.node.clone()));
    }
    if observed.generation > node.record.generation {
        return Err(Lie::NewerGoal { holds: observed.generation, given: node.record.generation });
    }
    let NodeCapacity { cores, memory_mib, disk_mib } = observed.capacity;
    if cores > CAPACITY_MAX.cores || memory_mib > CAPACITY_MAX.memory_mib || disk_mib > CAPACITY_MAX.disk_mib
    {
        return Err(Lie::Capacity(observed.capacity));
    }
    if observed.instances.len() > INSTANCES_PER_NODE_MAX {
        return Err(Lie::TooMany(observed.instances.len()));
    }
    let is_excess = |seen: &InstanceObserved| {
        seen.passes.len() > PROBES_PER_INSTANCE_MAX
            || seen.passes.iter().any(|name| name.len() > PROBE_NAME_BYTES_MAX)
    };
    if observed.draining.len() > DRAINING_MAX || observed.instances.iter().any(is_excess) {
        return Err(Lie::Excess);
    }
    let trouble = observed.trouble.iter();
    for message in observed.instances.iter().map(|seen| &seen.message).chain(trouble) {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Lie::LongMessage(message.len()));
        }
    }
    let mut ids = BTreeSet::new();
    for seen in &observed.instances {
        if !ids.insert(&seen.id) {
            return Err(Lie::Twice(seen.id.clone()));
        }
        if let Some(made) = cluster.made(node, &seen.id).filter(|made| seen.incarnation > *made) {
            return Err(Lie::NewerIncarnation { id: seen.id.clone(), reported: seen.incarnation, made });
        }
    }
    Ok(())
}

/// Messages go to terminals and logs of people: no control characters.
fn clean(mut observed: NodeObserved) -> NodeObserved {
    for instance in &mut observed.instances {
        instance.message = plain(&instance.message);
    }
    observed.trouble = observed.trouble.as_deref().map(plain);
    observed
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
