//! Nodes that the operator drains and retires, over the wire.

use http::{Method, StatusCode};
use welkin_fabric_wire::{NodeHealth, NodeState, NodeStatus};

use crate::cloud::{Cloud, eventually};

async fn nodes(cloud: &Cloud) -> Vec<NodeStatus> {
    cloud.client.get_json("/v1/nodes", 1 << 16).await.unwrap()
}

async fn order(cloud: &Cloud, what: &str, expected: StatusCode) -> String {
    let path = format!("/v1/nodes/{what}");
    let (status, text) = Cloud::call_by(&cloud.operator, Method::POST, &path, Vec::new()).await;
    assert_eq!(status, expected, "{what}: {text}");
    text
}

async fn until_drained(cloud: &Cloud) {
    eventually("the node is drained", async || {
        let node = nodes(cloud).await.swap_remove(0);
        (node.state == NodeState::Drained).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_is_drained_retired_and_brought_back() {
    let mut cloud = Cloud::start(3).await;
    cloud.deploy(1, 2).await;
    let text = order(&cloud, "node0/retire", StatusCode::CONFLICT).await;
    assert!(text.contains("node0 has 1 instances"), "{text}");
    let text = order(&cloud, "node0/drain", StatusCode::OK).await;
    let node: NodeStatus = serde_json::from_str(&text).unwrap();
    assert_eq!((node.state, node.health, node.instances), (NodeState::Draining, NodeHealth::Healthy, 1));
    until_drained(&cloud).await;
    let observed = cloud.until_ready(1).await;
    assert!(observed.instances.iter().all(|instance| instance.node.as_str() != "node0"));

    // What the operator wants outlives the controller.
    cloud.stop().await;
    cloud.resume().await;
    until_drained(&cloud).await;
    order(&cloud, "node0/retire", StatusCode::OK).await;
    order(&cloud, "node0/drain", StatusCode::CONFLICT).await;
    let text = order(&cloud, "node0/undrain", StatusCode::OK).await;
    assert_eq!(serde_json::from_str::<NodeStatus>(&text).unwrap().state, NodeState::Active);
    // A machine that is gone for good is retired with what is on it.
    order(&cloud, "node1/retire?force=true", StatusCode::OK).await;
    eventually("elsewhere", async || {
        let observed = cloud.until_ready(1).await;
        observed.instances.iter().all(|instance| instance.node.as_str() != "node1").then_some(())
    })
    .await;
    order(&cloud, "node9/drain", StatusCode::NOT_FOUND).await;
    cloud.stop().await;
}

#[tokio::test]
async fn management_and_the_operator_have_rights_of_their_own() {
    let mut cloud = Cloud::start(1).await;
    for (method, path, management, operator) in [
        (Method::GET, "/v1/nodes", true, true),
        (Method::GET, "/v1/healing", true, true),
        (Method::GET, "/v1/identity", true, true),
        (Method::GET, "/v1/certificates", true, false),
        (Method::PUT, "/v1/services/shop/slots", true, false),
        (Method::POST, "/v1/nodes/node0/drain", false, true),
        (Method::POST, "/v1/nodes/node0/undrain", false, true),
        (Method::POST, "/v1/nodes/node0/retire", false, true),
    ] {
        for (caller, is_permitted) in [(&cloud.client, management), (&cloud.operator, operator)] {
            let (status, text) = Cloud::call_by(caller, method.clone(), path, Vec::new()).await;
            assert_eq!(status != StatusCode::FORBIDDEN, is_permitted, "{method} {path}: {status} {text}");
        }
    }
    cloud.stop().await;
}
