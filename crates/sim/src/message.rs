//! What travels between the controllers and the nodes, late or never. A controller is known by its number.

use std::collections::BTreeMap;

use welkin_agent_wire::{NodeGoal, NodeObserved};
use welkin_base::{Digest, NodeName};

/// A message.
#[derive(Debug, Clone)]
pub enum Message {
    /// A controller reads a node.
    Read(usize, NodeName),
    /// The node's answer.
    Observed(usize, NodeName, Box<NodeObserved>),
    /// A goal for its node.
    Goal(Box<NodeGoal>),
    /// An image for a node.
    Image(usize, NodeName, Digest),
    /// The node has the image.
    ImageTaken(usize, NodeName, Digest),
}

/// Messages on their way, by the time of their arrival.
#[derive(Debug, Default)]
pub struct Wire {
    sent: u64,
    on_their_way: BTreeMap<(u64, u64), Message>,
}

impl Wire {
    /// Sends a message that arrives at `at_ms`.
    pub fn send(&mut self, at_ms: u64, message: Message) {
        self.sent += 1;
        self.on_their_way.insert((at_ms, self.sent), message);
    }

    /// The messages that have arrived by `now_ms`, in order.
    pub fn arrived(&mut self, now_ms: u64) -> Vec<Message> {
        let later = self.on_their_way.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.on_their_way, later).into_values().collect()
    }
}
