//! How many cores the deployments of a subscription take together.

use welkin_base::SubscriptionId;
use welkin_fabric::{NoCores, check_cores, deploy};

use crate::fixture::{at, cluster, goal, id, put, role};

#[test]
fn cores_of_one_subscription() {
    let mut cluster = cluster(&[0, 1]);
    // Each instance has one core.
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    let asked = |cluster: &welkin_fabric::Cluster, number, generation, count| {
        deploy(cluster, &id(number), goal(generation), vec![role("Web", count, 512)], 5, at(1)).unwrap()
    };
    let per_instance = role("Web", 1, 512).need.cores;
    let max = 5 * per_instance;
    for (number, generation, count, fits) in
        [(2, 1, 2, true), (2, 1, 3, false), (1, 2, 5, true), (1, 2, 6, false)]
    {
        let deployment = asked(&cluster, number, generation, count);
        assert_eq!(check_cores(&cluster, &deployment, max).is_ok(), fits, "{number} {count}");
    }
    let refused = check_cores(&cluster, &asked(&cluster, 2, 1, 3), max).unwrap_err();
    assert_eq!(refused, NoCores { needed: 3 * per_instance, left: 2 * per_instance, max });
    // A quota that is lowered takes nothing away, and lets shrink.
    assert!(check_cores(&cluster, &asked(&cluster, 1, 2, 3), 0).is_ok());
    assert!(check_cores(&cluster, &asked(&cluster, 1, 2, 4), 0).is_err());
    // Another subscription has its own.
    let mut others = asked(&cluster, 2, 1, 3);
    others.goal.subscription = SubscriptionId::new(&"2".repeat(32)).unwrap();
    assert!(check_cores(&cluster, &others, 3 * per_instance).is_ok());
}
