use welkin_fabric_wire::{InstanceState, NodeStatus};

use crate::cloud::{Cloud, eventually};

async fn trouble(cloud: &Cloud) -> Option<String> {
    let nodes: Vec<NodeStatus> = cloud.client.get_json("/v1/nodes", 1 << 16).await.unwrap();
    (!nodes[0].healthy).then(|| nodes[0].trouble.clone().unwrap())
}

/// What a node says must not be believed, the node counts as silent with the reason, and all goes on when it speaks
/// the truth again.
#[tokio::test(flavor = "multi_thread")]
async fn lies_harm_only_the_liar() {
    let cloud = Cloud::start(2).await;
    let before = cloud.deploy(1, 2).await;
    let honest = r#""capacity":{"cores":8,"memory_mib":8192,"disk_mib":1048576},"accelerator":"tcg","instances":[],"trouble":null"#;
    for (lie, expected) in [
        ("not json".to_owned(), "not as expected"),
        (format!(r#"{{"node":"node0","generation":0,"also":1,{honest}}}"#), "unknown field"),
        (format!(r#"{{"node":"node1","generation":0,{honest}}}"#), "says that it is node1"),
        (format!(r#"{{"node":"node0","generation":999,{honest}}}"#), "another controller"),
        (format!("{}{}", " ".repeat(2 << 20), "{}"), "too long"),
    ] {
        cloud.agents[0].held.lock().unwrap().lie = Some(lie.into_bytes());
        let said = eventually("the node counts as silent", async || {
            trouble(&cloud).await.filter(|said| said.contains(expected))
        })
        .await;
        assert!(said.starts_with("silent for"), "{said}");
        let observed = cloud.get(1).await.unwrap();
        assert_eq!(observed.instances[0].state, InstanceState::Unresponsive);
        assert_eq!(observed.instances[1].state, InstanceState::Ready, "the other node is not harmed");
        cloud.agents[0].held.lock().unwrap().lie = None;
        assert_eq!(cloud.until_ready(1).await, before);
    }
}
