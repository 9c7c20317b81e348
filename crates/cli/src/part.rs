//! The parts of a cloud: what runs as a process of its own.

use std::fmt;

/// Nodes that one machine carries at most: beyond, their agents alone leave little of a usual machine to instances.
pub const NODES_MAX: u8 = 16;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The storage front-ends and their engine.
    Storage,
    /// The fabric agent of the edge, which balances the virtual IPs of a cloud of several nodes.
    Edge,
    /// The fabric agent of the node with this number.
    Node(u8),
    /// The fabric controller.
    Fabric,
    /// The management API.
    Management,
}

impl Part {
    /// Every part that any cloud has, in the order in which they start: each may call those before it.
    pub fn possible() -> impl DoubleEndedIterator<Item = Self> {
        let nodes = (0..NODES_MAX).map(Self::Node);
        [Self::Storage, Self::Edge].into_iter().chain(nodes).chain([Self::Fabric, Self::Management])
    }

    /// The part of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::possible().find(|part| part.folder() == text)
    }

    /// Its folder below the state folder, and the name of its log.
    pub fn folder(self) -> String {
        match self {
            Self::Storage => "storage".to_owned(),
            Self::Edge => "edge".to_owned(),
            Self::Node(number) => format!("node{number}"),
            Self::Fabric => "fabric".to_owned(),
            Self::Management => "management".to_owned(),
        }
    }

    /// The subcommand of `welkin` that runs it.
    pub const fn subcommand(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Edge | Self::Node(_) => "agent",
            Self::Fabric => "fabric",
            Self::Management => "management",
        }
    }

    /// Its user id above the cloud's `uid_base`; `None` for those that are root.
    pub const fn uid_offset(self) -> Option<u32> {
        match self {
            Self::Management => Some(1),
            Self::Fabric => Some(2),
            Self::Storage => Some(3),
            Self::Edge | Self::Node(_) => None,
        }
    }

    /// Whether it is a fabric agent.
    pub const fn is_agent(self) -> bool {
        matches!(self, Self::Edge | Self::Node(_))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_their_names() {
        for (text, expected) in [
            ("node0", Some(Part::Node(0))),
            ("node15", Some(Part::Node(15))),
            ("node16", None),
            ("node", None),
            ("edge", Some(Part::Edge)),
            ("fabric", Some(Part::Fabric)),
            ("", None),
        ] {
            assert_eq!(Part::named(text), expected, "{text}");
        }
    }
}
