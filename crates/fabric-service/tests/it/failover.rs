//! Controllers that are killed or stand still while they are asked, and an etcd that loses its majority.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rand::Rng as _;
use welkin_base::Generation;
use welkin_fabric_wire::{DeploymentGoal, InstanceState};

use crate::cloud::{deployment_path, eventually, goal, id};
use crate::cluster::Signal;
use crate::replicas::{Replicas, is_elsewhere};

/// Leaders that are killed.
const KILLS: usize = 6;
/// A replica that leads is known to by then: the goal of a failover.
const FAILOVER_MAX: Duration = Duration::from_secs(5);

/// What a customer does meanwhile: a package of its own and a deployment, then ever new goals. What was acknowledged is
/// noted.
async fn customer(cloud: &Replicas, number: u8, done: &std::sync::atomic::AtomicBool) -> (u8, u64, u32) {
    let mut last = (number, 0, 0);
    for generation in 1.. {
        let package = cloud.send_package(&format!("page {number} {generation}")).await;
        let instances = 1 + u32::try_from(generation % 2).unwrap();
        let wanted = DeploymentGoal {
            service: format!("shop{number}").parse().unwrap(),
            ..goal(package, generation, instances)
        };
        let (status, text) = cloud.put(number, &wanted).await;
        // A goal that is laid over an update before its time is refused, and so is none that was taken.
        match status {
            StatusCode::OK => last = (number, generation, instances),
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {}
            status => panic!("{status} {text}"),
        }
        if done.load(std::sync::atomic::Ordering::Acquire) {
            return last;
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_each_leader() {
    let mut cloud = Replicas::start(3).await;
    let mut took = Vec::new();
    let mut leader = cloud.leader().await;
    let mut acknowledged = [(1, 0, 0), (2, 0, 0)];
    for round in 0..KILLS {
        let done = std::sync::atomic::AtomicBool::new(false);
        let calm = Duration::from_millis(rand::rng().random_range(0..1_500));
        // Commands to processes need the whole cloud, so traffic is cut into rounds, each with one kill in its middle.
        let pid = cloud.pid(leader);
        let kill = async {
            tokio::time::sleep(calm).await;
            let killed =
                std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
            assert!(killed.success());
            let began = Instant::now();
            let next = cloud.leader().await;
            // It answers from the rows that it read.
            let (status, text) = cloud.call(&Method::GET, "/v1/nodes", b"").await;
            assert_eq!(status, StatusCode::OK, "{text}");
            let elapsed = began.elapsed();
            tokio::time::sleep(Duration::from_millis(300)).await;
            done.store(true, std::sync::atomic::Ordering::Release);
            (next, elapsed)
        };
        let base = u8::try_from(round).unwrap() * 2;
        let ((next, elapsed), one, other) =
            tokio::join!(kill, customer(&cloud, base + 1, &done), customer(&cloud, base + 2, &done));
        took.push(elapsed);
        cloud.reap(leader);
        cloud.start_process(leader);
        leader = next;
        acknowledged = [one, other];
        for (number, generation, instances) in acknowledged {
            assert!(generation > 0, "nothing was acknowledged");
            let observed = eventually("all is ready", async || {
                let observed = cloud.get(number).await?;
                let ready = observed.instances.iter().all(|seen| seen.state == InstanceState::Ready);
                ready.then_some(observed)
            })
            .await;
            assert!(observed.generation >= Generation(generation), "{observed:?}");
            if observed.generation == Generation(generation) {
                assert_eq!(observed.instances.len(), instances as usize, "{observed:?}");
            }
            let (status, text) = cloud.call(&Method::DELETE, &deployment_path(number), b"").await;
            assert_eq!(status, StatusCode::ACCEPTED, "{text}");
        }
    }
    for (number, ..) in acknowledged {
        eventually("it is gone", async || cloud.get(number).await.is_none().then_some(())).await;
    }
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 10];
    eprintln!("failover: p50 {:?}, p90 {:?}, of {:?}", at(5), at(9), took);
    assert!(at(5) < FAILOVER_MAX, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stood_still_commits_nothing_and_without_a_majority_nobody_does() {
    let mut cloud = Replicas::start(3).await;
    let old = cloud.leader().await;
    let others: Vec<usize> = (0..3).filter(|number| *number != old).collect();
    let package = cloud.send_package("one").await;
    assert_eq!(cloud.put(1, &goal(package, 1, 2)).await.0, StatusCode::OK);
    for other in &others {
        let follower = cloud.ask(*other, Method::GET, "/v1/nodes", Vec::new()).await.unwrap();
        assert_eq!(follower.0, StatusCode::MISDIRECTED_REQUEST);
        assert!(follower.1.contains(&cloud.configs[old].name), "{follower:?}");
    }

    cloud.signal(old, Signal::Stop);
    // Both wait in its socket until it goes on.
    let body =
        serde_json::to_vec(&DeploymentGoal { service: "late".parse().unwrap(), ..goal(package, 1, 1) })
            .unwrap();
    let (new, first) = (deployment_path(9), deployment_path(1));
    let late = async {
        tokio::join!(
            cloud.ask(old, Method::PUT, &new, body),
            cloud.ask(old, Method::DELETE, &first, Vec::new())
        )
    };
    let meanwhile = async {
        let next = cloud.leader().await;
        assert_ne!(next, old);
        let (status, text) = cloud.put(1, &goal(package, 2, 1)).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let pid = cloud.pid(old).to_string();
        assert!(std::process::Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
        next
    };
    let ((put, delete), next) = tokio::join!(late, meanwhile);
    for (status, text) in [put, delete].into_iter().flatten() {
        assert!(is_elsewhere(status), "{status} {text}");
    }
    eventually("the old one follows", async || {
        cloud
            .status(old)
            .await
            .filter(|it| !it.leads && it.leader.as_ref() == Some(&cloud.configs[next].name))
    })
    .await;
    assert!(cloud.get(9).await.is_none(), "{}", id(9));
    let observed = cloud.get(1).await.unwrap();
    assert_eq!((observed.generation, observed.instances.len()), (Generation(2), 1));

    // The one that followed has what the other took, and what it lost of it comes back.
    for config in &cloud.configs {
        let path = config.data.join("packages").join(package.to_string());
        eventually("the package is there", async || path.exists().then_some(())).await;
    }
    let image = {
        let images = cloud.configs[next].data.join("images");
        let goal = eventually("a node has a goal", async || {
            cloud
                .agents
                .iter()
                .filter_map(crate::agent::FakeAgent::goal)
                .find(|goal| !goal.instances.is_empty())
        })
        .await;
        images.join(goal.instances[0].application.to_string())
    };
    // No replica has the image any more: it is made anew, the same bytes.
    for config in &cloud.configs {
        let _ = std::fs::remove_file(config.data.join("images").join(image.file_name().unwrap()));
    }
    eventually("the image is made anew", async || image.exists().then_some(())).await;

    let goals: Vec<_> = cloud.agents.iter().map(crate::agent::FakeAgent::goal).collect();
    cloud.etcd.signal(0, Signal::Kill);
    cloud.etcd.signal(1, Signal::Kill);
    for number in 0..3 {
        let said = eventually("it says that etcd is silent", async || {
            let (status, text) = cloud.ask(number, Method::GET, "/v1/nodes", Vec::new()).await?;
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(text)
        })
        .await;
        assert!(said.contains("etcd"), "{said}");
    }
    let still: Vec<_> = cloud.agents.iter().map(crate::agent::FakeAgent::goal).collect();
    assert_eq!(goals, still, "nodes run on");
    cloud.etcd.start_member(0);
    let (status, text) = cloud.put(1, &goal(package, 3, 2)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    eventually("both are ready", async || {
        let observed = cloud.get(1).await?;
        let ready = observed.instances.iter().filter(|seen| seen.state == InstanceState::Ready);
        (ready.count() == 2).then_some(())
    })
    .await;
}
