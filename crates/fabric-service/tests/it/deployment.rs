use http::{Method, StatusCode};
use welkin_fabric_wire::{GoalStatus, InstanceState, NodeStatus, Refusal, RefusalReason, Taken};

use crate::cloud::{Cloud, configuration, deployment_path, eventually, goal};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_comes_and_goes() {
    let cloud = Cloud::start(2).await;
    let observed = cloud.deploy(1, 2).await;
    assert_eq!(observed.update_domains, 2);
    assert_eq!(observed.vip.unwrap().to_string(), "10.177.240.1");
    assert_eq!(observed.roles[0].guest_os, "TEST-OS-1");
    assert_eq!((observed.input_endpoints[0].port, observed.input_endpoints[0].local_port), (80, 8080));
    let placed: Vec<_> = observed
        .instances
        .iter()
        .map(|i| (i.name.as_str(), i.node.as_str(), i.fault_domain, i.update_domain, i.address.to_string()))
        .collect();
    assert_eq!(
        placed,
        [
            ("Web_IN_0", "node0", 0, 0, "10.177.16.2".to_owned()),
            ("Web_IN_1", "node1", 1, 1, "10.177.17.2".to_owned())
        ]
    );
    // Each node learns when the other's instance is ready.
    eventually("both goals have a ready backend on the other node", async || {
        let ready = |agent: &crate::agent::FakeAgent| {
            let goal = agent.goal()?;
            Some(goal.vips[0].backends.iter().filter(|backend| backend.ready).count())
        };
        (ready(&cloud.agents[0]) == Some(1) && ready(&cloud.agents[1]) == Some(1)).then_some(())
    })
    .await;
    // E is a squashfs image of the role's files.
    let application = cloud.agents[0].goal().unwrap().instances[0].application;
    assert_eq!(&cloud.agents[0].held.lock().unwrap().images[&application][..4], b"hsqs");
    let (status, log) =
        cloud.call(Method::GET, &format!("{}/instances/Web_IN_1/log", deployment_path(1)), vec![]).await;
    assert_eq!((status, log.as_str()), (StatusCode::OK, "console of Web_IN_1\n"));
    let nodes: Vec<NodeStatus> = cloud.client.get_json("/v1/nodes", 1 << 16).await.unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(nodes.iter().all(|node| node.healthy && node.instances == 1 && node.memory_used_mib == 768));

    let (status, _) = cloud.call(Method::DELETE, &deployment_path(1), vec![]).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    cloud.until_gone(1).await;
    assert!(cloud.agents.iter().all(|agent| agent.goal().unwrap().instances.is_empty()));
    let images = cloud.folder.path().join("data/images");
    eventually("the application's image is removed", async || {
        (!images.join(application.to_string()).exists()).then_some(())
    })
    .await;
    assert_eq!(std::fs::read_dir(&images).unwrap().count(), 3, "the guest OS stays");
    let (status, _) = cloud.call(Method::DELETE, &deployment_path(1), vec![]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_so_many_cores() {
    let cloud = Cloud::start(2).await;
    cloud.deploy(1, 2).await;
    let package = cloud.send_package().await;
    let put = async |number: u8, instances: u32, max: &str| {
        let path = format!("{}?cores_max={max}", deployment_path(number));
        cloud.call(Method::PUT, &path, serde_json::to_vec(&goal(package, 2, instances)).unwrap()).await
    };
    let (status, refused) = put(2, 2, "3").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert!(refused.contains("needs 2 cores, and 1 of the subscription's 3 are left"), "{refused}");
    assert_eq!(put(2, 1, "many").await.0, StatusCode::BAD_REQUEST);
    assert!(cloud.get(2).await.is_none());
    assert_eq!(put(2, 1, "3").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_is_told_or_refused() {
    let cloud = Cloud::start(1).await;
    let package = cloud.send_package().await;
    let mut asked = goal(package, 1, 1);
    let network = "<NetworkConfiguration><VirtualNetworkSite name=\"lan\"/></NetworkConfiguration></ServiceC";
    asked.configuration = asked.configuration.replace("</ServiceC", network);
    let body = serde_json::to_vec(&asked).unwrap();
    let put = async |warnings: &str| {
        let path = format!("{}?cores_max=8&warnings={warnings}", deployment_path(1));
        cloud.call(Method::PUT, &path, body.clone()).await
    };
    let (status, text) = put("refused").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    let refusal: Refusal = serde_json::from_str(&text).unwrap();
    assert!(refusal.messages[0].contains("<VirtualNetworkSite> has no effect"), "{refusal:?}");
    assert!(cloud.get(1).await.is_none());
    // Told again to who did not hear the first answer, although it was taken by then.
    for warnings in ["told", "told", "refused"] {
        let (status, text) = put(warnings).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let taken: Taken = serde_json::from_str(&text).unwrap();
        assert_eq!(taken.warnings, refusal.messages);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_the_instances() {
    let cloud = Cloud::start(1).await;
    cloud.deploy(1, 1).await;
    cloud.agents[0].held.lock().unwrap().clings = true;
    cloud.call(Method::DELETE, &deployment_path(1), vec![]).await;
    eventually("the node has the goal without it", async || {
        cloud.agents[0].goal().unwrap().instances.is_empty().then_some(())
    })
    .await;
    let observed = cloud.get(1).await.unwrap();
    assert!(observed.deleting);
    assert_eq!(observed.instances[0].state, InstanceState::DeletingVm);
    cloud.agents[0].held.lock().unwrap().clings = false;
    cloud.until_gone(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_whole() {
    let cloud = Cloud::start(1).await;
    let package = cloud.send_package().await;
    let check =
        async |reason, messages: &[&str], change: &dyn Fn(&mut welkin_fabric_wire::DeploymentGoal)| {
            let mut asked = goal(package, 1, 1);
            change(&mut asked);
            let refusal = cloud.refused(1, &asked).await;
            assert_eq!(refusal.reason, reason, "{:?}", refusal.messages);
            let all = refusal.messages.join("\n");
            assert!(messages.iter().all(|message| all.contains(message)), "{all}");
        };
    let unknown = welkin_base::Digest::from_bytes([5; 32]);
    check(RefusalReason::Package, &["is not here"], &|goal| goal.package = unknown).await;
    check(
        RefusalReason::Configuration,
        &["role Webb is not in the service definition", "role Web"],
        &|goal| {
            goal.configuration = configuration(1).replace("\"Web\"", "\"Webb\"");
        },
    )
    .await;
    check(RefusalReason::Configuration, &["vmName=\"shop\" is not built yet"], &|goal| {
        goal.configuration = configuration(1).replace("<Role ", "<Role vmName=\"shop\" ");
    })
    .await;
    check(RefusalReason::Capacity, &["no room for Web_IN_8", "lacks 1 cores"], &|goal| {
        goal.configuration = configuration(9);
    })
    .await;
    let junk = cloud.send_bytes(b"PK not a package".to_vec()).await;
    check(RefusalReason::Package, &["package"], &|goal| goal.package = junk).await;
    assert_eq!(cloud.get(1).await, None, "nothing is half-created");
    assert_eq!(std::fs::read_dir(cloud.folder.path().join("data/work")).unwrap().count(), 0);
    let wrong = format!("/v1/packages/{unknown}");
    let (status, text) = cloud.call(Method::PUT, &wrong, b"bytes".to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    let (status, _) = cloud.call(Method::PUT, &deployment_path(1), b"{\"generation\":1}".to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_change() {
    let cloud = Cloud::start(1).await;
    let package = cloud.send_package().await;
    let check = async |asked: &welkin_fabric_wire::DeploymentGoal, expected| {
        let (status, text) = cloud.put(1, asked).await;
        assert_eq!(status, expected, "{text}");
    };
    check(&goal(package, 2, 2), StatusCode::OK).await;
    check(&goal(package, 2, 2), StatusCode::OK).await;
    check(&goal(package, 1, 2), StatusCode::CONFLICT).await;
    check(&goal(package, 2, 1), StatusCode::CONFLICT).await;
    let first = cloud.until_ready(1).await;
    check(&goal(package, 3, 1), StatusCode::OK).await;
    let fewer = cloud.until_ready(1).await;
    assert_eq!(fewer.instances[0].address, first.instances[0].address);
    let mut suspended = goal(package, 4, 1);
    suspended.status = GoalStatus::Suspended;
    check(&suspended, StatusCode::OK).await;
    eventually("the instance is stopped", async || {
        (cloud.get(1).await?.instances[0].state == InstanceState::StoppedVm).then_some(())
    })
    .await;
    assert!(cloud.agents[0].goal().unwrap().instances.is_empty());
    check(&goal(package, 5, 1), StatusCode::OK).await;
    cloud.until_ready(1).await;

    let instance = |what: &str| format!("{}/instances/Web_IN_0/{what}", deployment_path(1));
    let before = cloud.agents[0].goal().unwrap().instances[0].incarnation;
    assert_eq!(cloud.call(Method::POST, &instance("rebuild"), vec![]).await.0, StatusCode::ACCEPTED);
    eventually("it begins anew", async || {
        (cloud.agents[0].goal()?.instances[0].incarnation > before).then_some(())
    })
    .await;
    let boot = cloud.agents[0].goal().unwrap().instances[0].boot;
    assert_eq!(cloud.call(Method::POST, &instance("reboot"), vec![]).await.0, StatusCode::ACCEPTED);
    eventually("it boots again", async || (cloud.agents[0].goal()?.instances[0].boot > boot).then_some(()))
        .await;
}
