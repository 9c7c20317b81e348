use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use welkin_base::{Digest, RoleName};
use welkin_fabric_wire::{DeploymentGoal, RebootEvent, RebootReason, Slot, Slots, UpdateGoal, UpdateMode};

use crate::cloud::{Cloud, configuration, deployment_path, eventually, goal, id};

fn applications(cloud: &Cloud) -> BTreeSet<Digest> {
    let goals = cloud.agents.iter().filter_map(crate::agent::FakeAgent::goal);
    goals.flat_map(|goal| goal.instances.into_iter().map(|instance| instance.application)).collect()
}

async fn until_updated(cloud: &Cloud) {
    eventually("the update is over", async || cloud.get(1).await?.update.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_walks_and_a_restart_of_the_controller_does_not_stop_it() {
    let mut cloud = Cloud::start(2).await;
    let first = cloud.send_package().await;
    assert_eq!(cloud.put(1, &goal(first, 1, 2)).await.0, StatusCode::OK);
    cloud.until_ready(1).await;
    let before = applications(&cloud);
    assert_eq!(before.len(), 1);
    let second = cloud.send_version("another page").await;
    let (status, text) = cloud.put(1, &goal(second, 2, 2)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let update = cloud.get(1).await.unwrap().update.unwrap();
    assert_eq!((update.mode, update.domain), (UpdateMode::Automatic, 0));
    cloud.stop().await;
    cloud.resume().await;
    until_updated(&cloud).await;
    cloud.until_ready(1).await;
    let after = applications(&cloud);
    assert!(after.len() == 1 && after != before, "{after:?}");
    let events: Vec<RebootEvent> =
        cloud.client.get_json(&format!("{}/events", deployment_path(1)), 1 << 16).await.unwrap();
    let said: Vec<_> = events.iter().map(|event| (event.instance.as_str(), event.reason)).collect();
    assert_eq!(said, [("Web_IN_0", RebootReason::Update), ("Web_IN_1", RebootReason::Update)]);

    // A role that stays with its package stays as it is, whatever the package of the rest.
    let third = cloud.send_version("a third page").await;
    let kept = BTreeMap::from([(RoleName::new("Web").unwrap(), second)]);
    assert_eq!(cloud.put(1, &DeploymentGoal { kept, ..goal(third, 3, 2) }).await.0, StatusCode::OK);
    until_updated(&cloud).await;
    assert_eq!(applications(&cloud), after);

    // A package is given back as it was sent, by whom it was sent.
    let path = format!("/v1/packages/{second}");
    let response = cloud.client.send(Method::GET, &path, welkin_transport::full("")).await.unwrap();
    let bytes = welkin_transport::read_body(response.into_body(), 1 << 20).await.unwrap();
    assert_eq!(Digest::from_bytes(Sha256::digest(&bytes).into()), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_only_what_is_allowed_changes() {
    let cloud = Cloud::start(2).await;
    let package = cloud.send_package().await;
    cloud.put(1, &goal(package, 1, 2)).await;
    cloud.until_ready(1).await;
    let asked = |generation, domain| DeploymentGoal {
        configuration: configuration(2).replace("blue", "green"),
        update: UpdateGoal { mode: UpdateMode::Manual { domain }, force: false },
        ..goal(package, generation, 2)
    };
    let colors = || -> Vec<String> {
        let goals = cloud.agents.iter().filter_map(crate::agent::FakeAgent::goal);
        let instances = goals.flat_map(|goal| goal.instances);
        instances.map(|instance| instance.guest.environment.settings["Color"].clone()).collect()
    };
    for (generation, domain, expected) in
        [(2, None, ["blue", "blue"]), (3, Some(0), ["green", "blue"]), (4, Some(1), ["green", "green"])]
    {
        assert_eq!(cloud.put(1, &asked(generation, domain)).await.0, StatusCode::OK);
        eventually("what is allowed has changed", async || {
            let update = cloud.get(1).await?.update;
            (colors() == expected && update.is_none_or(|update| !update.during)).then_some(())
        })
        .await;
    }
    assert_eq!(cloud.get(1).await.unwrap().update, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deployments_change_places_whenever_the_controller_ends() {
    let mut cloud = Cloud::start(1).await;
    let package = cloud.send_package().await;
    cloud.put(1, &goal(package, 1, 1)).await;
    let staging = DeploymentGoal { slot: Slot::Staging, ..goal(package, 1, 1) };
    cloud.put(2, &staging).await;
    let (one, two) = (cloud.until_ready(1).await, cloud.until_ready(2).await);
    let slots = serde_json::to_vec(&Slots { production: id(2), staging: Some(id(1)) }).unwrap();
    for _ in 0..2 {
        let (status, text) = cloud.call(Method::PUT, "/v1/services/shop/slots", slots.clone()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        cloud.stop().await;
        cloud.resume().await;
        assert_eq!((cloud.until_ready(1).await.vip, cloud.until_ready(2).await.vip), (two.vip, one.vip));
    }
    let other = serde_json::to_vec(&Slots { production: id(3), staging: None }).unwrap();
    let (status, _) = cloud.call(Method::PUT, "/v1/services/shop/slots", other).await;
    assert_eq!(status, StatusCode::CONFLICT);
}
