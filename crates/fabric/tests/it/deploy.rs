use welkin_base::{InstanceName, RoleName, SubscriptionId};
use welkin_fabric::{Asked, Begin, Beginning, Deployment, Refused, compare, delete, restart};
use welkin_fabric_wire::DeploymentGoal;

use crate::fixture::{at, cluster, digest, goal, id, put, role};

#[test]
fn goals_are_compared_with_what_is_held() {
    let mut cluster = cluster(&[0]);
    put(&mut cluster, 1, goal(5), vec![role("Web", 1, 512)], 0).unwrap();
    let changed = |change: &dyn Fn(&mut DeploymentGoal)| {
        let mut goal = goal(6);
        change(&mut goal);
        compare(&cluster, &id(1), &goal)
    };
    assert_eq!(compare(&cluster, &id(2), &goal(1)), Ok(Asked::New));
    assert_eq!(compare(&cluster, &id(1), &goal(5)), Ok(Asked::Same));
    assert_eq!(changed(&|goal| goal.configuration = "new".into()), Ok(Asked::Changed));
    assert_eq!(changed(&|goal| goal.package = digest(8)), Ok(Asked::Changed));
    let other = SubscriptionId::new("00000000-9dad-11d1-80b4-00c04fd430c8").unwrap();
    assert_eq!(changed(&|goal| goal.subscription = other.clone()), Err(Refused::Other));
    assert!(matches!(compare(&cluster, &id(1), &goal(4)), Err(Refused::Stale { .. })));
    let mut same_generation = goal(5);
    same_generation.configuration = "other".into();
    assert!(matches!(compare(&cluster, &id(1), &same_generation), Err(Refused::Stale { .. })));
}

#[test]
fn counts_change_and_what_exists_stays() {
    let mut cluster = cluster(&[0, 1]);
    let first = put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    let fewer = put(&mut cluster, 1, goal(2), vec![role("Web", 1, 512)], 0).unwrap();
    assert_eq!(fewer.instances[0].address, first.instances[0].address);
    assert_eq!(fewer.leaving.len(), 2);
    assert_eq!(fewer.update_domains, 1);
    let more = put(&mut cluster, 1, goal(3), vec![role("Web", 2, 512)], 0).unwrap();
    assert_eq!(more.instances[0], welkin_fabric::Instance { update_domain: 0, ..first.instances[0].clone() });
    assert_eq!(more.instances[1].incarnation, 2, "the first Web_IN_1 may still be there");
    assert_ne!(more.instances[1].address, first.instances[1].address);
    assert_eq!(more.vip, first.vip);
}

#[test]
fn large_roles_are_placed_first_and_listed_as_defined() {
    let mut cluster = cluster(&[0]);
    let roles = vec![role("Small", 1, 512), role("Large", 1, 8192)];
    let deployment = put(&mut cluster, 1, goal(1), roles, 0).unwrap();
    let names: Vec<String> =
        deployment.instances.iter().map(|instance| instance.name().to_string()).collect();
    assert_eq!(names, ["Small_IN_0", "Large_IN_0"]);
    assert!(deployment.instances[1].address < deployment.instances[0].address);
}

#[test]
fn a_deletion_lets_go_of_everything_and_takes_no_goal() {
    let mut cluster = cluster(&[0]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    let deleted = delete(&deployment);
    assert_eq!((deleted.instances.len(), deleted.leaving.len(), deleted.deleting), (0, 2, true));
    assert_eq!(delete(&deleted), deleted);
    cluster.apply(welkin_fabric::Change::Deployment(Box::new(deleted)));
    assert_eq!(compare(&cluster, &id(1), &goal(2)), Err(Refused::Deleting));
}

#[test]
fn one_instance_is_asked_to_begin_again() {
    let mut cluster = cluster(&[0]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    let name = |index| InstanceName::of(&RoleName::new("Web").unwrap(), index);
    let asked = |held: &Deployment, how, second| restart(held, &name(1), how, at(second)).unwrap();
    let changed = asked(&deployment, Begin::Reimage, 5);
    assert_eq!(changed.instances[0], deployment.instances[0]);
    let beginning = |how, since| Some(Beginning { how, since: at(since), begun: false });
    assert_eq!(changed.instances[1].begins, beginning(Begin::Reimage, 5));
    // The more of what is asked, since the first was.
    assert_eq!(asked(&changed, Begin::Reboot, 6).instances[1].begins, beginning(Begin::Reimage, 5));
    assert_eq!(asked(&changed, Begin::Rebuild, 6).instances[1].begins, beginning(Begin::Rebuild, 5));
    assert_eq!(restart(&deployment, &name(2), Begin::Reboot, at(5)), None);
}
