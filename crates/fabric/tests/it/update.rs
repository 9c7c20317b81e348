//! The update walk, by scripts and by a property.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, proptest};
use welkin_fabric::update::{Difference, difference};
use welkin_fabric::{Begin, Change, Refused, Role, Turn, restart, update_observed};
use welkin_fabric_wire::{DeploymentGoal, GoalStatus, UpdateGoal, UpdateMode};

use crate::fixture::{at, digest, goal, node_name, observed, probe, role};
use crate::world::World;

fn application(byte: u8, count: u32) -> Vec<Role> {
    vec![Role { application: digest(byte), ..role("Web", count, 512) }]
}

fn settings(color: &str, count: u32) -> Vec<Role> {
    let settings = BTreeMap::from([("Color".to_owned(), color.to_owned())]).into();
    vec![Role { settings, ..role("Web", count, 512) }]
}

fn asked(generation: u64, mode: UpdateMode) -> DeploymentGoal {
    DeploymentGoal { update: UpdateGoal { mode, force: false }, ..goal(generation) }
}

fn access() -> Vec<welkin_agent_wire::AccessRule> {
    vec![welkin_agent_wire::AccessRule { permit: false, network: [0, 0, 0, 0].into(), prefix_length: 0 }]
}

/// A world of three nodes in which application 9 runs and is ready.
fn world(count: u32) -> World {
    let mut world = World::new(&[0, 1, 2]);
    world.put(goal(1), application(9, count)).unwrap();
    world.until("ready", World::is_at_rest);
    world
}

fn progress(world: &World) -> Option<(u32, bool)> {
    update_observed(world.deployment()).map(|update| (update.domain, update.during))
}

#[test]
fn what_a_change_means() {
    let web = || role("Web", 2, 512);
    for (change, expected) in [
        ((|_| ()) as fn(&mut Role), Difference::None),
        (|role| role.count = 9, Difference::None),
        (|role| role.package = digest(99), Difference::None),
        (|role| role.settings = BTreeMap::new().into(), Difference::Settings),
        (|role| role.endpoints[0].access = access(), Difference::None),
        (|role| role.endpoints[0].probe = Some(probe()), Difference::None),
        (|role| role.endpoints[1].callers = Some(BTreeSet::new()), Difference::None),
        (|role| role.endpoints[1].last_port = Some(20_009), Difference::Restart),
        (|role| role.application = digest(99), Difference::Restart),
        (|role| role.guest_os.root = digest(99), Difference::Restart),
        (|role| role.endpoints.clear(), Difference::Restart),
        (|role| role.need.memory_mib = 1_024, Difference::Anew),
        (|role| role.scratch_mib = 512, Difference::Anew),
    ] {
        let mut changed = web();
        change(&mut changed);
        assert_eq!(difference(&web(), &changed), expected, "{changed:?}");
    }
}

#[test]
fn domain_after_domain() {
    let mut world = world(5);
    world.put(asked(2, UpdateMode::Automatic), application(10, 5)).unwrap();
    assert_eq!(progress(&world), Some((0, false)));
    let walked = world.until("updated", World::is_at_rest);
    assert_eq!(walked, [0, 1, 2, 3, 4]);
    assert_eq!(progress(&world), None);
    assert_eq!(world.deployment().versions.len(), 1);
    assert_eq!(world.deployment().events.len(), 5);
}

/// Instances that other nodes' load balancers send connections to.
fn backends(world: &World) -> usize {
    let node = &world.cluster.nodes[&node_name(2)];
    let goal = welkin_fabric::node_goal(&world.cluster, node, at(world.second));
    goal.vips[0].backends.iter().filter(|backend| backend.ready && !backend.out).count()
}

/// Begins an update of `count` instances while each node counts `connections` to one that drains; for so many seconds
/// the first is drained before it goes down, at most `limit_s`.
fn drained_s(count: u32, connections: Option<u32>, limit_s: u64) -> u64 {
    let mut world = world(count);
    world.connections = connections;
    world.put(asked(2, UpdateMode::Automatic), application(10, count)).unwrap();
    let begin = world.second;
    while world.down().is_empty() && world.second < begin + limit_s {
        world.tick();
    }
    world.second - begin
}

#[test]
fn an_instance_is_drained_before_it_changes() {
    // Told, seen quiet, told to change.
    assert!(drained_s(2, Some(0), 100) <= 4);
    let long = |connections| (30..=34).contains(&drained_s(2, connections, 100));
    assert!(long(Some(1)) && long(Some(u32::MAX)), "connections are waited for up to the limit");
    assert!(long(None), "a node that cannot count");
    // Nobody else takes what the only one does not get.
    assert!(drained_s(1, Some(9), 100) <= 2);
}

#[test]
fn a_change_waits_for_the_last_connection() {
    let mut world = world(2);
    world.connections = Some(2);
    world.put(asked(2, UpdateMode::Automatic), application(10, 2)).unwrap();
    for _ in 0..20 {
        world.tick();
        assert!(world.down().is_empty(), "second {}", world.second);
    }
    assert_eq!(backends(&world), 1);
    world.connections = Some(0);
    world.until("updated", |world| {
        assert!(backends(world) >= 1, "second {}", world.second);
        world.is_at_rest()
    });
}

/// A node that says nothing of the draining, or of another one than this, has not left the instance out.
#[test]
fn every_node_that_balances_must_have_heard() {
    let mut world = world(2);
    world.put(asked(2, UpdateMode::Automatic), application(10, 2)).unwrap();
    for _ in 0..20 {
        world.tick();
        let mut late = observed(&world.cluster, 2, Vec::new());
        for said in &mut late.draining {
            said.since = at(1);
        }
        world.cluster.observe(&node_name(2), late, at(world.second)).unwrap();
        assert!(world.down().is_empty(), "second {}", world.second);
    }
    world.until("updated", World::is_at_rest);
}

#[test]
fn what_is_asked_to_begin_again_drains_first() {
    for begin in [Begin::Reboot, Begin::Reimage, Begin::Rebuild] {
        let mut world = world(2);
        world.connections = Some(1);
        let ask = |world: &mut World, begin| {
            let name = world.deployment().instances[1].name();
            let asked = restart(world.deployment(), &name, begin, at(world.second)).unwrap();
            world.cluster.apply(Change::Deployment(Box::new(asked)));
        };
        ask(&mut world, begin);
        for _ in 0..10 {
            world.tick();
            assert_eq!((world.ready(), world.deployment().events.len()), (2, 0));
        }
        ask(&mut world, begin);
        world.connections = Some(0);
        world.until("it has begun", |world| world.deployment().events.len() == 1);
        let counts = |world: &World| {
            let instance = &world.deployment().instances[1];
            (instance.boot, instance.reimage, instance.incarnation)
        };
        let expected = match begin {
            Begin::Reboot => (1, 0, 1),
            Begin::Reimage => (0, 1, 1),
            Begin::Rebuild => (0, 0, 2),
        };
        assert_eq!(counts(&world), expected);
        // Out of rotation until it is ready since.
        world.until("ready", |world| {
            let ready = world.deployment().instances.iter().all(|instance| instance.begins.is_none());
            assert!(ready || world.deployment().instances[1].is_out());
            assert!(world.deployment().instances[0].begins.is_none() && !ready || world.ready() == 2);
            ready
        });
        assert_eq!(counts(&world), expected, "once");
        assert_eq!(world.deployment().events.len(), 1);
    }
}

#[test]
fn settings_change_without_draining() {
    let mut world = world(3);
    world.put(asked(2, UpdateMode::Automatic), settings("green", 3)).unwrap();
    let walked = world.until("updated", |world| {
        assert!(world.deployment().instances.iter().all(|instance| !instance.turn.is_out()));
        assert_eq!(world.ready(), 3);
        world.is_at_rest()
    });
    assert!(walked.is_empty());
    assert!(world.deployment().events.is_empty());
}

#[test]
fn who_may_call_changes_at_once() {
    let mut world = world(3);
    let mut guarded = application(9, 3);
    guarded[0].endpoints[0].access = access();
    world.put(asked(2, UpdateMode::Automatic), guarded).unwrap();
    world.tick();
    assert!(world.is_at_rest());
    let node = &world.cluster.nodes[&node_name(0)];
    let goal = welkin_fabric::node_goal(&world.cluster, node, at(world.second));
    assert_eq!(goal.vips[0].access, access());
}

/// An automatic update that fails goes back by itself after a while, once, and says why.
#[test]
fn an_update_that_fails_goes_back_by_itself() {
    let mut world = world(4);
    world.cluster.ready_max = Duration::from_secs(60);
    world.broken.insert(digest(10));
    world.put(asked(2, UpdateMode::Automatic), application(10, 4)).unwrap();
    world.until("domain 0 is stuck", |world| progress(world) == Some((0, true)) && !world.down().is_empty());
    for _ in 0..50 {
        world.tick();
        assert_eq!((world.deployment().rolled_back.clone(), world.ready()), (None, 3));
    }
    world.until("gone back", |world| world.is_at_rest() && world.deployment().rolled_back.is_some());
    let deployment = world.deployment();
    assert_eq!((deployment.versions.len(), deployment.roles()[0].application), (1, digest(9)));
    let why = deployment.rolled_back.clone().unwrap();
    assert!(why.contains("Web_IN_0 was not ready 1 min after"), "{why}");
    // The goal is still what the customer asked for; the next one is laid over as ever.
    assert_eq!(deployment.goal.generation.0, 2);
    world.put(asked(3, UpdateMode::Automatic), application(11, 4)).unwrap();
    assert_eq!(world.deployment().rolled_back, None);
    world.until("updated", World::is_at_rest);
    assert_eq!(world.deployment().roles()[0].application, digest(11));
}

/// The first version has none before it, and whoever walks by hand says himself what happens next.
#[test]
fn what_does_not_go_back() {
    let mut manual = world(4);
    manual.cluster.ready_max = Duration::from_secs(60);
    manual.broken.insert(digest(10));
    manual.put(asked(2, UpdateMode::Manual { domain: Some(0) }), application(10, 4)).unwrap();
    let mut first = World::new(&[0, 1]);
    first.cluster.ready_max = Duration::from_secs(60);
    first.broken.insert(digest(10));
    first.put(goal(1), application(10, 2)).unwrap();
    for _ in 0..200 {
        manual.tick();
        first.tick();
    }
    assert_eq!((manual.deployment().rolled_back.clone(), manual.ready()), (None, 3));
    assert_eq!((first.deployment().rolled_back.clone(), first.ready()), (None, 0));
}

/// More instances that an update asked for stay, and a version before that needs more room gets it back.
#[test]
fn going_back_keeps_counts_and_finds_room() {
    let mut world = world(3);
    world.cluster.ready_max = Duration::from_secs(60);
    world.broken.insert(digest(10));
    let smaller = vec![Role { application: digest(10), ..role("Web", 4, 256) }];
    let mut force = asked(2, UpdateMode::Automatic);
    force.update.force = true;
    world.put(force, smaller).unwrap();
    world.until("gone back", |world| {
        let need = |instance: &welkin_fabric::Instance| instance.need.memory_mib == 512;
        world.deployment().rolled_back.is_some()
            && world.is_at_rest()
            && world.deployment().instances.iter().all(need)
    });
    assert_eq!(world.deployment().instances.len(), 4);
    assert_eq!(world.deployment().roles()[0].need.memory_mib, 512);
}

#[test]
fn a_domain_that_does_not_get_ready_stops_the_walk_and_gives_way() {
    let mut world = world(4);
    world.broken.insert(digest(10));
    world.put(asked(2, UpdateMode::Automatic), application(10, 4)).unwrap();
    world.until("domain 0 is stuck", |world| progress(world) == Some((0, true)) && !world.down().is_empty());
    for _ in 0..100 {
        world.tick();
        assert_eq!((progress(&world), world.ready()), (Some((0, true)), 3));
    }
    // Back: only what was changed changes again.
    world.put(asked(3, UpdateMode::Automatic), application(9, 4)).unwrap();
    assert_eq!(world.until("rolled back", World::is_at_rest), [0]);
    assert_eq!(world.deployment().events.len(), 2);

    // Or forward, over a stuck one.
    world.put(asked(4, UpdateMode::Automatic), application(10, 4)).unwrap();
    world.until("stuck again", |world| !world.down().is_empty());
    world.put(asked(5, UpdateMode::Automatic), application(11, 4)).unwrap();
    assert_eq!(world.until("updated", World::is_at_rest), [0, 1, 2, 3]);
    assert_eq!(world.deployment().versions.len(), 1);
}

#[test]
fn by_hand() {
    let mut world = world(3);
    let wait = |world: &mut World| (0..20).for_each(|_| world.tick());
    let manual = |domain| UpdateMode::Manual { domain };
    world.put(asked(2, manual(None)), application(10, 3)).unwrap();
    wait(&mut world);
    assert_eq!(progress(&world), Some((0, false)));
    world.put(asked(3, manual(Some(0))), application(10, 3)).unwrap();
    wait(&mut world);
    assert_eq!(progress(&world), Some((1, false)));
    world.put(asked(4, manual(Some(1))), application(10, 3)).unwrap();
    world.until("domain 1 moves", |world| progress(world) == Some((1, true)));
    wait(&mut world);
    assert_eq!(progress(&world), Some((2, false)));
    // Rolled back by hand, first domain first.
    world.put(asked(5, manual(None)), application(9, 3)).unwrap();
    wait(&mut world);
    assert_eq!((progress(&world), world.ready()), (Some((0, false)), 3));
    world.put(asked(6, manual(Some(0))), application(9, 3)).unwrap();
    wait(&mut world);
    world.put(asked(7, manual(Some(1))), application(9, 3)).unwrap();
    assert_eq!(world.until("rolled back", World::is_at_rest), [1]);
}

#[test]
fn all_at_once() {
    let mut world = world(3);
    world.put(asked(2, UpdateMode::Simultaneous), application(10, 3)).unwrap();
    world.tick();
    assert_eq!(world.down().len(), 3);
    assert_eq!(progress(&world), Some((0, true)));
    world.until("updated", World::is_at_rest);
}

#[test]
fn what_does_not_run_changes_at_once() {
    let mut world = world(3);
    let mut suspended = goal(2);
    suspended.status = GoalStatus::Suspended;
    world.put(suspended.clone(), application(9, 3)).unwrap();
    (0..3).for_each(|_| world.tick());
    suspended.generation = welkin_base::Generation(3);
    world.put(suspended, application(10, 3)).unwrap();
    world.tick();
    assert_eq!(progress(&world), None);
    world.put(goal(4), application(10, 3)).unwrap();
    assert!(world.until("ready", World::is_at_rest).is_empty());
}

#[test]
fn roles_come_at_once_and_go_at_the_end() {
    let mut world = World::new(&[0, 1, 2]);
    world.put(goal(1), vec![role("Web", 2, 512), role("Old", 2, 512)]).unwrap();
    world.until("ready", World::is_at_rest);
    let web = Role { application: digest(10), ..role("Web", 2, 512) };
    world.put(goal(2), vec![web, role("New", 1, 512)]).unwrap();
    let names = |world: &World| -> Vec<String> {
        world.deployment().instances.iter().map(|instance| instance.name().to_string()).collect()
    };
    assert_eq!(names(&world), ["Web_IN_0", "Web_IN_1", "New_IN_0", "Old_IN_0", "Old_IN_1"]);
    assert_eq!(world.until("updated", World::is_at_rest), [0, 1]);
    assert_eq!(names(&world), ["Web_IN_0", "Web_IN_1", "New_IN_0"]);
}

#[test]
fn counts_change_during_a_walk_and_names_that_were_deleted_stay_free() {
    let mut world = world(3);
    world.put(asked(2, UpdateMode::Automatic), application(10, 3)).unwrap();
    world.until("it moves", |world| !world.down().is_empty());
    world.put(asked(3, UpdateMode::Automatic), application(10, 4)).unwrap();
    world.until("updated", World::is_at_rest);
    let mut fewer = goal(4);
    fewer.removed = ["Web_IN_1".parse().unwrap()].into();
    let names = |world: &World| -> Vec<u32> {
        world.deployment().instances.iter().map(|instance| instance.index).collect()
    };
    world.put(fewer.clone(), application(10, 3)).unwrap();
    assert_eq!(names(&world), [0, 2, 3]);
    fewer.generation = welkin_base::Generation(5);
    world.put(fewer, application(10, 5)).unwrap();
    assert_eq!(names(&world), [0, 2, 3, 4, 5]);
    world.until("at rest", World::is_at_rest);
}

#[test]
fn another_size_needs_force_and_room() {
    let mut world = world(2);
    let larger = |generation, memory_mib, force| {
        let goal =
            DeploymentGoal { update: UpdateGoal { mode: UpdateMode::Automatic, force }, ..goal(generation) };
        (goal, vec![role("Web", 2, memory_mib)])
    };
    let (asked, roles) = larger(2, 1_024, false);
    assert!(matches!(world.put(asked, roles), Err(Refused::LosesLocalData(_))));
    let (asked, roles) = larger(2, 1 << 20, true);
    assert!(matches!(world.put(asked, roles), Err(Refused::NoRoom(_))));
    let (asked, roles) = larger(2, 1_024, true);
    world.put(asked, roles).unwrap();
    assert_eq!(world.until("larger", World::is_at_rest), [0, 1]);
    assert!(world.deployment().instances.iter().all(|i| i.incarnation == 2 && i.need.memory_mib == 1_024));
    let (asked, roles) = larger(3, 256, true);
    world.put(asked, roles).unwrap();
    world.tick();
    assert!(
        world.deployment().instances.iter().all(|i| i.need.memory_mib == 1_024),
        "held until the larger is gone"
    );
    world.until("smaller", World::is_at_rest);
    world.until("given back", |world| {
        world.deployment().instances.iter().all(|instance| instance.need.memory_mib == 256)
    });
}

#[test]
fn what_cannot_change_in_place_is_refused() {
    let mut world = world(1);
    let resource = |size_mib| welkin_agent_wire::LocalResource {
        name: "cache".into(),
        path: "/local/resources/cache".into(),
        size_mib,
        clean_on_role_recycle: true,
    };
    let with =
        |size_mib| vec![Role { local_resources: vec![resource(size_mib)], ..application(9, 1).remove(0) }];
    world.put(goal(2), with(100)).unwrap();
    assert!(matches!(world.put(goal(3), with(50)), Err(Refused::Shrinks { held_mib: 100, .. })));
    let cluster = &world.cluster;
    let domains = welkin_fabric::deploy(cluster, &crate::fixture::id(1), goal(3), with(100), 4, at(9));
    assert!(matches!(domains, Err(Refused::UpdateDomains { held: 5 })));
}

#[test]
fn a_lost_node_does_not_hold_an_update_for_ever() {
    let mut world = world(3);
    let at_node = world.deployment().instances[0].node.clone();
    let number = (0..3).find(|number| node_name(*number) == at_node).unwrap();
    world.dead.insert(number);
    world.put(asked(2, UpdateMode::Automatic), application(10, 3)).unwrap();
    world.until("updated", World::is_at_rest);
    assert_ne!(world.deployment().instances[0].node, at_node);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn one_domain_at_a_time_and_in_the_end_all(
        steps in proptest::collection::vec((10u8..16, 0u8..4, 1u32..6, 0u64..40, any::<u8>()), 1..8),
    ) {
        let mut world = world(5);
        world.broken.extend([digest(14), digest(15)]);
        for (generation, (byte, mode, count, wait, odd)) in (2u64..).zip(steps) {
            let mode = match mode {
                0 => UpdateMode::Manual { domain: Some(u32::from(odd) % 5) },
                _ => UpdateMode::Automatic,
            };
            // The number of domains stays, so that a domain is the same one throughout.
            let roles = vec![
                Role { application: digest(byte), ..role("Web", 5, 512) },
                Role { application: digest(20 + byte % 2), ..role("Worker", count, 256) },
            ];
            world.put(asked(generation, mode), roles).unwrap();
            let end = world.second + wait;
            world.until("time has passed", |world| world.second >= end);
        }
        world.put(asked(100, UpdateMode::Automatic), application(9, 5)).unwrap();
        world.until("all follow", World::is_at_rest);
        assert!(world.deployment().instances.iter().all(|instance| instance.turn == Turn::None));
        assert_eq!(world.deployment().versions.len(), 1);
    }
}
