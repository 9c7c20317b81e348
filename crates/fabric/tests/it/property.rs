//! Whatever is asked and however nodes come and go, capacity and addresses hold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};
use welkin_fabric::Cluster;

use crate::fixture::{answer_ready, cluster, goal, id, put, role, settle};

fn holds(cluster: &Cluster) -> Result<(), String> {
    let mut addresses = BTreeSet::new();
    if let Some(twice) = cluster.addresses().find(|address| !addresses.insert(*address)) {
        return Err(format!("address {twice} is given twice"));
    }
    let mut vips = BTreeSet::new();
    if let Some(twice) = cluster.vips().find(|vip| !vips.insert(*vip)) {
        return Err(format!("virtual IP {twice} is given twice"));
    }
    for (name, usage) in cluster.usage() {
        let capacity = cluster.nodes[name].seen.state().unwrap().capacity;
        if usage.need.cores > capacity.cores || usage.need.memory_mib > capacity.memory_mib {
            return Err(format!("{name} is oversubscribed: {usage:?}"));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn capacity_and_addresses_hold(
        domains in proptest::collection::vec(0u32..3, 1..6),
        steps in proptest::collection::vec((any::<u8>(), 1u8..5, 1u32..5, 256u32..6000, any::<u8>()), 1..30),
    ) {
        let mut cluster = cluster(&domains);
        for (second, (what, number, count, memory, alive)) in (0u64..).map(|n| n * 7).zip(steps) {
            let exists = cluster.deployments.get(&id(number)).cloned();
            match (what % 3, exists) {
                (0, Some(deployment)) => {
                    cluster.apply(welkin_fabric::Change::Deployment(Box::new(welkin_fabric::delete(&deployment))));
                }
                (_, None) => {
                    let roles = vec![role("Web", count, memory)];
                    if let Ok(deployment) = put(&mut cluster, number, goal(1), roles, second) {
                        let mut in_domain: BTreeMap<u32, u32> = BTreeMap::new();
                        for instance in &deployment.instances {
                            *in_domain.entry(instance.fault_domain).or_default() += 1;
                        }
                        let healthy: BTreeSet<u32> = cluster
                            .nodes
                            .values()
                            .filter(|node| {
                                let now = crate::fixture::at(second);
                                welkin_fabric::health(&cluster, node, now) == welkin_fabric::Health::Healthy
                            })
                            .map(|node| node.fault_domain)
                            .collect();
                        let spread = in_domain.len() >= 2 || healthy.len() < 2 || count < 2;
                        prop_assert!(spread, "{in_domain:?} of {healthy:?}");
                    }
                }
                _ => {}
            }
            settle(&mut cluster, second);
            prop_assert_eq!(holds(&cluster), Ok(()));
            for (number, _) in (0u8..).zip(&domains).filter(|(number, _)| alive >> number & 1 == 0) {
                answer_ready(&mut cluster, number, second);
            }
            settle(&mut cluster, second);
            prop_assert_eq!(holds(&cluster), Ok(()));
        }
    }
}
