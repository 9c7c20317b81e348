//! Nodes that are packed one request at a time, with the index of the fabric controller, and what one would have done
//! who had known all requests before.

use std::collections::BTreeMap;

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_fabric::Need;
use welkin_fabric::placement::index::{Ask, Entry, Index, Standing};

use super::mix::{NODE, Request};

/// Nodes of a fault domain: a rack.
const NODES_PER_DOMAIN: u32 = 40;
/// A small fleet has so many fault domains all the same.
const DOMAINS_MIN: u32 = 4;

/// A fleet, and the roles in it.
pub struct Fleet {
    index: Index,
    nodes: u32,
    roles: Vec<Vec<(u32, Need)>>,
}

impl Fleet {
    /// So many empty nodes.
    pub fn new(nodes: u32) -> Self {
        let domains = (nodes / NODES_PER_DOMAIN).max(DOMAINS_MIN);
        let mut index = Index::default();
        for number in 0..nodes {
            index.put(number, Entry { fault_domain: number % domains, free: NODE, open: true });
        }
        Self { index, nodes, roles: Vec::new() }
    }

    /// Places a role, all of it or nothing, and tells of each decision.
    pub fn place(&mut self, request: &Request, decided: &mut dyn FnMut(u32)) -> bool {
        let share = if request.count > 1 { request.count.div_ceil(2) } else { u32::MAX };
        let mut standing = Standing::default();
        let mut placed = Vec::new();
        for _ in 0..request.count {
            let ask = Ask { need: request.need, share, standing: &standing, excluded: &|_| false };
            let best = self.index.best(&ask).first().map(|choice| choice.number);
            let Some((number, mut entry)) = best.and_then(|number| Some((number, self.index.get(number)?)))
            else {
                self.give_back(&placed);
                return false;
            };
            entry.free = entry.free.less(request.need);
            self.index.put(number, entry);
            standing.add(entry.fault_domain, Some(number));
            placed.push((number, request.need));
            decided(number);
        }
        self.roles.push(placed);
        true
    }

    /// A role goes; answers its cores.
    pub fn remove_one(&mut self, rng: &mut StdRng) -> u64 {
        if self.roles.is_empty() {
            return 1;
        }
        let role = self.roles.swap_remove(rng.random_range(0..self.roles.len()));
        self.give_back(&role);
        role.iter().map(|(_, need)| u64::from(need.cores)).sum()
    }

    /// Nodes on which there is something.
    pub fn nodes_in_use(&self) -> usize {
        let entries = (0..self.nodes).filter_map(|number| self.index.get(number));
        entries.filter(|entry| entry.free != NODE).count()
    }

    fn give_back(&mut self, placed: &[(u32, Need)]) {
        for (number, need) in placed {
            let Some(mut entry) = self.index.get(*number) else { continue };
            entry.free.add(*need);
            self.index.put(*number, entry);
        }
    }
}

/// What comes first, by what.
type Order<'a> = dyn Fn(&Need) -> (u64, u64) + 'a;

/// Nodes that best fit decreasing needs: the largest first, each on the fullest node that has room, without a thought
/// of fault domains. What is the largest depends on what one looks at; the order that needs the fewest nodes counts.
pub fn offline_nodes(requests: &[Request]) -> usize {
    let needs: Vec<Need> =
        requests.iter().flat_map(|request| (0..request.count).map(|_| request.need)).collect();
    let share = |need: &Need| {
        let of = |amount: u32, all: u32| u64::from(amount) * 1_000 / u64::from(all);
        (of(need.cores, NODE.cores), of(need.memory_mib, NODE.memory_mib))
    };
    let orders: [&Order<'_>; 4] = [
        &|need| share(need),
        &|need| (share(need).1, share(need).0),
        &|need| (share(need).0.max(share(need).1), share(need).0),
        &|need| (share(need).0 + share(need).1, share(need).0),
    ];
    orders.iter().map(|order| best_fit_decreasing(needs.clone(), order)).min().unwrap_or(0)
}

/// Nodes that no packing does without: what all requests take together, in the dimension that is scarcer.
pub fn least_nodes(requests: &[Request]) -> u64 {
    let sum = |of: &dyn Fn(&Need) -> u64| -> u64 {
        requests.iter().map(|request| u64::from(request.count) * of(&request.need)).sum()
    };
    let cores = sum(&|need| need.cores.into()).div_ceil(NODE.cores.into());
    let memory = sum(&|need| need.memory_mib.into()).div_ceil(NODE.memory_mib.into());
    cores.max(memory).max(sum(&|need| need.disk_mib).div_ceil(NODE.disk_mib))
}

fn best_fit_decreasing(mut needs: Vec<Need>, order: &Order<'_>) -> usize {
    needs.sort_by_key(|need| std::cmp::Reverse(order(need)));
    let mut open: BTreeMap<(u32, u32, u64), usize> = BTreeMap::new();
    let mut used = 0;
    for need in needs {
        let fits = |free: &(u32, u32, u64)| free.1 >= need.memory_mib && free.2 >= need.disk_mib;
        let found = open.range((need.cores, 0, 0)..).map(|(free, _)| *free).find(fits);
        let free = found.unwrap_or_else(|| {
            used += 1;
            (NODE.cores, NODE.memory_mib, NODE.disk_mib)
        });
        if found.is_some()
            && let Some(count) = open.get_mut(&free)
        {
            *count -= 1;
            if *count == 0 {
                open.remove(&free);
            }
        }
        let left = (free.0 - need.cores, free.1 - need.memory_mib, free.2 - need.disk_mib);
        *open.entry(left).or_default() += 1;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_nodes_are_paired() {
        let half = Need { cores: 32, memory_mib: 1_024, disk_mib: 1 };
        let small = Need { cores: 1, memory_mib: 1_024, disk_mib: 1 };
        let request = |need, count| Request { need, count };
        for (requests, expected) in [
            (vec![request(half, 4)], 2),
            (vec![request(small, 1), request(half, 3), request(small, 63)], 3),
            (vec![], 0),
        ] {
            assert_eq!(offline_nodes(&requests), expected);
            assert_eq!(least_nodes(&requests), u64::try_from(expected).unwrap());
        }
    }

    #[test]
    fn what_is_placed_and_removed_leaves_nothing() {
        let mut fleet = Fleet::new(100);
        let request = Request { need: Need { cores: 8, memory_mib: 1_024, disk_mib: 1 }, count: 10 };
        assert!(fleet.place(&request, &mut |_| {}));
        assert_eq!(fleet.nodes_in_use(), 10, "each on a node of its own while there are empty ones");
        let too_much = Request { need: Need { cores: 65, ..request.need }, count: 1 };
        assert!(!fleet.place(&too_much, &mut |_| {}));
        fleet.give_back(&fleet.roles[0].clone());
        assert_eq!(fleet.nodes_in_use(), 0);
    }
}
