use std::time::Duration;

use welkin_fabric_service::{RunError, run};
use welkin_fabric_wire::NodeStatus;
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_transport::Client;

use crate::cloud::{Cloud, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_controller_finds_everything_and_changes_nothing() {
    let mut cloud = Cloud::start(2).await;
    let before = cloud.deploy(1, 2).await;
    eventually("goals are settled", async || {
        let ready = |agent: &crate::agent::FakeAgent| {
            agent.goal().is_some_and(|goal| goal.vips[0].backends.iter().any(|backend| backend.ready))
        };
        cloud.agents.iter().all(ready).then_some(())
    })
    .await;
    let recipient: serde_json::Value = cloud.client.get_json("/v1/identity", 1 << 10).await.unwrap();
    let goals: Vec<_> = cloud.agents.iter().map(crate::agent::FakeAgent::goal).collect();
    let taken: Vec<_> = cloud.agents.iter().map(|agent| agent.held.lock().unwrap().goals).collect();
    cloud.stop().await;
    cloud.resume().await;
    assert_eq!(cloud.until_ready(1).await, before);
    // Two rounds more: nothing is said to the nodes.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let now: Vec<_> = cloud.agents.iter().map(crate::agent::FakeAgent::goal).collect();
    assert_eq!(now, goals);
    let again: Vec<_> = cloud.agents.iter().map(|agent| agent.held.lock().unwrap().goals).collect();
    assert_eq!(again, taken);
    assert_eq!(cloud.client.get_json::<serde_json::Value>("/v1/identity", 1 << 10).await.unwrap(), recipient);
    cloud.deploy(2, 1).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_the_controller_from_starting_is_said() {
    let mut cloud = Cloud::start(1).await;
    let second = run(cloud.config.clone(), std::future::pending()).await;
    let error = second.unwrap_err();
    assert!(matches!(error, RunError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("configure another address"), "{error}");
    cloud.stop().await;
    std::fs::remove_file(cloud.config.guest_os.join("root")).unwrap();
    let error = run(cloud.config.clone(), std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("root") && error.to_string().contains("build it again"), "{error}");
    cloud.config.nodes.push(cloud.config.nodes[0].clone());
    let error = run(cloud.config.clone(), std::future::pending()).await.unwrap_err();
    assert!(matches!(error, RunError::Config(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_management_may_call() {
    let cloud = Cloud::start(1).await;
    let server = Identity::load(&cloud.config.identity).unwrap().thumbprint();
    let stranger = Identity::self_signed("stranger").unwrap();
    for identity in [Some(&stranger), None] {
        let tls = client_config(identity, ServerAuth::Pinned(server)).unwrap();
        let client = Client::new(cloud.config.listen, tls);
        assert!(client.get_json::<Vec<NodeStatus>>("/v1/nodes", 1 << 16).await.is_err());
    }
}
