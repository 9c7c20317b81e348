//! The parts of a cloud: what runs as a process of its own.

use std::fmt;

/// Nodes that one machine carries at most: beyond, their agents alone leave little of a usual machine to instances.
pub const NODES_MAX: u8 = 16;

/// Fabric controllers that one machine runs at most, each beside a member of etcd: with five, two of each may be lost.
pub const CONTROLLERS_MAX: u8 = 5;

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The storage front-ends and their engine.
    Storage,
    /// The member of etcd with this number, where there are several fabric controllers.
    Etcd(u8),
    /// The fabric agent of the edge, which balances the virtual IPs of a cloud of several nodes.
    Edge,
    /// The fabric agent of the node with this number.
    Node(u8),
    /// The fabric controller with this number; 0 is the only one of most clouds.
    Fabric(u8),
    /// The management API.
    Management,
}

impl Part {
    /// Every part that any cloud has, in the order in which they start: each may call those before it.
    pub fn possible() -> impl DoubleEndedIterator<Item = Self> {
        let nodes = (0..NODES_MAX).map(Self::Node);
        let (members, controllers) =
            ((0..CONTROLLERS_MAX).map(Self::Etcd), (0..CONTROLLERS_MAX).map(Self::Fabric));
        let below = [Self::Storage].into_iter().chain(members).chain([Self::Edge]).chain(nodes);
        below.chain(controllers).chain([Self::Management])
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
            Self::Etcd(number) => format!("etcd{number}"),
            Self::Fabric(0) => "fabric".to_owned(),
            Self::Fabric(number) => format!("fabric{number}"),
            Self::Management => "management".to_owned(),
        }
    }

    /// The subcommand of `welkin` that runs it; `None` for a program of the system.
    pub const fn subcommand(self) -> Option<&'static str> {
        match self {
            Self::Storage => Some("storage"),
            Self::Edge | Self::Node(_) => Some("agent"),
            Self::Fabric(_) => Some("fabric"),
            Self::Management => Some("management"),
            Self::Etcd(_) => None,
        }
    }

    /// Its user id above the cloud's `uid_base`; `None` for those that are root.
    pub const fn uid_offset(self) -> Option<u32> {
        match self {
            Self::Management => Some(1),
            Self::Fabric(0) => Some(2),
            Self::Storage => Some(3),
            Self::Etcd(number) => Some(10 + number as u32),
            Self::Fabric(number) => Some(20 + number as u32),
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
            ("fabric", Some(Part::Fabric(0))),
            ("fabric2", Some(Part::Fabric(2))),
            ("fabric5", None),
            ("etcd0", Some(Part::Etcd(0))),
            ("", None),
        ] {
            assert_eq!(Part::named(text), expected, "{text}");
        }
    }
}
