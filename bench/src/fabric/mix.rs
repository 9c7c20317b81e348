//! What is asked for: roles of a few instances, in sizes as they are asked for in public clouds.
//!
//! That about 45 % have 2 cores and 24 % have 8 is said of public clouds' traces; we have not counted them there. How the
//! rest divides among 1, 4 and 16 cores, that one in ten has the memory of the "A5 to A7" sizes, and how many
//! instances a role has, is our assumption.

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_fabric::Need;

/// Cores of a node.
pub const NODE_CORES: u64 = 64;
/// A node: 3 GiB of memory and 64 GiB of disk for each core.
pub const NODE: Need = Need { cores: 64, memory_mib: 192 << 10, disk_mib: 4 << 20 };
/// Cores, and how many of 100 instances have so many.
const CORES: [(u32, u32); 5] = [(1, 8), (2, 45), (4, 18), (8, 24), (16, 5)];
/// Memory of the standard sizes for each core (SERVICEMODEL §3: 1.75 GiB), and of the larger ones.
const MEMORY_MIB_PER_CORE: u32 = 1_792;
const MEMORY_MIB_PER_CORE_LARGE: u32 = 7_168;

/// A role: so many instances of one size.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// What each takes.
    pub need: Need,
    /// Instances.
    pub count: u32,
}

/// Requests that take `cores` cores together, the last perhaps a few more.
pub fn requests(cores: u64, rng: &mut StdRng) -> Vec<Request> {
    let mut left = cores;
    let mut requests = Vec::new();
    while left > 0 {
        let request = request(rng);
        left = left.saturating_sub(u64::from(request.need.cores) * u64::from(request.count));
        requests.push(request);
    }
    requests
}

fn request(rng: &mut StdRng) -> Request {
    let mut drawn = rng.random_range(0..100);
    let cores = CORES.iter().find(|(_, percent)| {
        let here = drawn < *percent;
        drawn = drawn.saturating_sub(*percent);
        here
    });
    let cores = cores.map_or(2, |(cores, _)| *cores);
    let large = rng.random_bool(0.1) && cores < 16;
    let per_core = if large { MEMORY_MIB_PER_CORE_LARGE } else { MEMORY_MIB_PER_CORE };
    let count = [1, 1, 2, 2, 3, 4, 6, 10][rng.random_range(0..8)];
    Request { need: Need { cores, memory_mib: cores * per_core, disk_mib: 20_480 * u64::from(cores) }, count }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn sizes_are_as_often_as_they_should_be() {
        assert_eq!(CORES.iter().map(|(_, percent)| percent).sum::<u32>(), 100);
        let drawn = requests(1_000_000, &mut StdRng::seed_from_u64(1));
        let count = u32::try_from(drawn.len()).unwrap();
        for (cores, percent) in CORES {
            let of_size = drawn.iter().filter(|request| request.need.cores == cores).count();
            let found = 100.0 * f64::from(u32::try_from(of_size).unwrap()) / f64::from(count);
            assert!((found - f64::from(percent)).abs() < 1.0, "{cores} cores: {found} %");
        }
    }
}
