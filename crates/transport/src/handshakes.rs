//! How many connections one address may begin: a TLS handshake costs a server a millisecond of a processor before it knows
//! who asks. What is more is closed before it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use crate::bucket::{Bucket, Rate};

/// When there are so many addresses, those that begin nothing are forgotten.
const ADDRESSES_MAX: usize = 16_384;

/// What each address has begun lately.
#[derive(Debug)]
pub(crate) struct Handshakes {
    rate: Rate,
    addresses: HashMap<IpAddr, Bucket>,
}

impl Handshakes {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, addresses: HashMap::new() }
    }

    /// Whether `address` may begin another.
    pub(crate) fn may_begin(&mut self, address: IpAddr, now: Instant) -> bool {
        let (rate, address) = (self.rate, network_of(address));
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, bucket| !bucket.is_full(rate, now));
        }
        // So many at once are no one address's doing: a limit for one does not help, and memory has its own.
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            return true;
        }
        self.addresses.entry(address).or_insert_with(|| Bucket::new(rate, now)).take(rate, now)
    }
}

/// Whoever has an address of version 6 has all that begin with the same 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_address_has_its_own() {
        let mut handshakes = Handshakes::new(Rate { per_second: 2, burst: 3 });
        let start = Instant::now();
        for (address, ms, expected) in [
            ("192.0.2.1", 0, true),
            ("192.0.2.1", 0, true),
            ("::ffff:192.0.2.1", 0, true),
            ("192.0.2.1", 0, false),
            ("192.0.2.2", 0, true),
            ("192.0.2.1", 499, false),
            ("192.0.2.1", 500, true),
            ("2001:db8::1", 500, true),
            ("2001:db8::2", 500, true),
            ("2001:db8::ffff:1", 500, true),
            ("2001:db8::3", 500, false),
            ("2001:db8:0:1::3", 500, true),
        ] {
            let at = start + Duration::from_millis(ms);
            assert_eq!(handshakes.may_begin(address.parse().unwrap(), at), expected, "{address} at {ms}");
        }
    }

    #[test]
    fn addresses_are_forgotten() {
        let mut handshakes = Handshakes::new(Rate { per_second: 1, burst: 1 });
        let start = Instant::now();
        let address = |number: u32| IpAddr::V4(number.into());
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            assert!(handshakes.may_begin(address(number), start));
        }
        assert_eq!(handshakes.addresses.len(), ADDRESSES_MAX);
        assert!(!handshakes.may_begin(address(0), start));
        assert!(handshakes.may_begin(address(1 << 20), start + Duration::from_secs(2)));
        assert_eq!(handshakes.addresses.len(), 1);
    }
}
