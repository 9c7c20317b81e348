//! The index chooses as a look at every node would.

use std::collections::BTreeMap;

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};
use welkin_fabric::Need;
use welkin_fabric::placement::index::{Ask, Choice, Entry, Index, Standing};

fn need(cores: u32, memory_mib: u32, disk_mib: u64) -> Need {
    Need { cores, memory_mib, disk_mib }
}

/// The best by a look at every node, without what only orders equally good ones.
fn brute_force(nodes: &BTreeMap<u32, Entry>, ask: &Ask<'_>) -> Option<(u32, u32, u32)> {
    let count = |counts: &BTreeMap<u32, u32>, key: u32| counts.get(&key).copied().unwrap_or(0);
    let fits = nodes.iter().filter(|(number, entry)| {
        entry.open
            && !(ask.excluded)(**number)
            && ask.need.missing_in(entry.free).is_nothing()
            && count(&ask.standing.in_domain, entry.fault_domain) < ask.share
    });
    fits.map(|(number, entry)| {
        let in_domain = count(&ask.standing.in_domain, entry.fault_domain);
        let on_node = count(&ask.standing.on_node, *number);
        (in_domain, on_node, entry.free.cores - ask.need.cores)
    })
    .min()
}

proptest! {
    #[test]
    fn the_index_chooses_the_best(
        machines in proptest::collection::vec((0u32..4, 0u32..9, 0u32..9000, 0u64..5000, any::<bool>()), 1..40),
        asked in proptest::collection::vec((1u32..5, 1u32..5000, 1u64..3000, 1u32..6), 1..40),
        excluded in any::<u64>(),
    ) {
        let (mut index, mut nodes) = (Index::default(), BTreeMap::new());
        for (number, (fault_domain, cores, memory, disk, closed)) in (0..).zip(machines) {
            let entry = Entry { fault_domain, free: need(cores, memory, disk), open: !closed };
            index.put(number, entry);
            nodes.insert(number, entry);
        }
        let mut standing = Standing::default();
        for (cores, memory, disk, share) in asked {
            let is_excluded = |number: u32| number < 64 && excluded >> number & 1 == 1;
            let need = need(cores, memory, disk);
            let ask = Ask { need, share, standing: &standing, excluded: &is_excluded };
            let (best, expected) = (index.best(&ask), brute_force(&nodes, &ask));
            let key = |choice: &Choice| (choice.in_domain, choice.on_node, choice.cores_left);
            prop_assert_eq!(best.first().map(key), expected);
            let Some(first) = best.first().copied() else { continue };
            prop_assert!(best.iter().all(|choice| Some(key(choice)) == expected));
            let mut entry = nodes[&first.number];
            entry.free = entry.free.less(need);
            index.put(first.number, entry);
            nodes.insert(first.number, entry);
            standing.add(entry.fault_domain, Some(first.number));
        }
        for number in nodes.keys() {
            index.remove(*number);
        }
        prop_assert!(index.domains().is_empty());
    }
}
