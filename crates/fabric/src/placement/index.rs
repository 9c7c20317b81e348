//! Nodes ordered by what is free on them, so that a choice looks at few of them however many there are.
//!
//! A *cell* holds the nodes that have as many cores free and about as much memory and disk (within an eighth). A choice
//! goes through the cells from the fullest on, and skips all that are too full with one step per number of cores. How
//! many cells there are follows from how machines and sizes differ, not from how many machines there are.

use std::collections::{BTreeMap, BTreeSet};

use crate::deployment::Need;

/// Equally good nodes that are looked at for one that has the images already.
const CANDIDATES_MAX: usize = 8;

/// Nodes by what is free on them. A node is known by its number.
#[derive(Debug, Clone, Default)]
pub struct Index {
    cells: BTreeMap<Cell, BTreeMap<u32, BTreeSet<Slot>>>,
    nodes: BTreeMap<u32, Entry>,
    domains: BTreeMap<u32, usize>,
}

/// What nodes have in common that stand in one cell. Less comes first, so that the fullest are looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    cores: u32,
    memory: u32,
    disk: u32,
}

/// A node within its cell and fault domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    memory_mib: u32,
    disk_mib: u64,
    number: u32,
}

/// What is known of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its fault domain.
    pub fault_domain: u32,
    /// What is free on it.
    pub free: Need,
    /// Whether it takes one more: it has an address left.
    pub open: bool,
}

/// How a role's instances stand, which decides where the next one goes.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Instances of the role by fault domain, where there are any.
    pub in_domain: BTreeMap<u32, u32>,
    /// The same by node.
    pub on_node: BTreeMap<u32, u32>,
}

/// What is looked for.
pub struct Ask<'a> {
    /// What it takes.
    pub need: Need,
    /// A fault domain that has so many of the role gets no more.
    pub share: u32,
    /// Where the role's instances stand.
    pub standing: &'a Standing,
    /// Nodes that are not to be taken.
    pub excluded: &'a dyn Fn(u32) -> bool,
}

/// A node that fits; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// Instances of the role in its fault domain.
    pub in_domain: u32,
    /// Instances of the role on it.
    pub on_node: u32,
    /// Cores that it has left afterwards.
    pub cores_left: u32,
    /// Memory that it has left afterwards.
    pub memory_left_mib: u32,
    /// Its number.
    pub number: u32,
}

impl Standing {
    /// Counts one more instance.
    pub fn add(&mut self, fault_domain: u32, number: Option<u32>) {
        *self.in_domain.entry(fault_domain).or_default() += 1;
        if let Some(number) = number {
            *self.on_node.entry(number).or_default() += 1;
        }
    }
}

impl Index {
    /// Puts a node where it belongs now.
    pub fn put(&mut self, number: u32, entry: Entry) {
        if self.nodes.get(&number) == Some(&entry) {
            return;
        }
        self.remove(number);
        if entry.open {
            let domains = self.cells.entry(cell(entry.free)).or_default();
            domains.entry(entry.fault_domain).or_default().insert(slot(number, entry.free));
        }
        *self.domains.entry(entry.fault_domain).or_default() += 1;
        self.nodes.insert(number, entry);
    }

    /// Takes a node out.
    pub fn remove(&mut self, number: u32) {
        let Some(entry) = self.nodes.remove(&number) else { return };
        if let Some(count) = self.domains.get_mut(&entry.fault_domain) {
            *count -= 1;
            if *count == 0 {
                self.domains.remove(&entry.fault_domain);
            }
        }
        let at = cell(entry.free);
        let Some(domains) = self.cells.get_mut(&at) else { return };
        if let Some(slots) = domains.get_mut(&entry.fault_domain) {
            slots.remove(&slot(number, entry.free));
            if slots.is_empty() {
                domains.remove(&entry.fault_domain);
            }
        }
        if domains.is_empty() {
            self.cells.remove(&at);
        }
    }

    /// What is known of a node.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<Entry> {
        self.nodes.get(&number).copied()
    }

    /// Nodes by fault domain.
    #[must_use]
    pub fn domains(&self) -> &BTreeMap<u32, usize> {
        &self.domains
    }

    /// The best nodes, best first: fewest of the role in the fault domain, then fewest on the node, then the node that
    /// is left the fullest. They differ in nothing but memory and number.
    #[must_use]
    pub fn best(&self, ask: &Ask<'_>) -> Vec<Choice> {
        let Standing { in_domain, on_node } = ask.standing;
        let levels: BTreeSet<u32> = in_domain.values().copied().chain([0]).collect();
        for level in levels.into_iter().filter(|level| *level < ask.share) {
            let domains: Vec<u32> =
                in_domain.iter().filter(|(_, count)| **count == level).map(|(domain, _)| *domain).collect();
            let mut found = Vec::new();
            if level > 0 || in_domain.len() < self.domains.len() {
                self.scan(ask, level, &domains, &mut found);
            }
            if found.is_empty() {
                let taken = on_node.iter().filter_map(|(number, count)| {
                    let entry = self.nodes.get(number).filter(|entry| entry.open)?;
                    let of_level = domains.contains(&entry.fault_domain) && level > 0;
                    (of_level && !(ask.excluded)(*number) && ask.need.missing_in(entry.free).is_nothing())
                        .then(|| choice(ask, level, *count, *number, entry.free))
                });
                found.extend(taken);
                found.sort_unstable();
                let least = found.first().map(|first| (first.on_node, first.cores_left));
                found.retain(|choice| Some((choice.on_node, choice.cores_left)) == least);
            }
            if !found.is_empty() {
                found.sort_unstable();
                return found;
            }
        }
        Vec::new()
    }

    /// Nodes without an instance of the role, in the fault domains of one level.
    fn scan(&self, ask: &Ask<'_>, level: u32, of_level: &[u32], found: &mut Vec<Choice>) {
        let least = cell(ask.need);
        let mut from = least;
        while let Some((at, domains)) = self.cells.range(from..).next() {
            if found.first().is_some_and(|first| first.cores_left + ask.need.cores < at.cores) {
                return;
            }
            if at.memory < least.memory {
                from = Cell { cores: at.cores, ..least };
                continue;
            }
            if at.disk < least.disk {
                from = Cell { disk: least.disk, ..*at };
                continue;
            }
            if level == 0 {
                for (_, slots) in
                    domains.iter().filter(|(domain, _)| !ask.standing.in_domain.contains_key(domain))
                {
                    look(ask, level, at.cores, slots, found);
                    if found.len() >= CANDIDATES_MAX {
                        return;
                    }
                }
            } else {
                for slots in of_level.iter().filter_map(|domain| domains.get(domain)) {
                    look(ask, level, at.cores, slots, found);
                }
                if found.len() >= CANDIDATES_MAX {
                    return;
                }
            }
            from = Cell { disk: at.disk.saturating_add(1), ..*at };
        }
    }
}

/// The first nodes of one cell and fault domain that fit.
fn look(ask: &Ask<'_>, level: u32, cores: u32, slots: &BTreeSet<Slot>, found: &mut Vec<Choice>) {
    let from = Slot { memory_mib: ask.need.memory_mib, disk_mib: 0, number: 0 };
    let fits = |slot: &&Slot| {
        slot.disk_mib >= ask.need.disk_mib
            && !ask.standing.on_node.contains_key(&slot.number)
            && !(ask.excluded)(slot.number)
    };
    let left = CANDIDATES_MAX.saturating_sub(found.len()).max(1);
    found.extend(slots.range(from..).filter(fits).take(left).map(|slot| {
        let free = Need { cores, memory_mib: slot.memory_mib, disk_mib: slot.disk_mib };
        choice(ask, level, 0, slot.number, free)
    }));
}

fn choice(ask: &Ask<'_>, in_domain: u32, on_node: u32, number: u32, free: Need) -> Choice {
    let left = free.less(ask.need);
    Choice { in_domain, on_node, cores_left: left.cores, memory_left_mib: left.memory_mib, number }
}

fn cell(free: Need) -> Cell {
    Cell { cores: free.cores, memory: eighths(free.memory_mib.into()), disk: eighths(free.disk_mib) }
}

fn slot(number: u32, free: Need) -> Slot {
    Slot { memory_mib: free.memory_mib, disk_mib: free.disk_mib, number }
}

/// A number that rises with `amount`, eight times for each doubling.
fn eighths(amount: u64) -> u32 {
    const STEPS_LOG2: u32 = 3;
    if amount < 1 << STEPS_LOG2 {
        return u32::try_from(amount).unwrap_or(0);
    }
    let doublings = amount.ilog2() - STEPS_LOG2;
    let within = u32::try_from((amount >> doublings) & 7).unwrap_or(0);
    ((doublings + 1) << STEPS_LOG2) + within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_ordered() {
        let mut before = 0;
        for amount in 0..100_000 {
            let now = eighths(amount);
            assert!(now == before || now == before + 1, "{amount}: {before} {now}");
            before = now;
        }
        assert!(eighths(u64::MAX) > eighths(u64::MAX / 2));
    }
}
