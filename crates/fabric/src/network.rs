//! The network plan: every address follows from the cloud's network, the node's number and a slot.
//!
//! | what | address, in the cloud's first two bytes `N` |
//! |---|---|
//! | gateway of node `n` | `N.(16+n).1` |
//! | instances of node `n` | `N.(16+n).2` to `.254` |
//! | virtual IPs | `N.240.1` to `N.255.254` |
//!
//! A cloud of more nodes than that has a /8, whose first byte is `N`; then the second and third byte count nodes from
//! `N.16.0` on, and virtual IPs are `N.240.0.1` to `N.240.255.254`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The third byte of node 0's instances.
const INSTANCES_FIRST: u8 = 16;
/// The third byte of the first virtual IPs.
const VIPS_FIRST: u8 = 240;
/// The highest node number of a /16: the next one's instances would have the addresses of virtual IPs.
pub const NODE_NUMBER_MAX: u8 = VIPS_FIRST - INSTANCES_FIRST - 1;
/// Addresses for the instances of one node.
pub const ADDRESSES_PER_NODE: usize = 253;
/// Bits of a node's instance network.
pub const INSTANCE_PREFIX_LENGTH: u8 = 24;
/// The first byte of a MAC: unicast, locally administered (IEEE 802, bit 1 of the first byte).
const MAC_FIRST: u8 = 0x02;

/// Why a text is not a cloud's network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cloud's network: expected a form such as 10.177.0.0/16")]
pub struct NetworkError(String);

/// A cloud's network, a /16 or a /8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    first: u8,
    /// None of a /8.
    second: Option<u8>,
}

impl Network {
    /// The gateway of node `number`'s instances.
    #[must_use]
    pub fn gateway(self, number: u32) -> Ipv4Addr {
        self.instance(number, 1)
    }

    /// The lowest address of node `number` that is not in `used`.
    #[must_use]
    pub fn free_instance_address(self, number: u32, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        (2..=254).map(|slot| self.instance(number, slot)).find(|address| !used.contains(address))
    }

    /// The lowest virtual IP that is not in `used`.
    #[must_use]
    pub fn free_vip(self, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let thirds = if self.second.is_some() { VIPS_FIRST..=u8::MAX } else { 0..=u8::MAX };
        let second = self.second.unwrap_or(VIPS_FIRST);
        thirds
            .flat_map(|third| (1..=254).map(move |slot| (third, slot)))
            .map(|(third, slot)| Ipv4Addr::new(self.first, second, third, slot))
            .find(|address| !used.contains(address))
    }

    /// The highest number that a node may have.
    #[must_use]
    pub fn node_number_max(self) -> u32 {
        if self.second.is_some() { NODE_NUMBER_MAX.into() } else { u32::from(NODE_NUMBER_MAX) << 8 | 0xff }
    }

    fn instance(self, number: u32, slot: u8) -> Ipv4Addr {
        let number = number.min(self.node_number_max());
        let [.., high, low] = number.to_be_bytes();
        match self.second {
            Some(second) => Ipv4Addr::new(self.first, second, INSTANCES_FIRST + low, slot),
            None => Ipv4Addr::new(self.first, INSTANCES_FIRST + high, low, slot),
        }
    }
}

/// The MAC of the interface with `address`: as unique as the address.
#[must_use]
pub fn mac(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{MAC_FIRST:02x}:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let bad = || NetworkError(text.chars().take(40).collect());
        let (address, length) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        match (address.octets(), length) {
            ([first @ 1..=223, second, 0, 0], "16") => Ok(Self { first, second: Some(second) }),
            ([first @ 1..=223, 0, 0, 0], "8") => Ok(Self { first, second: None }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(second) => write!(f, "{}.{second}.0.0/16", self.first),
            None => write!(f, "{}.0.0.0/8", self.first),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        "10.177.0.0/16".parse().unwrap()
    }

    #[test]
    fn networks() {
        for (text, valid) in [
            ("10.177.0.0/16", true),
            ("10.177.1.0/16", false),
            ("10.177.0.0/8", false),
            ("10.0.0.0/8", true),
            ("10.177.0.0/24", false),
            ("10.177.0.0", false),
            ("240.1.0.0/16", false),
        ] {
            assert_eq!(text.parse::<Network>().is_ok(), valid, "{text}");
        }
        assert_eq!(network().to_string(), "10.177.0.0/16");
    }

    #[test]
    fn addresses_follow_from_number_and_slot() {
        let mut used = BTreeSet::new();
        assert_eq!(network().gateway(3).to_string(), "10.177.19.1");
        for slot in 2..=254 {
            let address = network().free_instance_address(0, &used).unwrap();
            assert_eq!(address, Ipv4Addr::new(10, 177, 16, slot));
            used.insert(address);
        }
        assert_eq!(network().free_instance_address(0, &used), None);
        assert_eq!(network().free_vip(&used).unwrap().to_string(), "10.177.240.1");
        assert_eq!(network().gateway(NODE_NUMBER_MAX.into()).to_string(), "10.177.239.1");
    }

    #[test]
    fn a_large_cloud_has_addresses_for_thousands_of_nodes() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert_eq!(network.to_string(), "10.0.0.0/8");
        for (number, expected) in
            [(0, "10.16.0.1"), (255, "10.16.255.1"), (256, "10.17.0.1"), (57_343, "10.239.255.1")]
        {
            assert_eq!(network.gateway(number).to_string(), expected);
        }
        assert_eq!(network.node_number_max(), 57_343);
        assert_eq!(network.free_vip(&BTreeSet::new()).unwrap().to_string(), "10.240.0.1");
    }

    #[test]
    fn macs_are_local_and_unique() {
        assert_eq!(mac(Ipv4Addr::new(10, 177, 16, 2)), "02:00:0a:b1:10:02");
    }
}
