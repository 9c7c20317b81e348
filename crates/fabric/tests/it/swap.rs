use welkin_fabric::{Change, NotSwapped, swap};
use welkin_fabric_wire::{Slot, Slots};

use crate::fixture::{answer_ready, cluster, digest, goal, id, put, role, settle};

#[test]
fn slots_and_addresses_change_places() {
    let mut cluster = cluster(&[0]);
    let (mut staging, service) = (goal(1), goal(1).service);
    staging.slot = Slot::Staging;
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    put(&mut cluster, 2, staging.clone(), vec![role("Web", 1, 512)], 0).unwrap();
    let slots =
        |production: u8, staging: Option<u8>| Slots { production: id(production), staging: staging.map(id) };
    assert_eq!(swap(&cluster, &service, &slots(1, Some(2))), Ok(None), "so it is");
    assert_eq!(swap(&cluster, &service, &slots(3, None)), Err(NotSwapped::Missing));
    let other = welkin_base::ServiceName::new("other").unwrap();
    assert_eq!(swap(&cluster, &other, &slots(2, Some(1))), Err(NotSwapped::Missing));

    let before = cluster.deployments.clone();
    for repeated in [false, true] {
        let change = swap(&cluster, &service, &slots(2, Some(1))).unwrap();
        assert_eq!(change.is_none(), repeated);
        change.into_iter().for_each(|change| cluster.apply(change));
        let (one, two) = (&cluster.deployments[&id(1)], &cluster.deployments[&id(2)]);
        assert_eq!((one.goal.slot, two.goal.slot), (Slot::Staging, Slot::Production));
        assert_eq!((one.vip, two.vip), (before[&id(2)].vip, before[&id(1)].vip));
        assert_eq!(one.instances, before[&id(1)].instances);
    }
    // Nothing is restarted: goals differ in virtual IPs alone.
    settle(&mut cluster, 1);
    answer_ready(&mut cluster, 0, 1);
    assert!(cluster.deployments.values().all(|deployment| deployment.events.is_empty()));
}

#[test]
fn promoted_into_an_empty_slot() {
    let mut cluster = cluster(&[0]);
    let mut staging = goal(1);
    staging.slot = Slot::Staging;
    let service = staging.service.clone();
    let before = put(&mut cluster, 1, staging, vec![role("Web", 1, 512)], 0).unwrap();
    let change = swap(&cluster, &service, &Slots { production: id(1), staging: None }).unwrap().unwrap();
    cluster.apply(change);
    let after = &cluster.deployments[&id(1)];
    assert_eq!((after.goal.slot, after.vip), (Slot::Production, before.vip));
}

#[test]
fn what_keeps_two_from_changing_places() {
    let mut cluster = cluster(&[0]);
    let mut staging = goal(1);
    staging.slot = Slot::Staging;
    let service = staging.service.clone();
    let mut two = role("Web", 1, 512);
    two.endpoints.push(two.endpoints[0].clone());
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    put(&mut cluster, 2, staging, vec![two], 0).unwrap();
    let slots = Slots { production: id(2), staging: Some(id(1)) };
    let refused = swap(&cluster, &service, &slots).unwrap_err().to_string();
    assert!(refused.contains("production has 1 http, staging has 2 http"), "{refused}");
    let changed = vec![welkin_fabric::Role { application: digest(10), ..role("Web", 1, 512) }];
    put(&mut cluster, 1, goal(2), changed, 1).unwrap();
    assert_eq!(swap(&cluster, &service, &slots), Err(NotSwapped::Busy(id(1))));
    let deleted = welkin_fabric::delete(&cluster.deployments[&id(2)]);
    cluster.apply(Change::Deployment(Box::new(deleted)));
    assert_eq!(swap(&cluster, &service, &slots), Err(NotSwapped::Busy(id(2))));
}
